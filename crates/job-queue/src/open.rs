//! From a database's URL to a queue.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{Error, JobQueue, Sqlite};

/// How to open a queue's database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Make the database if there is none (its folder must exist). An existing path is never made anew.
    pub create: bool,
    /// How much of an existing file to check.
    pub check: Check,
    /// Use it even on a network file system. Locks are not reliable there: jobs may be lost or run twice.
    pub network_file_system: bool,
    /// How long a call waits for another process that holds the database.
    pub busy_timeout: Duration,
    /// Whether the last process to close the database writes its WAL back, at the cost of two syncs of the disk. A process
    /// that lives for one call leaves that to those that stay.
    pub checkpoint_on_close: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create: true,
            check: Check::Quick,
            network_file_system: false,
            busy_timeout: Duration::from_secs(5),
            checkpoint_on_close: true,
        }
    }
}

/// How much of an existing file is checked when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Header, length, schema and the first pages of each table: the same cost for every size of file.
    Quick,
    /// Every page that can be read within this time (SQLite's quick_check); what was not reached counts as good.
    Within(Duration),
}

/// Opens the queue behind a URL: `sqlite:PATH`. (`postgres://…` is refused: this build does not have it.)
///
/// # Errors
/// [`Error::Url`] for a URL of another form; [`Error::Unusable`] when the database must not be used as it is.
pub fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn JobQueue>, Error> {
    Ok(Arc::new(Sqlite::open(sqlite_path(url)?, options)?))
}

pub(crate) fn sqlite_path(url: &str) -> Result<&Path, Error> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Err(Error::Url(
            "this build of qmanager has no PostgreSQL; use `sqlite:PATH` (on one host) as the database".into(),
        ));
    }
    match url.strip_prefix("sqlite:") {
        Some("" | ":memory:") => Err(Error::Url(format!("database URL {url:?} names no file; write `sqlite:PATH`"))),
        Some(path) => Ok(Path::new(path)),
        None => {
            let shown = url.split_once(':').map_or(url, |(scheme, _)| scheme);
            Err(Error::Url(format!("database URL of the form {shown:?} is not known; write `sqlite:PATH`")))
        }
    }
}
