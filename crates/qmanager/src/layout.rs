//! Where things are on this host: state-dir, run-dir, and the names inside them (design: Folders).

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use workflow_model::{JobId, QueueName};

/// `sun_path` holds 108 bytes with the closing zero.
const SOCKET_PATH_MAX: usize = 107;
/// The longest `/<qname><NN>.ipc`: a queue name has at most 32 characters, a worker number at most 4 digits.
const SOCKET_NAME_MAX: usize = 1 + 32 + 4 + 4;

/// A folder of ours that cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}", .path.display())]
pub struct Error {
    /// The folder.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// The folders of one state-dir. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    state_dir: PathBuf,
    run_dir: PathBuf,
    jobs: PathBuf,
    /// Tells state-dirs with one path apart, where the queue is shared by several hosts.
    identity: Option<String>,
}

impl Layout {
    /// The layout of a state-dir. The run-dir is `<state-dir>/run`, or a folder under `temp` named by uid and hash
    /// when sockets in there would have paths over 107 bytes.
    #[must_use]
    pub fn new(state_dir: &Path, temp: &Path) -> Self {
        let near = state_dir.join("run");
        // A foreground run's `/run-xxxxxxxx/run-xxxxxxxx00.ipc` is shorter than the longest queue name's socket.
        let fits = near.as_os_str().len() + SOCKET_NAME_MAX <= SOCKET_PATH_MAX;
        let run_dir = if fits {
            near
        } else {
            let uid = rustix::process::getuid().as_raw();
            temp.join(format!("qmanager-{uid}-{:016x}", hash_of(state_dir)))
        };
        Self { state_dir: state_dir.to_path_buf(), run_dir, jobs: state_dir.join("jobs"), identity: None }
    }

    /// The layout that another process of ours has chosen.
    #[must_use]
    pub fn existing(state_dir: &Path, run_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_path_buf(),
            run_dir: run_dir.to_path_buf(),
            jobs: state_dir.join("jobs"),
            identity: None,
        }
    }

    /// The same with the folder of job files that a store's URL names (`fs:PATH`).
    #[must_use]
    pub fn with_store(self, url: &str) -> Self {
        match url.strip_prefix("fs:") {
            Some(path) => Self { jobs: path.into(), ..self },
            None => self,
        }
    }

    /// The same with an identity for a shared queue: machines that were made from one image may have the same id and the
    /// same paths.
    #[must_use]
    pub fn with_identity(self, identity: Option<String>) -> Self {
        Self { identity, ..self }
    }

    /// What [`Layout::with_identity`] was given.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// The same state-dir with a run-dir of its own for the reserved queue of a foreground run.
    #[must_use]
    pub fn for_run(&self, queue: &QueueName) -> Self {
        Self { run_dir: self.run_dir.join(queue.as_str()), ..self.clone() }
    }

    /// Makes the state-dir, 0700.
    ///
    /// # Errors
    /// It cannot be made, or we may not write to it.
    pub fn create_state_dir(&self) -> Result<(), Error> {
        make(&self.state_dir)?;
        let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(&self.state_dir, wanted)
            .map_err(|errno| Error { path: self.state_dir.clone(), source: errno.into() })
    }

    /// Makes both folders, 0700, and checks that the run-dir is ours.
    ///
    /// # Errors
    /// A folder cannot be made, is not a folder, belongs to another user, or others may write to it.
    pub fn create(&self) -> Result<(), Error> {
        self.create_state_dir()?;
        make(&self.run_dir)?;
        let unusable = |source| Error { path: self.run_dir.clone(), source };
        let meta = fs::symlink_metadata(&self.run_dir).map_err(unusable)?;
        let wrong = if !meta.is_dir() {
            "is not a folder"
        } else if meta.uid() != rustix::process::geteuid().as_raw() {
            "belongs to another user"
        } else if meta.mode() & 0o022 != 0 {
            "can be written by other users: chmod 700 it"
        } else {
            return Ok(());
        };
        Err(unusable(io::Error::new(io::ErrorKind::PermissionDenied, format!("the run-dir {wrong}"))))
    }

    /// What outlives a stop: queue, job files, logs.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// What lives as long as its processes: sockets, locks, slots, leases.
    #[must_use]
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// Tells run-dirs of one host apart in the queue.
    #[must_use]
    pub fn run_dir_id(&self) -> String {
        let path = format!("{:016x}", hash_of(&self.run_dir));
        self.identity.as_ref().map_or(path.clone(), |identity| format!("{path}-{identity}"))
    }

    /// Whether an owner's run-dir in the queue is this one, whatever the identity: who only looks has none.
    #[must_use]
    pub fn is_run_dir_id(&self, id: &str) -> bool {
        id.split('-').next() == Some(&format!("{:016x}", hash_of(&self.run_dir)))
    }

    /// The embedded queue's default file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.state_dir.join("queue.db")
    }

    /// The folder of all jobs' folders.
    #[must_use]
    pub fn jobs(&self) -> PathBuf {
        self.jobs.clone()
    }

    /// A job's folder: `files/`, `logs/`, `reports/`.
    #[must_use]
    pub fn job(&self, job: JobId) -> PathBuf {
        self.jobs().join(job.to_string())
    }

    /// The folder of lease files; made with the first of them.
    #[must_use]
    pub fn leases(&self) -> PathBuf {
        self.run_dir.join("leases")
    }

    /// A job's lease file.
    #[must_use]
    pub fn lease(&self, job: JobId) -> PathBuf {
        self.leases().join(job.to_string())
    }

    /// The slots of a pool are in a folder `slots` of this one; a foreground run's run-dir has no other pool.
    #[must_use]
    pub fn slots(&self, queue: &QueueName) -> PathBuf {
        if crate::foreground::is_reserved(queue) {
            return self.run_dir.clone();
        }
        self.run_dir.join("slots").join(queue.as_str())
    }

    /// Held by the manager for life.
    #[must_use]
    pub fn manager_lock(&self) -> PathBuf {
        self.run_dir.join("manager.lock")
    }

    /// What the manager says of itself and its workers.
    #[must_use]
    pub fn manager_state(&self) -> PathBuf {
        self.run_dir.join("manager.json")
    }

    /// How the next SIGTERM is meant (written by `qmanager stop`).
    #[must_use]
    pub fn stop_request(&self) -> PathBuf {
        self.run_dir.join("stop.json")
    }
}

fn make(dir: &Path) -> Result<(), Error> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| Error { path: dir.to_path_buf(), source })
}

/// FNV-1a: stable over processes and versions, since owners in the queue carry it.
fn hash_of(path: &Path) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    path.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f23_long_state_dir_gets_a_short_run_dir() {
        let short = Layout::new(Path::new("/var/lib/qmanager"), Path::new("/tmp"));
        assert_eq!(short.run_dir(), Path::new("/var/lib/qmanager/run"));
        let deep = format!("/home/{}", "x".repeat(90));
        let long = Layout::new(Path::new(&deep), Path::new("/tmp"));
        assert!(long.run_dir().starts_with("/tmp") && long.run_dir().as_os_str().len() < 50, "{long:?}");
        assert_eq!(long.run_dir(), Layout::new(Path::new(&deep), Path::new("/tmp")).run_dir());
    }
}
