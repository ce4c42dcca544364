//! What keeps a manager from starting or going on.

use std::{io, path::PathBuf};

/// What keeps a manager from starting or going on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another manager has the run-dir.
    #[error("another qmanager (process {}) serves {}", .pid.map_or_else(|| "unknown".into(), |pid| pid.to_string()), .run_dir.display())]
    Running {
        /// Its process, as far as it said.
        pid: Option<i32>,
        /// The run-dir.
        run_dir: PathBuf,
    },
    /// A folder of ours cannot be used.
    #[error(transparent)]
    Folder(#[from] crate::layout::Error),
    /// A file of ours failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The queue failed for good.
    #[error("the job queue cannot be used")]
    Queue(#[from] job_queue::Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
