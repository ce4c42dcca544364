//! The manager's lock: one manager per run-dir, for as long as the process lives.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;

/// Held for life; the file goes with it.
#[derive(Debug)]
pub(super) struct ManagerLock {
    file: File,
    path: PathBuf,
}

/// One daemon per state-dir: an flock on the folder itself, which nobody can remove from under a daemon without noticing.
#[derive(Debug)]
pub(super) struct StateDirLock {
    _held: Option<File>,
}

impl StateDirLock {
    /// Takes the lock; `None` if another process has it. File systems that lock no folders (NFS) are trusted to the
    /// lock in the run-dir alone.
    pub(super) fn acquire(folder: &Path) -> Option<Self> {
        let Ok(file) = File::open(folder) else { return Some(Self { _held: None }) };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => None,
            Err(_) => Some(Self { _held: None }),
            Ok(()) => Some(Self { _held: Some(file) }),
        }
    }
}

impl ManagerLock {
    /// Takes the lock; `None` if another process has it.
    pub(super) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            let lock = Self { file, path: path.to_path_buf() };
            // The one before us may have removed the file between our open and our lock: then it locks nothing.
            if lock.is_in_place() {
                return Ok(Some(lock));
            }
        }
    }

    /// Whether the file that we hold is still the one at the path (nobody removed the run-dir).
    pub(super) fn is_in_place(&self) -> bool {
        let held = self.file.metadata();
        let found = self.path.metadata();
        matches!((held, found), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    }
}

impl Drop for ManagerLock {
    fn drop(&mut self) {
        if self.is_in_place() {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Removes the locks and sockets of places whose worker is gone, in a run-dir that no manager serves any more: ours, and
/// those that an earlier manager with more workers had. Answers whether a worker still has one: of an earlier manager
/// that was killed, whose workers end by themselves as soon as they notice.
pub(super) fn sweep(run_dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(run_dir) else { return false };
    let mut is_held = false;
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_place = path.extension().is_some_and(|extension| extension == "lock")
            && path.file_stem().is_some_and(|stem| stem.as_encoded_bytes().last().is_some_and(u8::is_ascii_digit));
        if !is_place {
            continue;
        }
        match ManagerLock::acquire(&path) {
            Ok(Some(lock)) => {
                // A worker that was killed leaves its socket, and what it kept for its next job.
                drop(std::fs::remove_file(path.with_extension("ipc")));
                drop(std::fs::remove_dir_all(path.with_extension(crate::worker::KEPT)));
                drop(lock);
            }
            Ok(None) => is_held = true,
            Err(_) => {}
        }
    }
    is_held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f03_a_place_that_a_dying_worker_has_is_left_until_it_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("default00.lock");
        let worker = ManagerLock::acquire(&path).unwrap().unwrap();
        std::fs::write(dir.path().join("default00.ipc"), "").unwrap();
        std::fs::write(dir.path().join("default01.lock"), "").unwrap();
        assert!(sweep(dir.path()));
        assert!(path.exists() && !dir.path().join("default01.lock").exists());
        drop(worker);
        std::fs::write(&path, "").unwrap();
        assert!(!sweep(dir.path()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn f21_second_manager_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.lock");
        let first = ManagerLock::acquire(&path).unwrap().unwrap();
        assert!(ManagerLock::acquire(&path).unwrap().is_none());
        assert!(first.is_in_place());
        std::fs::remove_file(&path).unwrap();
        assert!(!first.is_in_place());
        drop(first);
        assert!(ManagerLock::acquire(&path).unwrap().is_some());
        assert!(!path.exists(), "a lock that is given back leaves no file");
    }
}
