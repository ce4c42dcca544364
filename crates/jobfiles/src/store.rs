//! What a store of job files can do, whatever is behind it.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use workflow_model::{Attempt, JobId, TaskIx};

use crate::{Error, JobPath};

/// A store of job files.
#[async_trait]
pub trait JobFiles: Send + Sync + fmt::Debug {
    /// Who the store is: recorded with each job, so that only workers that see the same store take it.
    fn id(&self) -> &StoreId;

    /// How it behaves.
    fn capabilities(&self) -> Capabilities;

    /// Makes a job's area. Repeating it is well.
    ///
    /// # Errors
    /// It cannot be made, or the user's folder is not there.
    async fn create(&self, area: &Area) -> Result<(), Error>;

    /// The folder of the job files, if they are in one on this host.
    fn folder(&self, area: &Area) -> Option<PathBuf>;

    /// Makes the job files ready for an attempt; answers the folder it is to work in.
    ///
    /// # Errors
    /// They cannot be read.
    async fn stage_in(&self, area: &Area, task: TaskIx, attempt: Attempt) -> Result<PathBuf, Error>;

    /// Uploads what a successful attempt made; `Staged` goes into its report. What is uploaded shows only when the
    /// success is committed.
    ///
    /// # Errors
    /// It cannot be written.
    async fn stage_out(&self, area: &Area, task: TaskIx, attempt: Attempt) -> Result<Staged, Error>;

    /// Copies a file or folder of this host in (`--file SRC[:DST]`), before the job starts; without a target, under
    /// its own name. A folder that is there is added to, a file is replaced. Links inside a folder are copied as
    /// links, if they stay inside it.
    ///
    /// # Errors
    /// It cannot be read or written, or has something that is neither file, folder nor such a link.
    async fn import(&self, area: &Area, source: &Path, target: Option<&JobPath>) -> Result<(), Error>;

    /// The job files that the patterns mean, by path; see [`matches`](crate::matches).
    ///
    /// # Errors
    /// They cannot be read.
    async fn list(&self, area: &Area, patterns: &[String]) -> Result<Vec<Entry>, Error>;

    /// Opens a file for reading. A link inside the job files is followed.
    ///
    /// # Errors
    /// It is not there, is not a file, or leads out of the job files.
    async fn open(&self, area: &Area, path: &JobPath) -> Result<File, Error>;

    /// Writes a file whole: a reader sees the old one or the new one. Missing folders are made. Answers its size.
    ///
    /// # Errors
    /// It cannot be written, or the path leads out of the job files.
    async fn put(&self, area: &Area, path: &JobPath, content: &mut (dyn Read + Send)) -> Result<u64, Error>;

    /// Removes a file, a link, or a folder with all that is in it. Links are not followed.
    ///
    /// # Errors
    /// It is not there or cannot be removed.
    async fn remove(&self, area: &Area, path: &JobPath) -> Result<(), Error>;

    /// Forgets a job: all that the store has of it, logs and reports too; never a folder of the user's. What is gone
    /// already is well.
    ///
    /// # Errors
    /// Something cannot be removed.
    async fn forget(&self, area: &Area) -> Result<(), Error>;
}

/// Where the files of one job are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// The job.
    pub job: JobId,
    /// A folder of the user's that serves as the job files (absolute); it is never pruned.
    pub folder: Option<PathBuf>,
}

/// Who a store is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreId {
    /// A random id that the store keeps itself. Two hosts that see the same one see the same files.
    pub id: String,
    /// Whether other hosts are likely to see it. If not, its jobs are bound to this host.
    pub shared: bool,
}

/// How a store behaves, where stores differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// What a failed attempt wrote is there for the next ones.
    pub failed_attempts_leave_files: bool,
    /// The tasks of a job work in one folder and see each other's files at once.
    pub shared_folder: bool,
}

/// What a successful attempt published.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Staged {
    /// The name of the list of what it made; `None` = it is in place already.
    pub manifest: Option<String>,
}

/// A job file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: JobPath,
    /// What.
    pub kind: Kind,
    /// Bytes (files).
    pub size: u64,
    /// When it was last changed, in microseconds since 1970.
    pub modified: i64,
    /// Permission bits.
    pub mode: u32,
}

/// What a job file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket, a pipe, a device.
    Special,
}

impl Area {
    /// The area of a job that has its own folder in the store.
    #[must_use]
    pub fn own(job: JobId) -> Self {
        Self { job, folder: None }
    }

    /// The area of a job that uses a folder of the user's.
    #[must_use]
    pub fn in_folder(job: JobId, folder: impl Into<PathBuf>) -> Self {
        Self { job, folder: Some(folder.into()) }
    }
}

impl Kind {
    /// As people say it, with its article.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::Special => "a socket, pipe or device",
        }
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}
