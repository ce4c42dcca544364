//! Many at once, each through a handle of its own.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use workflow_model::{Epoch, JobId, JobStatus, TaskIx, TaskStatus};

use super::{Store, claim_by, ending, job, owner, row};
use crate::{CancelHow, Error, JobQueue, NewRound};

/// Runs `body` once per handle, each on a thread and a runtime of its own, as processes are; answers in order.
pub(super) async fn each<T, F>(
    store: &dyn Store,
    handles: usize,
    body: impl Fn(usize, Arc<dyn JobQueue>) -> F + Sync,
) -> Vec<T>
where
    T: Send,
    F: Future<Output = T>,
{
    let queues: Vec<_> = (0..handles).map(|_| store.open()).collect();
    let barrier = std::sync::Barrier::new(handles);
    std::thread::scope(|scope| {
        let threads: Vec<_> = queues
            .into_iter()
            .enumerate()
            .map(|(n, queue)| {
                let (body, barrier) = (&body, &barrier);
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    barrier.wait();
                    runtime.block_on(body(n, queue))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// 16 workers, 10,000 jobs: each job is claimed once, and ends once (F29, F85, I6).
pub async fn f85_sixteen_claimers(store: &dyn Store) {
    const JOBS: usize = 10_000;
    let queue = store.open();
    let ids: Vec<_> =
        queue.submit((0..JOBS).map(|_| job()).collect()).await.unwrap().iter().map(|done| done.id).collect();
    let claimed = each(store, 16, |n, queue| async move {
        let mut claim = claim_by(&format!("default{n:02}"));
        claim.dead.clear();
        let mut mine = Vec::new();
        while let Some(claimed) = queue.claim(&claim).await.unwrap() {
            assert!(!claimed.resumed);
            mine.push((claimed.job.id, claimed.job.epoch));
            // Ends are synced; one in eight keeps the case short, the rest go on being owned by nobody alive.
            if mine.len() % 8 == 0 {
                queue.finish(claimed.job.id, claimed.job.epoch, &[], ending(JobStatus::Succeeded)).await.unwrap();
            } else {
                release_to_nobody(&*queue, claimed.job.id, claimed.job.epoch).await;
            }
        }
        mine
    })
    .await;
    let mut times: HashMap<(JobId, Epoch), usize> = HashMap::new();
    for claim in claimed.into_iter().flatten() {
        *times.entry(claim).or_default() += 1;
    }
    assert!(times.values().all(|times| *times == 1));
    let mut seen: Vec<_> = times.into_keys().map(|(id, _)| id).collect();
    seen.sort_unstable();
    let mut expected = ids;
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

/// The job stays under way, under an owner that no claimer names.
async fn release_to_nobody(queue: &dyn JobQueue, id: JobId, epoch: Epoch) {
    queue.record(id, epoch, &[row(0, TaskStatus::Running)]).await.unwrap();
}

/// A worker ends its job while another takes it over: one of them wins, the other is told (F86).
pub async fn f86_takeover_against_end(store: &dyn Store) {
    for _ in 0..40 {
        let id = submitted_and_claimed(store).await;
        let won = each(store, 2, |n, queue| async move {
            if n == 0 {
                match queue.finish(id, Epoch(1), &[row(0, TaskStatus::Succeeded)], ending(JobStatus::Succeeded)).await {
                    Ok(status) => status == JobStatus::Succeeded,
                    Err(Error::Fenced) => false,
                    Err(other) => panic!("{other:?}"),
                }
            } else {
                let mut taker = claim_by("default01");
                taker.dead = vec![owner("default00")];
                queue.claim(&taker).await.unwrap().is_some()
            }
        })
        .await;
        assert_ne!(won[0], won[1], "either it ended or it was taken over");
        let queue = store.open();
        let job = queue.get(id).await.unwrap();
        let expected = if won[0] { (JobStatus::Succeeded, Epoch(1)) } else { (JobStatus::Running, Epoch(2)) };
        assert_eq!((job.status, job.epoch), expected);
        assert_eq!(queue.tasks(id).await.unwrap().len(), usize::from(won[0]));
        if won[1] {
            queue.finish(id, Epoch(2), &[], ending(JobStatus::Failed)).await.unwrap();
        }
    }
}

async fn submitted_and_claimed(store: &dyn Store) -> JobId {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    let claimed = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!(claimed.job.id, id);
    id
}

/// Cancelled before it was claimed: no worker gets it. After: the worker's manager sees the intent (F88, I15).
pub async fn f88_cancel_against_claim(store: &dyn Store) {
    for _ in 0..40 {
        let id = store.open().submit(vec![job()]).await.unwrap()[0].id;
        let answers = each(store, 3, |n, queue| async move {
            if n < 2 {
                queue.cancel(id, CancelHow::Cancel).await.unwrap()
            } else if queue.claim(&claim_by("default00")).await.unwrap().is_some() {
                JobStatus::Running
            } else {
                JobStatus::Cancelled
            }
        })
        .await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "all saw the same order: {answers:?}");
        let queue = store.open();
        let job = queue.get(id).await.unwrap();
        assert_eq!(job.status, answers[0]);
        if job.status == JobStatus::Running {
            assert_eq!(queue.poll(&[], "here").await.unwrap().cancels, [(id, Epoch(1), CancelHow::Cancel)]);
            assert_eq!(queue.release(id, Epoch(1), &[]).await.unwrap(), JobStatus::Cancelled);
        }
        assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    }
}

/// An accepted cancel ends as cancelled; one that came too late says how the job ended (F88).
pub async fn f88_cancel_against_end(store: &dyn Store) {
    for _ in 0..40 {
        let id = submitted_and_claimed(store).await;
        let answers = each(store, 2, |n, queue| async move {
            if n == 0 {
                queue.cancel(id, CancelHow::Cancel).await.unwrap()
            } else {
                queue.finish(id, Epoch(1), &[], ending(JobStatus::Succeeded)).await.unwrap()
            }
        })
        .await;
        let end = store.open().get(id).await.unwrap().status;
        assert_eq!(end, answers[1], "the worker was told what stands");
        let expected = if answers[0] == JobStatus::Running { JobStatus::Cancelled } else { JobStatus::Succeeded };
        assert_eq!((answers[0] == JobStatus::Running || answers[0] == JobStatus::Succeeded, end), (true, expected));
    }
}

/// Many ask for a new round at once: one is opened.
pub async fn f88_retry_against_retry(store: &dyn Store) {
    let id = submitted_and_claimed(store).await;
    let rows = [row(0, TaskStatus::Failed)];
    store.open().finish(id, Epoch(1), &rows, ending(JobStatus::Failed)).await.unwrap();
    let opened = AtomicUsize::new(0);
    each(store, 8, |_, queue| {
        let opened = &opened;
        async move {
            match queue.retry(id, NewRound { seen: 1, reset: vec![TaskIx(0)], ..NewRound::default() }).await {
                Ok(()) => opened.fetch_add(1, Ordering::Relaxed),
                Err(Error::Refused(_)) => 0,
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert_eq!(opened.into_inner(), 1);
    assert_eq!(store.open().get(id).await.unwrap().round, 2);
}

/// One job, however many clients submit it under one key (I19).
pub async fn same_key_from_many(store: &dyn Store) {
    let answers = each(store, 8, |_, queue| async move {
        let mut new = job();
        new.key = Some("once".into());
        queue.submit(vec![new]).await.unwrap()[0].clone()
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    assert!(answers.iter().all(|answer| answer.id == answers[0].id));
    assert_eq!(store.open().list(&Default::default()).await.unwrap().len(), 1);
}
