//! Limits for each key of a queue.

use std::{sync::Arc, time::Duration};

use workflow_model::{Epoch, JobId, JobStatus, LimitKey, TaskStatus};

use super::{Store, claim_by, ending, job, queue_name, races::each, row};
use crate::{CancelHow, Claimed, JobQueue, NewJob, NewRound, Prune};

fn key(text: &str) -> LimitKey {
    LimitKey::new(text).unwrap()
}

/// A job with a limit key.
fn keyed(text: &str) -> NewJob {
    NewJob { limit_key: Some(key(text)), ..job() }
}

async fn submit(queue: &dyn JobQueue, jobs: Vec<NewJob>) -> Vec<JobId> {
    queue.submit(jobs).await.unwrap().iter().map(|done| done.id).collect()
}

/// What a worker that was never here before is given.
async fn take(queue: &dyn JobQueue, slot: u32) -> Option<JobId> {
    claimed(queue, slot).await.map(|claimed| claimed.job.id)
}

async fn claimed(queue: &dyn JobQueue, slot: u32) -> Option<Claimed> {
    let mut claim = claim_by(&format!("default{slot:02}"));
    claim.dead.clear();
    queue.claim(&claim).await.unwrap()
}

async fn end(queue: &dyn JobQueue, id: JobId) {
    let epoch = queue.get(id).await.unwrap().epoch;
    queue.finish(id, epoch, &[], ending(JobStatus::Succeeded)).await.unwrap();
}

/// One at a time of each key where nothing was said; the jobs behind one that waits are not held up by it.
pub async fn one_at_a_time_and_others_pass(store: &dyn Store) {
    let queue = store.open();
    let (mut urgent, mut other) = (keyed("db"), keyed("gpu"));
    urgent.priority = 9;
    other.priority = -1;
    let ids = submit(&*queue, vec![keyed("db"), keyed("db"), job(), other, urgent]).await;
    assert_eq!(take(&*queue, 0).await, Some(ids[4]), "the highest priority");
    assert_eq!(take(&*queue, 1).await, Some(ids[2]), "the key is taken: its jobs are passed over");
    assert_eq!(take(&*queue, 2).await, Some(ids[3]), "another key");
    assert_eq!(take(&*queue, 3).await, None);
    end(&*queue, ids[4]).await;
    assert_eq!(take(&*queue, 3).await, Some(ids[0]), "the oldest of those that wait");
    assert_eq!(take(&*queue, 4).await, None);
    let shown = queue.get(ids[1]).await.unwrap();
    assert_eq!((shown.limit_key.as_deref(), shown.status, shown.run_at), (Some("db"), JobStatus::Queued, None));
}

/// A key's own limit, that of all keys of a queue, and none; keys are a queue's own.
pub async fn limits_of_one_key_and_of_all(store: &dyn Store) {
    let queue = store.open();
    let name = queue_name("default");
    let of = |text: &'static str, jobs: usize| (0..jobs).map(move |_| keyed(text));
    submit(&*queue, of("a", 5).chain(of("b", 5)).collect()).await;
    let mut elsewhere = keyed("a");
    elsewhere.queue = queue_name("etl");
    submit(&*queue, vec![elsewhere]).await;
    let running = async |slots: std::ops::Range<u32>| {
        for slot in slots {
            if take(&*queue, slot).await.is_none() {
                break;
            }
        }
        let keys = queue.keys(&name, None).await.unwrap();
        keys.into_iter().map(|row| (row.key, row.limit, row.running)).collect::<Vec<_>>()
    };
    let is = |a: (u32, u64), b: (u32, u64)| vec![("a".to_owned(), a.0, a.1), ("b".to_owned(), b.0, b.1)];
    assert_eq!(running(0..9).await, is((1, 1), (1, 1)));
    queue.limit_key(&name, None, Some(2)).await.unwrap();
    assert_eq!(running(10..19).await, is((2, 2), (2, 2)));
    queue.limit_key(&name, Some(&key("a")), Some(4)).await.unwrap();
    assert_eq!(running(20..29).await, is((4, 4), (2, 2)));
    queue.limit_key(&name, Some(&key("b")), Some(0)).await.unwrap();
    queue.limit_key(&name, Some(&key("a")), Some(1)).await.unwrap();
    assert_eq!(running(30..39).await, is((1, 4), (0, 2)), "those under way go on, and no more come");
    queue.limit_key(&name, Some(&key("b")), None).await.unwrap();
    queue.limit_key(&name, None, Some(3)).await.unwrap();
    assert_eq!(running(40..49).await, is((1, 4), (3, 3)));
    queue.limit_key(&name, None, None).await.unwrap();
    queue.limit_key(&name, Some(&key("a")), Some(5)).await.unwrap();
    assert_eq!(running(50..59).await, is((5, 5), (1, 3)));
    assert_eq!(queue.keys(&queue_name("etl"), Some("a")).await.unwrap()[0].running, 0);
}

