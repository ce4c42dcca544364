//! What can go wrong in the queue.

use workflow_model::{InvalidId, JobId};

/// An error of the database's own library, whichever that is.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

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
    Busy(#[source] Source),
    /// The disk is full; trying again when there is space helps.
    #[error("the disk of the queue's database is full")]
    Full(#[source] Source),
    /// The disk failed to read, write or sync. What the call did is unknown; asking again finds out, and is safe.
    #[error("the disk of the queue's database failed")]
    Disk(#[source] Source),
    /// The database's server cannot be reached, or is going away; trying again helps. What the call did is unknown; asking
    /// again finds out, and is safe.
    #[error("the queue's database cannot be reached: {0}")]
    Unreachable(String),
    /// The database cannot be used as it is; the text says what to do.
    #[error("cannot use the queue's database: {0}")]
    Unusable(String),
    /// The database's URL is not one that can be opened; the text says what to write.
    #[error("{0}")]
    Url(String),
    /// Any other failure of the database.
    #[error("the queue's database failed")]
    Database(#[source] Source),
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
        matches!(self, Self::Busy(_) | Self::Full(_) | Self::Disk(_) | Self::Unreachable(_) | Self::Io { .. })
    }

    pub(crate) fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Io { what: what.into(), source: source.into() }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy(error.into()),
            Some(ErrorCode::DiskFull) => Self::Full(error.into()),
            Some(ErrorCode::SystemIoFailure) => Self::Disk(error.into()),
            Some(ErrorCode::DatabaseCorrupt) => Self::Unusable(
                "it is damaged; stop all of qmanager, keep the file, and put a backup in its place (or save what can be \
                 read with `sqlite3 FILE .recover`)"
                    .into(),
            ),
            Some(ErrorCode::NotADatabase) => {
                Self::Unusable("the file is not an SQLite database; give another path, or move the file away".into())
            }
            Some(ErrorCode::ReadOnly) => {
                Self::Unusable("it is read-only; give its owner the right to write to the file and its folder".into())
            }
            Some(ErrorCode::CannotOpen) => Self::Unusable(format!(
                "a file of it cannot be opened ({error}); the folder must exist, and this user must own it"
            )),
            _ => Self::Database(error.into()),
        }
    }
}
