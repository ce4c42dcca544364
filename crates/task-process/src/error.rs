//! What can go wrong between a worker and its task executors.

use std::{io, path::PathBuf};

/// What can go wrong between a worker and its task executors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was attempted, as a verb: "open", "create", …
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A system call without a file failed.
    #[error("{what} failed")]
    System {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The run-dir cannot be trusted.
    #[error("run-dir {} {problem}; {remedy}", path.display())]
    RunDir {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, as the end of a sentence.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A Unix socket's path is limited by the kernel.
    #[error(
        "the Q socket's path {} has {length} bytes and at most 107 are possible; choose a shorter run-dir or queue name",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another living process serves this queue and worker number.
    #[error("worker {name} runs already in this run-dir (it holds {})", path.display())]
    Locked {
        /// `<qname><NN>`.
        name: String,
        /// The lock.
        path: PathBuf,
    },
    /// The run-dir was removed, and another worker has taken this one's place since.
    #[error("lost the place of worker {name} to another process (the run-dir was removed meanwhile)")]
    LockLost {
        /// `<qname><NN>`.
        name: String,
    },
    /// Something that is not a socket is where the Q socket should be.
    #[error("{} is in the way of the Q socket and is not a socket; remove it", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// libzmq refused.
    #[error("the Q socket failed to {action}")]
    Zmq {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        #[source]
        source: zmq::Error,
    },
    /// The task executor could not be started.
    #[error("cannot start the task executor {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A spare ended before it took its request.
    #[error("the task executor {pid} ended before it took its request")]
    SpareGone {
        /// Its pid.
        pid: i32,
        /// What the socket said.
        #[source]
        source: io::Error,
    },
    /// Bytes that are not a message of ours.
    #[error("not a valid {what}: {reason}")]
    Malformed {
        /// "request", "report", "lease", …
        what: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A message of a version that this program does not know.
    #[error("{what} has version {found}, this program knows up to {known}; use programs of one release")]
    Version {
        /// "request" or "report".
        what: &'static str,
        /// Its version.
        found: u16,
        /// The newest we understand.
        known: u16,
    },
    /// A message that exceeds its limit.
    #[error("{what} of {size} bytes is larger than {limit}")]
    TooLarge {
        /// "request" or "report".
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>, source: impl Into<io::Error>) -> Self {
        Self::File { action, path: path.into(), source: source.into() }
    }

    pub(crate) fn system(what: &'static str, source: impl Into<io::Error>) -> Self {
        Self::System { what, source: source.into() }
    }
}
