//! Renewing leases: one statement a beat in the queue, then the lease files that task executors watch.

use std::{sync::Arc, time::Duration};

use job_queue::JobQueue;
use workflow_model::{Epoch, JobId};

use crate::layout::Layout;

/// Renews and writes the lease files of the jobs still held; answers those that are another's by now.
///
/// The deadline is taken *before* the renewal is sent, so that a task executor's idea of the lease never outlives the
/// database's. When the database cannot be reached, the lease of a worker that lives does not expire on SQLite (its
/// slot lock decides, design §6 Lease): the files are written all the same. On a `shared` queue it does: another host takes
/// the job then, and the tasks must have ended by that time.
pub(super) async fn renew(
    queue: Arc<dyn JobQueue>,
    layout: Layout,
    jobs: Vec<(JobId, Epoch)>,
    ttl: Duration,
    shared: bool,
) -> (Vec<JobId>, Option<job_queue::Error>) {
    let deadline = task_process::boottime_now() + micros(ttl);
    let (held, error) = match queue.renew(&jobs, ttl).await {
        Ok(held) => (held, None),
        Err(error) => (jobs.iter().map(|(job, _)| *job).collect(), Some(error)),
    };
    if shared && error.is_some() {
        return (Vec::new(), error);
    }
    let mut lost = Vec::new();
    for (job, epoch) in jobs {
        if held.contains(&job) {
            write(&layout, job, epoch, deadline);
        } else {
            lost.push(job);
        }
    }
    (lost, error)
}

/// Writes one lease file. A failure (full disk, removed run-dir) is not fatal: the last deadline stands.
pub(super) fn write(layout: &Layout, job: JobId, epoch: Epoch, deadline: u64) {
    let lease = task_process::Lease { epoch, deadline };
    if let Err(error) = lease.write(&layout.lease(job)) {
        tracing::warn!(%job, %error, "cannot write the lease file");
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
