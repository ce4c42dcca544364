//! Renewing leases: one statement a beat in the queue, then the lease files that task executors watch.

use std::{sync::Arc, time::Duration};

use job_queue::JobQueue;
use tokio::time::timeout;
use workflow_model::{Epoch, JobId};

use crate::layout::Layout;

/// A job whose lease was not renewed: it is not under way under the epoch that we know.
#[derive(Debug)]
pub(super) struct NotHeld {
    pub(super) job: JobId,
    /// Another worker has it. Otherwise it merely ended, or went back to the queue, while we asked (or were stopped).
    pub(super) taken: bool,
}

/// Renews and writes the lease files of the jobs still held; answers those that are another's by now.
///
/// The deadline is taken *before* the renewal is sent, so that a task executor's idea of the lease never outlives the
/// database's. A queue that other hosts share decides: without its answer the last deadline stands. One that is this
/// host's alone (SQLite) does not: its slot locks do (design §6 Lease), so while it is locked or full the files are
/// written all the same, and not only when the call gives up (a worker that was stopped in a commit holds it up for 5 s).
pub(super) async fn renew(
    queue: Arc<dyn JobQueue>,
    layout: Layout,
    jobs: Vec<(JobId, Epoch)>,
    ttl: Duration,
    shared: bool,
) -> (Vec<NotHeld>, Option<job_queue::Error>) {
    if failpoint::has(failpoint::Bug::LeaseNotRenewed) {
        return (Vec::new(), None);
    }
    let deadline = task_process::boottime_now() + micros(ttl);
    let all = || jobs.iter().map(|(job, _)| *job).collect();
    let mut call = std::pin::pin!(queue.renew(&jobs, ttl));
    let answer = match timeout(ttl / 6, &mut call).await {
        Ok(answer) => answer,
        Err(_) => {
            if !shared {
                jobs.iter().for_each(|(job, epoch)| write(&layout, *job, *epoch, deadline));
            }
            call.await
        }
    };
    let (held, error): (Vec<JobId>, _) = match answer {
        Ok(held) => (held, None),
        Err(error) if shared => return (Vec::new(), Some(error)),
        Err(error) => (all(), Some(error)),
    };
    let mut lost = Vec::new();
    for (job, epoch) in jobs.iter().copied() {
        if held.contains(&job) {
            write(&layout, job, epoch, deadline);
        } else {
            let taken = queue.get(job).await.is_ok_and(|row| row.epoch > epoch);
            lost.push(NotHeld { job, taken });
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

/// For the jobs of so many workers on a disk that becomes full; one that is full already has to do without.
pub(super) fn keep_reserves(layout: &Layout, workers: usize) {
    if let Err(error) = task_process::Lease::keep_reserves(&layout.leases(), workers) {
        tracing::debug!(%error, "no reserve for lease files");
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
