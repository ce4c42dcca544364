//! Pause, limit, and what there is of queues.

use workflow_model::{Epoch, JobStatus};

use super::{Store, claim_by, ending, job, queue_name};
use crate::CancelHow;

/// Paused: nothing begins; resumed: it does.
pub async fn pause_holds_back_fresh_jobs(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    let name = queue_name("default");
    queue.pause(&name, true).await.unwrap();
    queue.pause(&name, true).await.unwrap();
    assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    queue.pause(&name, false).await.unwrap();
    assert_eq!(queue.claim(&claim_by("default00")).await.unwrap().unwrap().job.id, id);
}

/// So many at once, over all workers.
pub async fn limit_counts_jobs_under_way(store: &dyn Store) {
    let queue = store.open();
    queue.submit(vec![job(), job(), job(), job()]).await.unwrap();
    let name = queue_name("default");
    queue.limit(&name, Some(2)).await.unwrap();
    let first = queue.claim(&claim_by("default00")).await.unwrap().unwrap().job.id;
    let second = queue.claim(&claim_by("default01")).await.unwrap().unwrap().job.id;
    assert!(queue.claim(&claim_by("default02")).await.unwrap().is_none());
    queue.finish(first, Epoch(1), &[], ending(JobStatus::Succeeded)).await.unwrap();
    queue.claim(&claim_by("default02")).await.unwrap().unwrap();
    queue.cancelling(second, Epoch(1)).await.unwrap();
    assert!(queue.claim(&claim_by("default03")).await.unwrap().is_none(), "a job that is stopping counts");
    queue.limit(&name, Some(0)).await.unwrap();
    queue.release(second, Epoch(1), &[]).await.unwrap();
    assert!(queue.claim(&claim_by("default03")).await.unwrap().is_none());
    queue.limit(&name, None).await.unwrap();
    assert_eq!(queue.claim(&claim_by("default03")).await.unwrap().unwrap().job.id, second, "the oldest");
    assert!(queue.claim(&claim_by("default04")).await.unwrap().is_some());
}

/// Those with a row and those with a job, with what waits and what runs.
pub async fn are_listed(store: &dyn Store) {
    let queue = store.open();
    assert_eq!(queue.queues().await.unwrap(), []);
    let (mut future, mut other) = (job(), job());
    future.run_at = Some(i64::MAX);
    future.queue = queue_name("later");
    other.queue = queue_name("other");
    queue.submit(vec![job(), job(), future, other.clone()]).await.unwrap();
    queue.limit(&queue_name("empty"), Some(3)).await.unwrap();
    queue.pause(&queue_name("other"), true).await.unwrap();
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.cancel(other.id, CancelHow::Now).await.unwrap();
    let rows = queue.queues().await.unwrap();
    let seen: Vec<_> =
        rows.iter().map(|row| (row.name.as_str(), row.paused, row.limit, row.queued, row.running)).collect();
    assert_eq!(
        seen,
        [
            ("default", false, None, 1, 1),
            ("empty", false, Some(3), 0, 0),
            ("later", false, None, 1, 0),
            ("other", true, None, 0, 0)
        ]
    );
}
