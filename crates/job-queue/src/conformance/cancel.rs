//! A person wants a job to stop.

use workflow_model::{Cause, Epoch, JobId, JobStatus, TaskStatus};

use super::{Store, claim_by, ending, job, record::counts_are_right, row};
use crate::{CancelHow, Error};

/// At once, and no worker ever sees it.
pub async fn of_a_queued_job(store: &dyn Store) {
    let queue = store.open();
    let mut later = job();
    later.run_at = Some(i64::MAX - 1);
    for new in [job(), later] {
        let id = queue.submit(vec![new]).await.unwrap()[0].id;
        assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Cancelled);
        let row = queue.get(id).await.unwrap();
        assert_eq!((row.status, row.cause, row.started), (JobStatus::Cancelled, Some(Cause::Cancelled), None));
        assert!(row.ended.is_some());
        assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    }
}

/// The worker's manager sees the intent until the job has ended.
pub async fn of_a_running_job_is_seen(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Running);
    let row = queue.get(id).await.unwrap();
    assert_eq!((row.status, row.cancel), (JobStatus::Running, Some(CancelHow::Cancel)));
    queue.cancelling(id, Epoch(1)).await.unwrap();
    queue.cancelling(id, Epoch(1)).await.unwrap();
    assert_eq!(queue.get(id).await.unwrap().status, JobStatus::Cancelling);
    assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Cancelling);
    assert_eq!(queue.poll(&[], "here").await.unwrap().cancels, [(id, Epoch(1), CancelHow::Cancel)]);
    queue.finish(id, Epoch(1), &[], ending(JobStatus::Cancelled)).await.unwrap();
    assert_eq!(queue.poll(&[], "here").await.unwrap().cancels, []);
}

/// `--now` is more than a cancel.
pub async fn escalates_and_never_back(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    for (how, stands) in
        [(CancelHow::Cancel, CancelHow::Cancel), (CancelHow::Now, CancelHow::Now), (CancelHow::Cancel, CancelHow::Now)]
    {
        queue.cancel(id, how).await.unwrap();
        assert_eq!(queue.get(id).await.unwrap().cancel, Some(stands));
    }
}

/// It is left as it is.
pub async fn of_a_terminal_job(store: &dyn Store) {
    let queue = store.open();
    for status in [JobStatus::Succeeded, JobStatus::Failed, JobStatus::Cancelled] {
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        queue.finish(id, Epoch(1), &[], ending(status)).await.unwrap();
        let before = queue.get(id).await.unwrap();
        assert_eq!(queue.cancel(id, CancelHow::Now).await.unwrap(), status);
        assert_eq!(queue.get(id).await.unwrap(), before);
    }
}

/// The second cancel changes nothing.
pub async fn twice(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Cancelled);
    let before = queue.get(id).await.unwrap();
    assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Cancelled);
    assert_eq!(queue.get(id).await.unwrap(), before);
}

/// Who was told that the job is being cancelled never reads that it succeeded (I15).
pub async fn wins_over_a_later_end(store: &dyn Store) {
    let queue = store.open();
    for status in [JobStatus::Succeeded, JobStatus::Failed] {
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        queue.cancel(id, CancelHow::Cancel).await.unwrap();
        let rows = [row(0, TaskStatus::Succeeded)];
        assert_eq!(queue.finish(id, Epoch(1), &rows, ending(status)).await.unwrap(), JobStatus::Cancelled);
        let row = queue.get(id).await.unwrap();
        assert_eq!((row.status, row.cause, row.counts.succeeded), (JobStatus::Cancelled, Some(Cause::Cancelled), 1));
    }
}

/// A worker that stops gives a job back whose cancel was asked for: it has ended, and is never started again.
pub async fn of_a_released_job(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.record(id, Epoch(1), &[row(0, TaskStatus::Succeeded), row(1, TaskStatus::Running)]).await.unwrap();
    queue.cancel(id, CancelHow::Cancel).await.unwrap();
    assert_eq!(queue.release(id, Epoch(1), &[row(2, TaskStatus::Retrying)]).await.unwrap(), JobStatus::Cancelled);
    assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    let statuses: Vec<_> = queue.tasks(id).await.unwrap().iter().map(|row| row.status).collect();
    assert_eq!(statuses, [TaskStatus::Succeeded, TaskStatus::Cancelled, TaskStatus::Cancelled]);
    counts_are_right(&*queue, id).await;

    // Likewise one that was released first.
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.release(id, Epoch(1), &[row(1, TaskStatus::Waiting)]).await.unwrap();
    assert_eq!(queue.cancel(id, CancelHow::Cancel).await.unwrap(), JobStatus::Cancelled);
    assert_eq!(queue.tasks(id).await.unwrap()[0].status, TaskStatus::Cancelled);
    counts_are_right(&*queue, id).await;
}

/// Says so.
pub async fn of_no_job(store: &dyn Store) {
    assert!(matches!(store.open().cancel(JobId::generate(), CancelHow::Now).await, Err(Error::NotFound(_))));
}