/// What `queue ls` shows, and of a key that is nobody's nothing.
pub async fn are_shown(store: &dyn Store) {
    let queue = store.open();
    let name = queue_name("default");
    let (mut first, mut late) = (keyed("a"), keyed("a"));
    first.priority = 2;
    late.run_at = Some(i64::MAX);
    let ids = submit(&*queue, vec![keyed("a"), first, keyed("a"), late]).await;
    queue.limit_key(&name, Some(&key("z")), Some(7)).await.unwrap();
    queue.limit_key(&name, None, Some(1)).await.unwrap();
    take(&*queue, 0).await.unwrap();
    let rows = queue.keys(&name, None).await.unwrap();
    let shown: Vec<_> =
        rows.iter().map(|row| (row.key.as_str(), row.limit, row.own, row.running, row.queued, row.next)).collect();
    assert_eq!(shown, [("a", 1, false, 1, 2, Some(ids[0])), ("z", 7, true, 0, 0, None)]);
    assert_eq!(queue.keys(&name, Some("a")).await.unwrap(), rows[..1]);
    assert_eq!(queue.keys(&name, Some("nobody's")).await.unwrap(), []);
    assert_eq!(queue.queues().await.unwrap()[0].key_limit, Some(1));
    let holders = crate::Filter { limit_key: Some("a".into()), states: vec![JobStatus::Running], ..Default::default() };
    let holders = queue.list(&holders).await.unwrap();
    assert_eq!(holders.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1]]);
}

/// Whatever ends a job, or gives it back, frees its place or keeps it as it should.
pub async fn follow_every_way_of_a_job(store: &dyn Store) {
    let queue = store.open();
    let ids = submit(&*queue, (0..6).map(|_| keyed("k")).collect()).await;
    // A job that stops still counts; given back, it is the next one, at its old place in the order.
    assert_eq!(take(&*queue, 0).await, Some(ids[0]));
    queue.cancelling(ids[0], Epoch(1)).await.unwrap();
    assert_eq!(take(&*queue, 1).await, None);
    queue.release(ids[0], Epoch(1), &[]).await.unwrap();
    assert_eq!(take(&*queue, 1).await, Some(ids[0]));
    // A cancel that wins over a release or an end frees it too.
    queue.cancel(ids[0], CancelHow::Cancel).await.unwrap();
    assert_eq!(queue.release(ids[0], Epoch(2), &[]).await.unwrap(), JobStatus::Cancelled);
    assert_eq!(take(&*queue, 0).await, Some(ids[1]));
    queue.cancel(ids[1], CancelHow::Now).await.unwrap();
    assert_eq!(take(&*queue, 1).await, None, "its worker has not ended it yet");
    queue.finish(ids[1], Epoch(1), &[], ending(JobStatus::Failed)).await.unwrap();
    // One that was let in and is cancelled before anybody takes it makes room; one that waits just goes.
    let urgent = submit(&*queue, vec![NewJob { priority: 9, ..job() }]).await;
    assert_eq!(take(&*queue, 2).await, Some(urgent[0]), "the next of the key is let in meanwhile");
    queue.cancel(ids[2], CancelHow::Cancel).await.unwrap();
    queue.cancel(ids[4], CancelHow::Cancel).await.unwrap();
    assert_eq!(take(&*queue, 0).await, Some(ids[3]));
    // A new round waits for its turn as any other job.
    queue.retry(ids[1], NewRound { seen: 1, ..NewRound::default() }).await.unwrap();
    assert_eq!(queue.get(ids[1]).await.unwrap().limit_key.as_deref(), Some("k"));
    assert_eq!(take(&*queue, 1).await, None);
    end(&*queue, ids[3]).await;
    assert_eq!(take(&*queue, 0).await, Some(ids[1]), "at its old place in the order");
    // Forgotten though it had not ended: nobody holds its place any more.
    let abandoned = Prune { abandoned: vec![(ids[1], Epoch(2))], ..Prune::default() };
    assert_eq!(queue.prune(&abandoned).await.unwrap(), [ids[1]]);
    assert_eq!(take(&*queue, 0).await, Some(ids[5]));
}

