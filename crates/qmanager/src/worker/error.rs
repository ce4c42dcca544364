//! What ends a worker before its time. Its manager starts another one, which goes on where this one stopped.

use std::io;

/// What ends a worker before its time.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The first line on standard input was not a set-up: it was not started by a manager.
    #[error("qworker is started by qmanager and takes its orders on standard input")]
    NotStartedByManager,
    /// The manager is gone; the tasks live on and are adopted by the next manager's workers.
    #[error("the manager is gone")]
    ManagerGone,
    /// The job is another worker's by now: nothing more may be written or signalled.
    #[error("the job was taken over by another worker")]
    Fenced,
    /// The program was built without the executor that it is to use.
    #[error("this program has no {0} executor")]
    NoExecutor(workflow_model::ExecutorKind),
    /// Another process has this worker's slot.
    #[error("another worker has slot {0}")]
    SlotTaken(String),
    /// The queue failed for good.
    #[error("the job queue failed")]
    Queue(#[source] job_queue::Error),
    /// The boundary to the task executors failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The boundary to the task executors failed.
    #[error("the boundary to the task executors failed")]
    TaskProcess(#[from] task_process::Error),
}

impl From<job_queue::Error> for Error {
    fn from(error: job_queue::Error) -> Self {
        if matches!(error, job_queue::Error::Fenced) { Self::Fenced } else { Self::Queue(error) }
    }
}

impl Error {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
