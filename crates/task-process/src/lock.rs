//! A worker's place: an flock on `<qname><NN>.lock`, held for life and taken before the Q socket is bound.
//!
//! A second bind on one ipc path succeeds silently and steals the first one's messages (F21), hence the lock. It also
//! says whether a worker is dead: whoever gets its lock may take its jobs.

use std::{os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};
use workflow_model::QueueName;

use crate::{Error, RunDir, endpoint::worker_name};

/// A worker whose manager was killed a moment ago is ending, and has its place until it is gone.
const LOOKS: u32 = 200;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The place of worker NN of a queue, as long as this lives. Not inherited by children (CLOEXEC).
#[derive(Debug)]
pub struct WorkerLock {
    run_dir: RunDir,
    queue: QueueName,
    worker: u32,
    path: PathBuf,
    file: OwnedFd,
}

impl WorkerLock {
    /// Takes the place. Waits up to a second for a worker that is about to leave it.
    ///
    /// # Errors
    /// [`Error::Locked`] when a living process has it; the file cannot be made.
    pub fn acquire(run_dir: &RunDir, queue: &QueueName, worker: u32) -> Result<Self, Error> {
        let path = run_dir.lock(queue, worker);
        for _ in 0..LOOKS {
            if let Some(lock) = Self::try_acquire(run_dir, queue, worker)? {
                return Ok(lock);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(Error::Locked { name: worker_name(queue, worker), path })
    }

    /// Takes the place if nobody has it: with an answer, the worker that had it is dead, and its jobs may be taken.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn try_acquire(run_dir: &RunDir, queue: &QueueName, worker: u32) -> Result<Option<Self>, Error> {
        let path = run_dir.lock(queue, worker);
        let Some(file) = lock(&path)? else { return Ok(None) };
        Ok(Some(Self { run_dir: run_dir.clone(), queue: queue.clone(), worker, path, file }))
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &QueueName {
        &self.queue
    }

    /// The worker's number.
    #[must_use]
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// The run-dir.
    #[must_use]
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// `<qname><NN>`.
    #[must_use]
    pub fn name(&self) -> String {
        worker_name(&self.queue, self.worker)
    }

    /// Whether the lock's file is still the one that others would lock.
    pub(crate) fn is_in_place(&self) -> bool {
        is_same_file(&self.path, &self.file)
    }

    /// Takes the lock on a new file after the run-dir was removed.
    pub(crate) fn retake(&mut self) -> Result<(), Error> {
        if !self.is_in_place() {
            self.run_dir.ensure()?;
            self.file = lock(&self.path)?.ok_or_else(|| Error::LockLost { name: self.name() })?;
        }
        Ok(())
    }
}

fn lock(path: &PathBuf) -> Result<Option<OwnedFd>, Error> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|e| Error::file("open", path, e))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever removed the file between our open and our lock made it worthless: once more.
            Ok(()) if !is_same_file(path, &file) => {}
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::file("lock", path, e)),
        }
    }
}

fn is_same_file(path: &PathBuf, file: &OwnedFd) -> bool {
    let (Ok(there), Ok(ours)) = (std::fs::symlink_metadata(path), rustix::fs::fstat(file)) else { return false };
    (there.dev(), there.ino()) == (ours.st_dev, ours.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f21_a_second_worker_of_the_same_number_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::open(dir.path().join("run")).unwrap();
        let queue = QueueName::default();
        let first = WorkerLock::acquire(&run_dir, &queue, 7).unwrap();
        let refused = WorkerLock::acquire(&run_dir, &queue, 7).unwrap_err();
        assert!(refused.to_string().contains("worker default07 runs already"), "{refused}");
        assert!(WorkerLock::try_acquire(&run_dir, &queue, 7).unwrap().is_none());
        assert!(WorkerLock::try_acquire(&run_dir, &queue, 8).unwrap().is_some());
        drop(first);
        assert!(WorkerLock::try_acquire(&run_dir, &queue, 7).unwrap().is_some());
    }

    #[test]
    fn f26_after_the_run_dir_was_removed_the_place_is_taken_again_or_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        let run_dir = RunDir::open(&path).unwrap();
        let queue = QueueName::default();
        let mut first = WorkerLock::acquire(&run_dir, &queue, 0).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        assert!(!first.is_in_place());
        first.retake().unwrap();
        assert!(first.is_in_place());
        std::fs::remove_dir_all(&path).unwrap();
        run_dir.ensure().unwrap();
        let _thief = WorkerLock::acquire(&run_dir, &queue, 0).unwrap();
        assert!(matches!(first.retake(), Err(Error::LockLost { .. })));
    }
}