/// A holder's lease may expire: its job is resumed first, and has its place until it has ended.
pub async fn an_expired_lease_keeps_the_place(store: &dyn Store) {
    let queue = store.open();
    let ids = submit(&*queue, vec![keyed("k"), keyed("k")]).await;
    let mut claim = claim_by("default00");
    (claim.owner.host, claim.ttl) = ("there".into(), Duration::ZERO);
    claim.dead.clear();
    queue.claim(&claim).await.unwrap().unwrap();
    assert_eq!(take(&*queue, 1).await, None, "expired, and unfinished");
    let mut taker = claim_by("default01");
    taker.dead.push(claim.owner.clone());
    let resumed = queue.claim(&taker).await.unwrap().unwrap();
    assert_eq!((resumed.job.id, resumed.resumed), (ids[0], true));
    assert_eq!(take(&*queue, 2).await, None);
    let (_, next) = queue
        .finish_and_claim(ids[0], Epoch(2), &[], ending(JobStatus::Succeeded), &claim_by("default01"))
        .await
        .unwrap();
    assert_eq!(next.unwrap().job.id, ids[1]);
}

/// From job to job in one commit: the end counts for the key, and a job of a key that is taken is passed over.
pub async fn count_the_end_for_the_next(store: &dyn Store) {
    let queue = store.open();
    let ids = submit(&*queue, vec![keyed("k"), keyed("k"), keyed("l"), keyed("l"), job()]).await;
    let mut claim = claim_by("default00");
    claim.dead.clear();
    assert_eq!(take(&*queue, 0).await, Some(ids[0]));
    assert_eq!(take(&*queue, 1).await, Some(ids[2]));
    let next = async |id| {
        let done = queue.finish_and_claim(id, Epoch(1), &[], ending(JobStatus::Succeeded), &claim).await.unwrap();
        done.1.map(|claimed| claimed.job.id)
    };
    assert_eq!(next(ids[0]).await, Some(ids[1]));
    assert_eq!(next(ids[1]).await, Some(ids[4]), "of the other key one runs");
    assert_eq!(next(ids[4]).await, None);
    assert_eq!(next(ids[2]).await, Some(ids[3]));
}

/// A job with a `run_at` waits for its moment, and then for its place; the queue's own limit and a pause hold besides.
pub async fn beside_run_at_pause_and_limit(store: &dyn Store) {
    let queue = store.open();
    let name = queue_name("default");
    let (mut due, mut late) = (keyed("k"), keyed("k"));
    due.run_at = Some(1);
    late.run_at = Some(i64::MAX);
    let ids = submit(&*queue, vec![late, keyed("k"), due, keyed("l")]).await;
    let names = [name.clone()];
    queue.limit(&name, Some(1)).await.unwrap();
    queue.pause(&name, true).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, []);
    assert_eq!(take(&*queue, 0).await, None);
    queue.pause(&name, false).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, names);
    assert_eq!(take(&*queue, 0).await, Some(ids[1]));
    assert_eq!(take(&*queue, 1).await, None, "the queue's limit");
    queue.limit(&name, None).await.unwrap();
    assert_eq!(take(&*queue, 1).await, Some(ids[3]));
    assert_eq!(take(&*queue, 2).await, None);
    let poll = queue.poll(&names, "here").await.unwrap();
    assert_eq!(poll.ready, [], "what waits for a place is nothing to poll for");
    assert_eq!(poll.next, Some(i64::MAX - 1), "the one that is never due");
    end(&*queue, ids[1]).await;
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, names);
    assert_eq!(take(&*queue, 2).await, Some(ids[2]));
}

/// A higher priority that comes later comes first, also before one that was let in and not taken yet.
pub async fn a_priority_overtakes_one_that_was_let_in(store: &dyn Store) {
    let queue = store.open();
    let name = queue_name("default");
    queue.limit_key(&name, Some(&key("k")), Some(2)).await.unwrap();
    let mut first = job();
    first.priority = 9;
    let ids = submit(&*queue, vec![keyed("k"), keyed("k"), keyed("k"), first]).await;
    assert_eq!(take(&*queue, 0).await, Some(ids[3]), "two of the key are let in meanwhile");
    let (mut high, mut higher) = (keyed("k"), keyed("k"));
    (high.priority, higher.priority) = (1, 2);
    let late = submit(&*queue, vec![high, higher]).await;
    let mut taken = Vec::new();
    for slot in 1..9 {
        taken.extend(take(&*queue, slot).await);
    }
    assert_eq!(taken, [late[1], late[0]]);
    end(&*queue, late[1]).await;
    assert_eq!(take(&*queue, 1).await, Some(ids[0]));
}

