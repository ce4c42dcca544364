//! From a database's URL to a queue.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{Error, JobQueue, Postgres, Sqlite, postgres};

/// How to open a queue's database.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Make the database if there is none (its folder must exist). An existing path is never made anew.
    pub create: bool,
    /// How much of an existing file to check.
    pub check: Check,
    /// Use it even on a network file system. Locks are not reliable there: jobs may be lost or run twice.
    pub network_file_system: bool,
    /// How long a call waits for another process that holds the database, or for a server that cannot be reached.
    pub busy_timeout: Duration,
    /// PostgreSQL: the file with the password, read for each connection.
    pub password_file: Option<PathBuf>,
    /// PostgreSQL: bring an older database, or an empty one, to this version's form, as [`migrate`] does. Otherwise it is
    /// refused. (SQLite: that is always done.)
    pub migrate: bool,
    /// Whether the last process to close the database writes its WAL back, at the cost of two syncs of the disk. A process
    /// that lives for one call leaves that to those that stay.
    pub checkpoint_on_close: bool,
    /// Whether calls run on the caller's thread, though the disk may hold it up for a sync: a process that has nothing else
    /// to do meanwhile is spared a thread, or the way to it. Where a lock stands in the way, they wait on another thread.
    pub on_caller: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            create: true,
            check: Check::Quick,
            network_file_system: false,
            busy_timeout: Duration::from_secs(5),
            password_file: None,
            migrate: false,
            checkpoint_on_close: true,
            on_caller: false,
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

/// Opens the queue behind a URL: `sqlite:PATH` or `postgres://USER@HOST[:PORT]/DATABASE`. A server is connected to by the
/// first call, not here.
///
/// # Errors
/// [`Error::Url`] for a URL of another form; [`Error::Unusable`] when the database must not be used as it is.
pub fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn JobQueue>, Error> {
    let queue: Arc<dyn JobQueue> = match is_shared(url) {
        true => Arc::new(Postgres::open(url, options)?),
        false => Arc::new(Sqlite::open(sqlite_path(url)?, options)?),
    };
    #[cfg(feature = "failpoints")]
    let queue = crate::faulty::Faulty::wrap(queue);
    Ok(queue)
}

/// Brings a database to this version's form; answers what was done, in words. Within a tokio runtime.
///
/// # Errors
/// As for [`open`]; the user may lack the rights.
pub async fn migrate(url: &str, options: &OpenOptions) -> Result<String, Error> {
    if is_shared(url) {
        return Postgres::open(url, options)?.migrate().await;
    }
    Sqlite::open(sqlite_path(url)?, options)?;
    Ok(format!("{} has this version's form", shown_url(url)))
}

/// Whether a URL names a database that several hosts can use.
#[must_use]
pub fn is_shared(url: &str) -> bool {
    postgres::is_postgres(url)
}

/// A database's URL as it may be printed and logged: without user, password and parameters (I22).
#[must_use]
pub fn shown_url(url: &str) -> String {
    postgres::shown(url)
}

pub(crate) fn sqlite_path(url: &str) -> Result<&Path, Error> {
    const FORMS: &str = "write sqlite:PATH, or postgres://USER@HOST[:PORT]/DATABASE";
    match url.strip_prefix("sqlite:") {
        Some("" | ":memory:") => Err(Error::Url(format!("database URL {url:?} names no file; {FORMS}"))),
        Some(path) => Ok(Path::new(path)),
        None => {
            let shown = url.split_once(':').map_or(url, |(scheme, _)| scheme);
            Err(Error::Url(format!("database URL of the form {shown:?} is not known; {FORMS}")))
        }
    }
}
