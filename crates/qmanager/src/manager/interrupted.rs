//! Foreground runs that were interrupted and that nobody has gone on with: what `prune` may forget.

use std::{fs, path::PathBuf};

use job_queue::JobRow;
use workflow_model::{Epoch, JobId};

use super::{lock::ManagerLock, sweep::has_held_slot};
use crate::layout::Layout;

/// An interrupted run that nobody has, held so that nobody goes on with it meanwhile.
#[derive(Debug)]
pub(crate) struct Interrupted {
    /// The job.
    pub(crate) job: JobId,
    /// Under which it was interrupted.
    pub(crate) epoch: Epoch,
    run_dir: PathBuf,
    /// `None` where its run-dir was swept already: then only the epoch tells whether somebody came.
    lock: Option<ManagerLock>,
}

impl Interrupted {
    /// Takes hold of a job of a reserved queue, unless it has ended, was begun from another state-dir, or lives: a manager
    /// has its run-dir, or a task executor a slot in it.
    pub(crate) fn take(layout: &Layout, job: &JobRow) -> Option<Self> {
        let ours = job.submitter.rsplit_once('@').is_some_and(|(_, place)| place == layout.run_dir_id());
        let layout = layout.for_run(&job.queue);
        let run_dir = layout.run_dir().to_path_buf();
        if job.status.is_terminal() || !ours {
            return None;
        }
        let lock = match ManagerLock::acquire(&layout.manager_lock()) {
            Ok(Some(lock)) => Some(lock),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Ok(None) | Err(_) => return None,
        };
        if has_held_slot(&run_dir.join("slots")) {
            return None;
        }
        Some(Self { job: job.id, epoch: job.epoch, run_dir, lock })
    }

    /// After the job is forgotten: its run-dir goes too, under the lock.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub(crate) fn forget(self) -> std::io::Result<()> {
        match self.lock {
            Some(_held) => fs::remove_dir_all(&self.run_dir),
            None => Ok(()),
        }
    }
}