/// Many keys at once, and more jobs of one key than are let in at once.
pub async fn many_keys_and_a_wide_one(store: &dyn Store) {
    let queue = store.open();
    let name = queue_name("default");
    queue.limit_key(&name, Some(&key("wide")), Some(1_500)).await.unwrap();
    let wide = (0..1_200).map(|_| keyed("wide"));
    let many = (0..700).flat_map(|n| (0..2).map(move |_| NewJob { priority: -1, ..keyed(&format!("key {n:03}")) }));
    submit(&*queue, wide.chain(many).collect()).await;
    let mut taken = 0;
    while take(&*queue, taken).await.is_some() {
        taken += 1;
    }
    assert_eq!(taken, 1_200 + 700);
    let keys = queue.keys(&name, None).await.unwrap();
    assert_eq!(keys.len(), 701);
    assert!(keys.iter().all(|row| row.running == if row.key == "wide" { 1_200 } else { 1 }));
}

/// Eight workers, three keys with limits of 1, 2 and 3: at no instant do more jobs of a key run than its limit (I17), and
/// none is left. What ran when is seen from outside: between a claim's answer and the call that ends the job.
pub async fn i17_eight_workers_never_above_the_limit(store: &dyn Store) {
    const JOBS: usize = 240;
    let queue = store.open();
    let name = queue_name("default");
    let limits = [("one", 1), ("two", 2), ("three", 3)];
    for (text, limit) in limits {
        queue.limit_key(&name, Some(&key(text)), Some(limit)).await.unwrap();
    }
    let jobs = (0..JOBS).map(|n| NewJob { priority: (n % 5) as i32, ..keyed(limits[n % 3].0) });
    submit(&*queue, jobs.collect()).await;
    let clock = std::sync::atomic::AtomicUsize::new(0);
    let tick = || clock.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let left = std::sync::atomic::AtomicUsize::new(JOBS);
    let spans = each(store, 8, |n, queue| {
        let (tick, left) = (&tick, &left);
        async move { work(n, queue, tick, left).await }
    })
    .await;
    let spans: Vec<(String, usize, usize)> = spans.into_iter().flatten().collect();
    for (text, limit) in limits {
        let mut steps: Vec<(usize, i32)> = Vec::new();
        for (_, begin, end) in spans.iter().filter(|(key, ..)| key == text) {
            steps.extend([(*begin, 1), (*end, -1)]);
        }
        steps.sort_unstable();
        let most = steps.iter().scan(0, |running, (_, step)| {
            *running += step;
            Some(*running)
        });
        assert!(most.max().unwrap() <= limit as i32, "key {text}: {steps:?}");
    }
    let ended = queue.list(&crate::Filter { states: vec![JobStatus::Succeeded], ..Default::default() }).await.unwrap();
    assert_eq!(ended.len(), JOBS);
    assert!(queue.keys(&name, None).await.unwrap().iter().all(|row| row.running + row.queued == 0));
}

/// A worker's life: from job to job, some of them given back.
async fn work(
    number: usize,
    queue: Arc<dyn JobQueue>,
    tick: &(impl Fn() -> usize + Sync),
    left: &std::sync::atomic::AtomicUsize,
) -> Vec<(String, usize, usize)> {
    use std::sync::atomic::Ordering;
    let mut claim = claim_by(&format!("default{number:02}"));
    claim.dead.clear();
    let mut spans = Vec::new();
    let (mut next, mut turn) = (None, 0);
    while left.load(Ordering::SeqCst) > 0 {
        let taken = match next.take() {
            Some(taken) => Some(taken),
            None => queue.claim(&claim).await.unwrap(),
        };
        let Some(Claimed { job, .. }) = taken else {
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        };
        turn += 1;
        let begin = tick();
        queue.record(job.id, job.epoch, &[row(0, TaskStatus::Running)]).await.unwrap();
        spans.push((job.limit_key.clone().unwrap(), begin, tick()));
        let rows = [row(0, TaskStatus::Succeeded)];
        match turn % 4 {
            0 => {
                queue.release(job.id, job.epoch, &[]).await.unwrap();
            }
            1 => {
                queue.finish(job.id, job.epoch, &rows, ending(JobStatus::Succeeded)).await.unwrap();
                left.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {
                let end = ending(JobStatus::Succeeded);
                next = queue.finish_and_claim(job.id, job.epoch, &rows, end, &claim).await.unwrap().1;
                left.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
    if let Some(Claimed { job, .. }) = next {
        queue.release(job.id, job.epoch, &[]).await.unwrap();
    }
    spans
}
