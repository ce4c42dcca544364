//! The host's slots as several workers see them; two `Slots` of one process are two workers.
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::time::Duration;

use rustix::fd::OwnedFd;
use task_process::{RunDir, SlotGuard, Slots};

fn workers(count: usize, n: usize) -> (tempfile::TempDir, Vec<Slots>) {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::open(dir.path().join("run")).unwrap();
    let workers = (0..n).map(|_| Slots::open(&run_dir, count).unwrap()).collect();
    (dir, workers)
}

/// What a task executor holds: copies of the guard's descriptors.
fn executor(guard: &SlotGuard) -> Vec<OwnedFd> {
    guard.fds().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect()
}

async fn wait_for(slots: &Slots, weight: usize) -> SlotGuard {
    let waiting = async {
        loop {
            if let Some(guard) = slots.try_acquire(weight).unwrap() {
                return guard;
            }
            slots.freed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("a slot within 5 s")
}

#[tokio::test]
async fn all_workers_together_have_no_more_than_the_host() {
    let (_dir, w) = workers(2, 3);
    let first = w[0].try_acquire(1).unwrap().unwrap();
    let _second = w[1].try_acquire(1).unwrap().unwrap();
    for worker in &w {
        assert!(worker.try_acquire(1).unwrap().is_none());
    }
    drop(first);
    assert!(w[2].try_acquire(1).unwrap().is_some());
}

#[tokio::test]
async fn several_slots_are_taken_at_once_or_not_at_all() {
    let (_dir, w) = workers(4, 2);
    let one = w[0].try_acquire(1).unwrap().unwrap();
    assert!(w[1].try_acquire(4).unwrap().is_none());
    let three = w[1].try_acquire(3).unwrap().unwrap();
    assert_eq!(three.weight(), 3);
    assert!(w[0].try_acquire(1).unwrap().is_none());
    drop((one, three));
    assert_eq!(w[0].try_acquire(99).unwrap().unwrap().weight(), 4, "more than the host has means all");
}

#[tokio::test]
async fn a_slot_is_held_by_the_living_task_executor_whatever_becomes_of_the_worker() {
    let (_dir, mut w) = workers(1, 2);
    let guard = w[0].try_acquire(1).unwrap().unwrap();
    let executor = executor(&guard);
    drop(guard);
    assert!(w[0].try_acquire(1).unwrap().is_none(), "the worker let go, its task executor did not");
    drop(w.remove(0));
    assert!(w[0].try_acquire(1).unwrap().is_none());
    drop(executor);
    assert!(w[0].try_acquire(1).unwrap().is_some());
}

#[tokio::test]
async fn waiting_ends_when_a_worker_lets_go() {
    let (_dir, w) = workers(1, 2);
    let guard = w[0].try_acquire(1).unwrap().unwrap();
    let waiting = tokio::spawn({
        let slots = w[1].clone();
        async move { wait_for(&slots, 1).await.weight() }
    });
    while !w[0].contended() {
        tokio::task::yield_now().await;
    }
    drop(guard);
    assert_eq!(waiting.await.unwrap(), 1);
    assert!(!w[0].contended(), "nobody waits any more");
}

#[tokio::test]
async fn waiting_ends_when_an_orphaned_task_executor_ends() {
    let (_dir, w) = workers(1, 2);
    let guard = w[0].try_acquire(1).unwrap().unwrap();
    let orphan = executor(&guard);
    drop(guard);
    let waiting = tokio::spawn({
        let slots = w[1].clone();
        async move { wait_for(&slots, 1).await.weight() }
    });
    while !w[0].contended() {
        tokio::task::yield_now().await;
    }
    drop(orphan);
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn giving_up_tells_the_others() {
    let (_dir, w) = workers(1, 2);
    let _guard = w[0].try_acquire(1).unwrap().unwrap();
    assert!(w[1].try_acquire(1).unwrap().is_none());
    w[1].freed().await.unwrap();
    assert!(w[0].contended());
    w[1].give_up();
    assert!(!w[0].contended());
}

#[tokio::test]
async fn a_worker_that_waits_itself_still_sees_that_others_wait() {
    let (_dir, w) = workers(2, 2);
    let guards = [w[0].try_acquire(1).unwrap().unwrap(), w[0].try_acquire(1).unwrap().unwrap()];
    assert!(w[0].try_acquire(1).unwrap().is_none());
    w[0].freed().await.unwrap();
    assert!(!w[0].contended(), "its own wish");
    assert!(w[1].try_acquire(1).unwrap().is_none());
    w[1].freed().await.unwrap();
    assert!(w[0].contended());
    assert!(!w[0].contended(), "not all slots at once");
    drop(guards);
    assert_eq!(wait_for(&w[1], 1).await.weight(), 1);
}

#[tokio::test]
async fn who_waits_for_several_is_not_starved_by_those_who_want_one() {
    let (dir, w) = workers(2, 3);
    let one = w[0].try_acquire(1).unwrap().unwrap();
    assert!(w[1].try_acquire(2).unwrap().is_none());
    assert!(w[2].try_acquire(1).unwrap().is_none(), "free, but it is another's turn");
    drop(one);
    assert!(w[0].try_acquire(1).unwrap().is_none());
    let both = wait_for(&w[1], 2).await;
    drop(both);
    let one = wait_for(&w[2], 1).await;
    // One that is stopped while it has the turn does not stop the host.
    assert!(w[1].try_acquire(2).unwrap().is_none());
    assert!(w[0].try_acquire(1).unwrap().is_none());
    let turn = std::fs::File::options().write(true).open(dir.path().join("run/slots/turn")).unwrap();
    turn.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert!(w[0].try_acquire(1).unwrap().is_some());
    drop(one);
}

#[tokio::test]
async fn f26_a_removed_folder_is_made_again() {
    let (dir, w) = workers(2, 2);
    let held = w[0].try_acquire(2).unwrap().unwrap();
    std::fs::remove_dir_all(dir.path().join("run/slots")).unwrap();
    w[0].reopen_if_lost().unwrap();
    assert!(w[0].try_acquire(1).unwrap().is_none(), "what runs counts in the new folder");
    // The folder is there again, and yet the other worker's files are the old ones.
    w[1].reopen_if_lost().unwrap();
    assert!(w[1].try_acquire(1).unwrap().is_none(), "for the other worker too");
    drop(held);
    let again = w[0].try_acquire(2).unwrap().unwrap();
    let other = Slots::open(&RunDir::open(dir.path().join("run")).unwrap(), 2).unwrap();
    assert!(other.try_acquire(1).unwrap().is_none(), "both see the same files");
    drop(again);
    drop(other.try_acquire(2).unwrap().unwrap());
    drop(w[1].try_acquire(2).unwrap().unwrap());
}
