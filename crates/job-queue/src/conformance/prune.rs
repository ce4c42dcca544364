//! Jobs are forgotten.

use std::collections::BTreeSet;

use workflow_model::{Epoch, JobId, JobStatus, TaskStatus};

use super::{Store, claim_by, ending, job, row};
use crate::{Claim, Error, Filter, JobQueue, Micros, Prune};

/// Jobs that ended one after the other, at different moments.
async fn ended(queue: &dyn JobQueue, statuses: &[JobStatus]) -> Vec<(JobId, Micros)> {
    let mut jobs = Vec::new();
    for status in statuses {
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        queue.finish(id, Epoch(1), &[row(0, TaskStatus::Succeeded)], ending(*status)).await.unwrap();
        jobs.push((id, queue.get(id).await.unwrap().ended.unwrap()));
    }
    assert!(jobs.is_sorted_by(|a, b| a.1 < b.1), "the clock has microseconds: {jobs:?}");
    jobs
}

async fn left(queue: &dyn JobQueue) -> BTreeSet<JobId> {
    queue.list(&Filter::default()).await.unwrap().iter().map(|row| row.id).collect()
}

fn ids(jobs: &[(JobId, Micros)]) -> BTreeSet<JobId> {
    jobs.iter().map(|(id, _)| *id).collect()
}

/// What ended before a moment; with all that belongs to it.
pub async fn by_age(store: &dyn Store) {
    let queue = store.open();
    let jobs = ended(&*queue, &[JobStatus::Succeeded, JobStatus::Failed, JobStatus::Succeeded]).await;
    let gone = queue.prune(&Prune { ended_before: Some(jobs[2].1), ..Prune::default() }).await.unwrap();
    assert_eq!(gone.into_iter().collect::<BTreeSet<_>>(), ids(&jobs[..2]));
    assert_eq!(left(&*queue).await, ids(&jobs[2..]));
    assert!(matches!(queue.definition(jobs[0].0).await, Err(Error::NotFound(_))));
    assert!(matches!(queue.tasks(jobs[0].0).await, Err(Error::NotFound(_))));
}

/// All but the newest.
pub async fn by_number(store: &dyn Store) {
    let queue = store.open();
    let jobs = ended(&*queue, &[JobStatus::Succeeded; 5]).await;
    queue.prune(&Prune { keep: Some(2), ..Prune::default() }).await.unwrap();
    assert_eq!(left(&*queue).await, ids(&jobs[3..]));
    queue.prune(&Prune { keep: Some(0), ..Prune::default() }).await.unwrap();
    assert_eq!(left(&*queue).await, ids(&[]));
}

/// Failed and cancelled jobs have an age of their own, which beats the number.
pub async fn keeps_failed_longer(store: &dyn Store) {
    use JobStatus::{Cancelled, Failed, Succeeded};
    let queue = store.open();
    let jobs = ended(&*queue, &[Failed, Succeeded, Cancelled, Failed, Succeeded]).await;
    let prune =
        Prune { ended_before: Some(jobs[4].1), failed_before: Some(jobs[1].1), keep: Some(0), ..Prune::default() };
    queue.prune(&prune).await.unwrap();
    assert_eq!(left(&*queue).await, ids(&jobs[2..4]));
}

/// Queued, running and stopping jobs stay, however old; and without a rule all stay.
pub async fn never_takes_what_has_not_ended(store: &dyn Store) {
    let queue = store.open();
    let jobs = queue.submit(vec![job(), job(), job()]).await.unwrap();
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.claim(&claim_by("default01")).await.unwrap().unwrap();
    queue.cancelling(jobs[1].id, Epoch(1)).await.unwrap();
    let all = Prune { ended_before: Some(i64::MAX), failed_before: Some(i64::MAX), keep: Some(0), ..Prune::default() };
    assert_eq!(queue.prune(&all).await.unwrap(), []);
    queue.finish(jobs[0].id, Epoch(1), &[], ending(JobStatus::Failed)).await.unwrap();
    assert_eq!(queue.prune(&Prune::default()).await.unwrap(), []);
    assert_eq!(left(&*queue).await.len(), 3);
    assert_eq!(queue.prune(&all).await.unwrap(), [jobs[0].id]);
}

/// `--dry-run`.
pub async fn only_says_which(store: &dyn Store) {
    let queue = store.open();
    let jobs = ended(&*queue, &[JobStatus::Succeeded; 3]).await;
    let prune = Prune { keep: Some(1), dry_run: true, ..Prune::default() };
    let named: BTreeSet<_> = queue.prune(&prune).await.unwrap().into_iter().collect();
    assert_eq!(named, ids(&jobs[..2]));
    assert_eq!(left(&*queue).await, ids(&jobs));
}

/// Jobs that their caller gives up, queued or under way; but not if they were claimed meanwhile, or have ended.
pub async fn abandoned_ones_by_their_epoch(store: &dyn Store) {
    let queue = store.open();
    let jobs = queue.submit(vec![job(), job(), job(), job()]).await.unwrap();
    for slot in ["default00", "default01", "default02"] {
        queue.claim(&claim_by(slot)).await.unwrap().unwrap();
    }
    queue.record(jobs[0].id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
    queue.finish(jobs[2].id, Epoch(1), &[], ending(JobStatus::Failed)).await.unwrap();
    queue.claim(&Claim { fresh: false, ..claim_by("default01") }).await.unwrap().unwrap();
    let abandoned = [(0, 1), (1, 1), (2, 1), (3, 0)].map(|(job, epoch)| (jobs[job].id, Epoch(epoch))).to_vec();
    let only_said = Prune { abandoned: abandoned.clone(), dry_run: true, ..Prune::default() };
    let expected = BTreeSet::from([jobs[0].id, jobs[3].id]);
    assert_eq!(queue.prune(&only_said).await.unwrap().into_iter().collect::<BTreeSet<_>>(), expected);
    let gone = queue.prune(&Prune { abandoned, ..Prune::default() }).await.unwrap();
    assert_eq!(gone.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(left(&*queue).await, BTreeSet::from([jobs[1].id, jobs[2].id]));
    assert!(matches!(queue.record(jobs[0].id, Epoch(1), &[]).await, Err(Error::Fenced)));
}
