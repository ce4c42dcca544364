//! Workers take jobs.

use std::time::Duration;

use workflow_model::{Epoch, ExecutorKind, JobStatus, TaskStatus};

use super::{Store, claim_by, ending, job, owner, queue_name, row};
use crate::{Error, JobQueue, Micros};

/// Priority first, then arrival.
pub async fn highest_priority_then_oldest(store: &dyn Store) {
    let queue = store.open();
    let mut jobs = Vec::new();
    for priority in [0, 5, 0, -1, 5] {
        let mut new = job();
        new.priority = priority;
        jobs.push(new.id);
        queue.submit(vec![new]).await.unwrap();
    }
    let mut order = Vec::new();
    for n in 0..5 {
        order.push(queue.claim(&claim_by(&format!("default{n:02}"))).await.unwrap().unwrap().job.id);
    }
    assert_eq!(order, [jobs[1], jobs[4], jobs[0], jobs[2], jobs[3]]);
    assert!(queue.claim(&claim_by("default09")).await.unwrap().is_none());
}

/// `run_at` holds a job back, whatever its priority, and holds nobody else back.
pub async fn not_before_its_time(store: &dyn Store) {
    let queue = store.open();
    let (mut later, mut past) = (job(), job());
    later.run_at = Some(now(&*queue).await + 3_600_000_000);
    later.priority = 100;
    past.run_at = Some(now(&*queue).await - 1);
    let (plain, soon_id) = (job(), {
        let mut soon = job();
        soon.run_at = Some(now(&*queue).await + 200_000);
        soon.priority = 50;
        let id = soon.id;
        queue.submit(vec![later, soon]).await.unwrap();
        id
    });
    let (past_id, plain_id) = (past.id, plain.id);
    queue.submit(vec![past, plain]).await.unwrap();
    // Two are due; the third becomes due within a fifth of a second, the fourth in an hour.
    let mut got = Vec::new();
    for n in 0..3 {
        let claim = claim_by(&format!("default{n:02}"));
        got.push(loop {
            match queue.claim(&claim).await.unwrap() {
                Some(claimed) => break claimed.job.id,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        });
    }
    got.sort();
    let mut due = [past_id, plain_id, soon_id];
    due.sort();
    assert_eq!(got, due);
    assert!(queue.claim(&claim_by("default09")).await.unwrap().is_none());
}

/// The database's clock, as a job tells it.
pub(super) async fn now(queue: &dyn JobQueue) -> Micros {
    let mut probe = job();
    probe.queue = queue_name("clock");
    let id = probe.id;
    queue.submit(vec![probe]).await.unwrap();
    queue.get(id).await.unwrap().created
}

/// A worker of one queue sees nothing of another.
pub async fn of_its_own_queue_only(store: &dyn Store) {
    let queue = store.open();
    let mut other = job();
    other.queue = queue_name("other");
    let id = other.id;
    queue.submit(vec![other]).await.unwrap();
    assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    let mut claim = claim_by("other00");
    claim.queue = queue_name("other");
    assert_eq!(queue.claim(&claim).await.unwrap().unwrap().job.id, id);
}

/// A claimed job is what was submitted, has the lease, and is given to nobody else.
pub async fn nothing_twice(store: &dyn Store) {
    let queue = store.open();
    let mut new = job();
    new.settings = "{\"a\":1}".into();
    queue.submit(vec![new.clone()]).await.unwrap();
    let claimed = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!((claimed.definition, claimed.settings), (new.definition, new.settings));
    assert_eq!((claimed.job.status, claimed.job.epoch, claimed.resumed), (JobStatus::Running, Epoch(1), false));
    assert_eq!((claimed.job.owner.clone(), claimed.tasks.len()), (Some(owner("default00")), 0));
    assert_eq!(claimed.job.store.as_deref(), Some("fs:/jobs"));
    let started = claimed.job.started.unwrap();
    assert_eq!(claimed.job.lease_until.unwrap() - started, 60_000_000, "the lease is TTL long, in microseconds");
    assert_eq!(store.open().get(new.id).await.unwrap(), claimed.job);
    assert!(store.open().claim(&claim_by("default01")).await.unwrap().is_none());
}

/// What a dead worker left comes before what waits, with its rows; a paused queue or a limit holds only fresh jobs.
pub async fn from_dead_owners_first(store: &dyn Store) {
    let queue = store.open();
    let (left, mut urgent) = (job(), job());
    urgent.priority = 9;
    queue.submit(vec![left.clone()]).await.unwrap();
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.record(left.id, Epoch(1), &[row(1, TaskStatus::Running)]).await.unwrap();
    queue.submit(vec![urgent.clone()]).await.unwrap();
    queue.pause(&urgent.queue, true).await.unwrap();
    queue.limit(&urgent.queue, Some(1)).await.unwrap();

    let mut claim = claim_by("default01");
    claim.dead.push(owner("default00"));
    let taken = queue.claim(&claim).await.unwrap().unwrap();
    assert_eq!((taken.job.id, taken.job.epoch, taken.resumed), (left.id, Epoch(2), true));
    assert_eq!((taken.job.owner, taken.job.status), (Some(owner("default01")), JobStatus::Running));
    assert_eq!(taken.tasks.iter().map(|row| (row.task.0, row.status)).collect::<Vec<_>>(), [(1, TaskStatus::Running)]);
    let mut third = claim_by("default02");
    third.dead.push(owner("default00"));
    assert!(queue.claim(&third).await.unwrap().is_none(), "it is the other's now, and the queue is paused");

    // A job that was being stopped goes on being stopped.
    queue.cancelling(left.id, Epoch(2)).await.unwrap();
    let back = queue.claim(&claim).await.unwrap().unwrap();
    assert_eq!((back.job.id, back.job.status, back.resumed), (left.id, JobStatus::Cancelling, true));
}

/// Slot locks decide, not clocks.
pub async fn never_from_a_living_owner_when_the_lease_expired(store: &dyn Store) {
    let queue = store.open();
    queue.submit(vec![job()]).await.unwrap();
    let mut short = claim_by("default00");
    short.ttl = Duration::ZERO;
    let claimed = queue.claim(&short).await.unwrap().unwrap();
    let other = claim_by("default01");
    assert!(queue.claim(&other).await.unwrap().is_none());
    queue.record(claimed.job.id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
    assert_eq!(queue.renew(&[(claimed.job.id, Epoch(1))], other.ttl).await.unwrap(), [claimed.job.id]);
}

/// A worker that is stopping adopts what is left, and begins nothing.
pub async fn wants_no_fresh_job(store: &dyn Store) {
    let queue = store.open();
    queue.submit(vec![job(), job()]).await.unwrap();
    let first = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    let mut claim = claim_by("default00");
    claim.fresh = false;
    assert_eq!(queue.claim(&claim).await.unwrap().unwrap().job.id, first.job.id);
    claim.dead.clear();
    assert!(queue.claim(&claim).await.unwrap().is_none());
}

/// The first worker says what a queue is, even when there is nothing to do; another is refused with the remedy.
pub async fn executor_and_store_are_written_down(store: &dyn Store) {
    let queue = store.open();
    queue.pause(&queue_name("default"), false).await.unwrap();
    let claim = claim_by("default00");
    assert!(queue.claim(&claim).await.unwrap().is_none());
    let rows = queue.queues().await.unwrap();
    assert_eq!((rows[0].executor, rows[0].store.as_deref()), (Some(ExecutorKind::Shell), Some("fs:/jobs")));
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    for (executor, files) in [(ExecutorKind::Docker, "fs:/jobs"), (ExecutorKind::Shell, "fs:/elsewhere")] {
        let mut other = claim.clone();
        other.executor = executor;
        other.store = files.into();
        let refused = queue.claim(&other).await.unwrap_err();
        assert!(matches!(refused, Error::Mismatch(_)), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains("shell") && text.contains("fs:/jobs") && text.contains("--qname"), "{text}");
    }
    assert_eq!(queue.claim(&claim).await.unwrap().unwrap().job.id, id);
}

/// Every claim has a higher epoch, over releases and rounds.
pub async fn epochs_grow(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    let claim = claim_by("default00");
    for epoch in 1..=4 {
        let claimed = queue.claim(&claim).await.unwrap().unwrap();
        assert_eq!(claimed.job.epoch, Epoch(epoch));
        assert!(!claimed.resumed);
        if epoch == 3 {
            queue.finish(id, Epoch(epoch), &[], ending(JobStatus::Failed)).await.unwrap();
            queue.retry(id, crate::NewRound { seen: 1, ..Default::default() }).await.unwrap();
        } else {
            assert_eq!(queue.release(id, Epoch(epoch), &[]).await.unwrap(), JobStatus::Queued);
        }
        let row = queue.get(id).await.unwrap();
        assert_eq!((row.status, row.owner, row.lease_until), (JobStatus::Queued, None, None));
    }
}
