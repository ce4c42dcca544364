//! Workers go from one job to the next in one commit.

use workflow_model::{Epoch, ExecutorKind, JobStatus, TaskStatus};

use super::{Store, claim_by, ending, job, owner, queue_name, races::each, row};
use crate::{CancelHow, Error};

/// Both halves are what they are alone: the job ends with its rows, and the highest priority comes next.
pub async fn ends_one_and_takes_the_next(store: &dyn Store) {
    let queue = store.open();
    let (first, plain, mut urgent) = (job(), job(), job());
    urgent.priority = 3;
    queue.submit(vec![first.clone()]).await.unwrap();
    let claim = claim_by("default00");
    queue.claim(&claim).await.unwrap().unwrap();
    queue.submit(vec![plain.clone(), urgent.clone()]).await.unwrap();
    let rows = [row(0, TaskStatus::Succeeded)];
    // A handle whose last claim was slow may look at a late urgent job some moments later (F43): this one has made none.
    let (status, next) =
        store.open().finish_and_claim(first.id, Epoch(1), &rows, ending(JobStatus::Succeeded), &claim).await.unwrap();
    let next = next.unwrap();
    assert_eq!((status, next.job.id, next.job.epoch, next.resumed), (JobStatus::Succeeded, urgent.id, Epoch(1), false));
    assert_eq!((next.definition, next.job.owner.clone()), (urgent.definition, Some(owner("default00"))));
    let ended = store.open().get(first.id).await.unwrap();
    assert_eq!((ended.status, ended.owner, ended.counts.succeeded), (JobStatus::Succeeded, None, 1));
    assert_eq!(store.open().get(urgent.id).await.unwrap(), next.job);
    assert_eq!(queue.get(plain.id).await.unwrap().status, JobStatus::Queued);
}

/// One job at a time, and yet no pause between two.
pub async fn counts_the_end_for_the_limit(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    queue.limit(&queue_name("default"), Some(1)).await.unwrap();
    let claim = claim_by("default00");
    queue.claim(&claim).await.unwrap().unwrap();
    let end = || ending(JobStatus::Failed);
    let (_, next) = queue.finish_and_claim(ids[0], Epoch(1), &[], end(), &claim).await.unwrap();
    assert_eq!(next.unwrap().job.id, ids[1]);
    queue.pause(&queue_name("default"), true).await.unwrap();
    let (_, next) = queue.finish_and_claim(ids[1], Epoch(1), &[], end(), &claim).await.unwrap();
    assert!(next.is_none(), "the queue is paused");
    assert_eq!(queue.get(ids[1]).await.unwrap().status, JobStatus::Failed);
}

/// Nothing there, nothing wanted, or a queue that became another's meanwhile: the end stands.
pub async fn ends_even_if_nothing_is_given(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    for (at, (fresh, executor)) in
        [(false, ExecutorKind::Shell), (true, ExecutorKind::Docker), (true, ExecutorKind::Shell)].iter().enumerate()
    {
        assert_eq!(queue.claim(&claim_by("default00")).await.unwrap().unwrap().job.id, ids[at]);
        let mut claim = claim_by("default00");
        (claim.fresh, claim.executor) = (*fresh, *executor);
        let ended = queue.finish_and_claim(ids[at], Epoch(1), &[], ending(JobStatus::Succeeded), &claim).await.unwrap();
        assert!(matches!(ended, (JobStatus::Succeeded, None)), "{ended:?}");
        assert_eq!(queue.get(ids[at]).await.unwrap().status, JobStatus::Succeeded);
    }
}

/// A worker that lost its job does not get another one in passing.
pub async fn fenced_takes_nothing(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    let claim = claim_by("default00");
    queue.claim(&claim).await.unwrap().unwrap();
    let mut taker = claim_by("default01");
    taker.dead = vec![owner("default00")];
    queue.claim(&taker).await.unwrap().unwrap();
    let end = ending(JobStatus::Succeeded);
    let refused = queue.finish_and_claim(ids[0], Epoch(1), &[row(0, TaskStatus::Failed)], end, &claim).await;
    assert!(matches!(refused, Err(Error::Fenced)), "{refused:?}");
    let unfinished = queue.finish_and_claim(ids[0], Epoch(2), &[], ending(JobStatus::Running), &taker).await;
    assert!(matches!(unfinished, Err(Error::Refused(_))), "{unfinished:?}");
    assert_eq!(queue.get(ids[1]).await.unwrap().status, JobStatus::Queued);
    assert!(queue.tasks(ids[0]).await.unwrap().is_empty());
}

/// An accepted cancel stands here too; one of the next job keeps it from being taken.
pub async fn ends_as_cancelled_and_goes_on(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    let claim = claim_by("default00");
    queue.claim(&claim).await.unwrap().unwrap();
    queue.cancel(ids[0], CancelHow::Cancel).await.unwrap();
    queue.cancel(ids[1], CancelHow::Cancel).await.unwrap();
    let end = ending(JobStatus::Succeeded);
    let (status, next) = queue.finish_and_claim(ids[0], Epoch(1), &[], end, &claim).await.unwrap();
    assert_eq!((status, next.unwrap().job.id), (JobStatus::Cancelled, ids[2]));
}

/// Workers that go from job to job: each job is taken once and ends once, and nothing is left behind (F85, I6).
pub async fn f85_workers_go_from_job_to_job(store: &dyn Store) {
    const JOBS: usize = 400;
    let queue = store.open();
    let all: Vec<_> =
        queue.submit((0..JOBS).map(|_| job()).collect()).await.unwrap().iter().map(|done| done.id).collect();
    let taken = each(store, 4, |n, queue| async move {
        let claim = claim_by(&format!("default{n:02}"));
        let mut mine = Vec::new();
        let mut next = queue.claim(&claim).await.unwrap();
        while let Some(claimed) = next {
            // Again only what an answer that was lost had given to this very worker.
            assert_eq!(claimed.resumed, claimed.job.epoch > Epoch(1));
            let (id, epoch) = (claimed.job.id, claimed.job.epoch);
            mine.push(id);
            let end = ending(JobStatus::Succeeded);
            next = queue.finish_and_claim(id, epoch, &[row(0, TaskStatus::Succeeded)], end, &claim).await.unwrap().1;
        }
        mine
    })
    .await;
    let mut taken: Vec<_> = taken.into_iter().flatten().collect();
    taken.sort_unstable();
    let mut all = all;
    all.sort_unstable();
    assert_eq!(taken, all);
    for id in all {
        assert_eq!(queue.get(id).await.unwrap().status, JobStatus::Succeeded);
    }
}
