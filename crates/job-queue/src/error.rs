//! What can go wrong in the queue.

use workflow_model::{InvalidId, JobId};

/// What can go wrong in the queue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The lease is another worker's: whoever reads this must stop and write nothing.
    #[error("the job's lease was taken over by another worker")]
    Fenced,
    /// No such job.
    #[error("no job {0}")]
    NotFound(JobId),
    /// The job's state does not allow it.
    #[error("{0}")]
    Refused(String),
    /// The queue belongs to another executor or store.
    #[error("{0}")]
    Mismatch(String),
    /// An idempotency key stands for another definition.
    #[error("key {key:?} belongs to job {job}, which has another definition")]
    KeyTaken {
        /// The key.
        key: String,
        /// Whose it is.
        job: JobId,
    },
    /// Another process holds the database longer than the busy timeout; trying again helps.
    #[error("the queue's database is busy")]
    Busy(#[source] rusqlite::Error),
    /// The disk is full; trying again when there is space helps.
    #[error("the disk of the queue's database is full")]
    Full(#[source] rusqlite::Error),
    /// The database cannot be used as it is.
    #[error("cannot use the queue's database: {0}")]
    Unusable(String),
    /// Any other failure of the database.
    #[error("the queue's database failed")]
    Database(#[source] rusqlite::Error),
    /// A file beside the database failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A stored value is not of its form.
    #[error("a stored value is damaged: {0}")]
    Damaged(String),
    /// A stored id is not of its form.
    #[error("a stored value is damaged")]
    DamagedId(#[from] InvalidId),
}

impl Error {
    /// Whether the same call may succeed later without anyone's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Full(_) | Self::Io { .. })
    }
}
