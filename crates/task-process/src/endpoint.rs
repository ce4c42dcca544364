//! The run-dir and the names in it: `<qname><NN>.ipc`, `<qname><NN>.lock`, `slots/`, `leases/`.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use workflow_model::QueueName;

use crate::{Error, file};

/// The longest path of a Unix socket (`sun_path` has 108 bytes with its NUL).
pub const MAX_SOCKET_PATH: usize = 107;

/// A folder that is 0700 and ours: sockets, locks, slots and leases live here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes the folder (0700, with parents) or checks the one that is there.
    ///
    /// # Errors
    /// It is relative, a symbolic link, somebody else's, open to others, or cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let run_dir = Self { path: path.into() };
        run_dir.ensure()?;
        Ok(run_dir)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Q socket of a worker.
    ///
    /// # Errors
    /// The path is longer than 107 bytes.
    pub fn socket(&self, queue: &QueueName, worker: u32) -> Result<PathBuf, Error> {
        let path = self.path.join(format!("{}.ipc", worker_name(queue, worker)));
        let length = path.as_os_str().len();
        if length > MAX_SOCKET_PATH { Err(Error::PathTooLong { path, length }) } else { Ok(path) }
    }

    /// The lock of a worker.
    #[must_use]
    pub fn lock(&self, queue: &QueueName, worker: u32) -> PathBuf {
        self.path.join(format!("{}.lock", worker_name(queue, worker)))
    }

    /// The folder of the host's slots.
    #[must_use]
    pub fn slots(&self) -> PathBuf {
        self.path.join("slots")
    }

    /// Makes the folder again if it was removed (F26), and checks it.
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        if !self.path.is_absolute() {
            return Err(self.refuse("is not an absolute path", "give an absolute one"));
        }
        // libzmq takes an address as text.
        if self.path.to_str().is_none_or(|path| path.contains('\0')) {
            return Err(self.refuse("is not valid UTF-8", "choose another folder"));
        }
        file::create_dirs(&self.path)?;
        self.check()
    }

    fn check(&self) -> Result<(), Error> {
        let meta = fs::symlink_metadata(&self.path).map_err(|e| Error::file("look at", &self.path, e))?;
        if !meta.is_dir() {
            let error = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(Error::file("use as run-dir (it is a link or a file)", &self.path, error));
        }
        let ours = rustix::process::geteuid().as_raw();
        if meta.uid() != ours {
            let problem = format!("belongs to uid {}, we are {ours}", meta.uid());
            return Err(self.refuse(problem, "choose another folder or remove this one"));
        }
        if meta.mode() & 0o077 != 0 {
            let problem = format!("is open to other users (mode {:03o})", meta.mode() & 0o777);
            return Err(self.refuse(problem, "chmod 700 it if nobody else has used it"));
        }
        Ok(())
    }

    fn refuse(&self, problem: impl Into<String>, remedy: &'static str) -> Error {
        Error::RunDir { path: self.path.clone(), problem: problem.into(), remedy }
    }
}

/// `<qname><NN>`: a queue's name never ends in a digit, so no two of these are equal.
#[must_use]
pub fn worker_name(queue: &QueueName, worker: u32) -> String {
    format!("{queue}{worker:02}")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::new(name).unwrap()
    }

    #[test]
    fn f23_a_path_over_107_bytes_is_an_error_at_start() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().as_os_str().len();
        let name = "default00.ipc".len();
        for (length, fits) in [(107, true), (108, false)] {
            let run_dir = RunDir::open(dir.path().join("x".repeat(length - base - name - 2))).unwrap();
            let socket = run_dir.socket(&queue("default"), 0);
            assert_eq!(socket.is_ok(), fits, "{length}: {socket:?}");
            if let Err(e) = socket {
                let text = e.to_string();
                assert!(text.contains("108 bytes") && text.contains("shorter run-dir"), "{text}");
            }
        }
    }

    #[test]
    fn f23_a_hostile_queue_name_never_becomes_a_path() {
        for name in ["a/b", "..", "@x", "*", "a\nb", "q1", "", "ü"] {
            assert!(QueueName::new(name).is_err(), "{name:?}");
        }
        assert_eq!(worker_name(&queue("default"), 0), "default00");
        assert_eq!(worker_name(&queue("q"), 100), "q100");
    }

    #[test]
    fn f25_a_run_dir_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        RunDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let text = RunDir::open(&path).unwrap_err().to_string();
        assert!(text.contains("open to other users (mode 755)") && text.contains("chmod 700"), "{text}");
    }

    #[test]
    fn f25_a_run_dir_that_is_a_link_or_relative_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        RunDir::open(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
        assert!(RunDir::open(dir.path().join("link")).is_err());
        assert!(matches!(RunDir::open("run"), Err(Error::RunDir { .. })));
        let bytes = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/tmp/\xff");
        assert!(matches!(RunDir::open(bytes), Err(Error::RunDir { .. })));
    }
}
