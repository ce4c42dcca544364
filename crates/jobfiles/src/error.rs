//! What can go wrong with job files.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{InvalidPath, JobPath};

/// Why an operation on job files failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A path is not one of job files.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// There is no such job file.
    #[error("no job file {0}")]
    NotFound(JobPath),
    /// The path leads out of the job files by a link.
    #[error("job file {0} leads out of the job files through a link")]
    Escapes(JobPath),
    /// It is there and not what is needed.
    #[error("job file {path} is {is}, not {wanted}")]
    WrongKind {
        /// The file.
        path: JobPath,
        /// What it is.
        is: &'static str,
        /// What was needed.
        wanted: &'static str,
    },
    /// Something that cannot be copied into the job files.
    #[error("cannot copy {path} into the job files: it is {is}")]
    Source {
        /// Where it is on this host.
        path: PathBuf,
        /// What it is.
        is: &'static str,
    },
    /// A job file could not be handled.
    #[error("cannot {verb} job file {path}")]
    Job {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: JobPath,
        /// Why.
        source: io::Error,
    },
    /// A file or folder of this host could not be handled.
    #[error("cannot {verb} {}", path.display())]
    Host {
        /// What was tried.
        verb: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder that a job is to use is not there.
    #[error("the job files' folder {} is not there", .0.display())]
    NoFolder(PathBuf),
    /// The store's id file has something else in it.
    #[error("{} is not the id of a store of job files", .0.display())]
    NotAStore(PathBuf),
}

impl Error {
    pub(crate) fn job(verb: &'static str, path: &JobPath, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound(path.clone()),
            // What openat2 answers for a way out of the folder.
            io::ErrorKind::CrossesDevices => Self::Escapes(path.clone()),
            _ => Self::Job { verb, path: path.clone(), source },
        }
    }

    pub(crate) fn host(verb: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Host { verb, path: path.to_owned(), source: source.into() }
    }
}
