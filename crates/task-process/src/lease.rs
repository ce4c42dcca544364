//! Lease files: until when the task executors of a job may go on without hearing of anyone.
//!
//! The manager writes `leases/<job>` after each renewal; a task executor reads it when its deadline nears. The clock
//! is CLOCK_BOOTTIME: it goes on while the host sleeps, and nobody sets it.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use workflow_model::{Epoch, JobId};

use crate::{Error, file};

/// What a lease file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The claim's epoch; a task executor obeys any that is at least its own.
    pub epoch: Epoch,
    /// When the lease ends, in microseconds of CLOCK_BOOTTIME: read *before* the renewal was sent, + TTL.
    pub deadline: u64,
}

impl Lease {
    /// Where the lease of a job is kept.
    #[must_use]
    pub fn path(run_dir: &Path, job: JobId) -> PathBuf {
        run_dir.join("leases").join(job.to_string())
    }

    /// Replaces the file in one step, making its folder if needed. On a full disk it is written over where it is, or over
    /// one of the [reserves](Self::keep_reserves): a full disk ends no lease (design §6 Lease, F31).
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let body = serde_json::to_vec(self).expect("BUG: two numbers are always JSON");
        match replace(path, &body) {
            Err(full @ Error::File { .. }) if is_full(&full) => {
                if !path.exists() {
                    let reserve = reserves(path.parent().unwrap_or(path)).find(|reserve| reserve.exists());
                    file::rename(&reserve.ok_or(full)?, path)?;
                }
                file::write_over(path, &body)
            }
            other => other,
        }
    }

    /// Sees to it that so many files are in the folder of leases, which is made if needed, whose blocks are theirs already:
    /// what a job that has no lease file yet gets on a full disk.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn keep_reserves(leases: &Path, count: usize) -> Result<(), Error> {
        let missing = reserves(leases).take(count).filter(|reserve| !reserve.exists());
        missing.into_iter().try_for_each(|reserve| replace(&reserve, &[b' '; LONGEST]))
    }

    /// Reads it; missing or unreadable is `None`: then the last known deadline stands.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut buffer = [0; 256];
        let read = loop {
            match rustix::io::read(&fd, &mut buffer) {
                Err(Errno::INTR) => {}
                other => break other.ok()?,
            }
        };
        serde_json::from_slice(&buffer[..read]).ok()
    }

    /// Removes the file; that it was not there is well.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove(path: &Path) -> Result<(), Error> {
        file::remove(path)
    }
}

/// As long as any lease is in its file.
const LONGEST: usize = 128;

fn reserves(leases: &Path) -> impl Iterator<Item = PathBuf> {
    (0..1000).map(move |number| leases.join(format!(".reserve{number}")))
}

/// Replaces a file in one step, making its folder if needed.
fn replace(path: &Path, body: &[u8]) -> Result<(), Error> {
    match file::replace(path, body) {
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => {
            file::create_dirs(path.parent().unwrap_or(path))?;
            file::replace(path, body)
        }
        other => other,
    }
}

fn is_full(error: &Error) -> bool {
    let kind = if let Error::File { source, .. } = error { source.kind() } else { return false };
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// CLOCK_BOOTTIME in microseconds.
#[must_use]
pub fn boottime_now() -> u64 {
    // Through libc, which has looked up the vDSO already: rustix would search it once more, in each task executor.
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).expect("BUG: every Linux has this clock");
    u64::try_from(now.tv_sec()).unwrap_or(0) * 1_000_000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000
}

/// The deadline of a lease that is renewed now: call it *before* the renewal is sent.
#[must_use]
pub fn deadline_in(ttl: Duration) -> u64 {
    boottime_now().saturating_add(u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read_again_in_a_folder_that_was_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = Lease::path(dir.path(), JobId::generate());
        assert_eq!(Lease::read(&path), None);
        for epoch in 1..4 {
            let lease = Lease { epoch: Epoch(epoch), deadline: deadline_in(Duration::from_secs(60)) };
            lease.write(&path).unwrap();
            assert_eq!(Lease::read(&path), Some(lease));
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
        Lease::remove(&path).unwrap();
    }

    #[test]
    fn f31_a_full_disk_ends_no_lease() {
        let dir = tempfile::tempdir().unwrap();
        let mounted =
            rustix::mount::mount("tmpfs", dir.path(), "tmpfs", rustix::mount::MountFlags::empty(), c"size=64k");
        if mounted.is_err() {
            eprintln!("skipped: no tmpfs can be mounted here");
            return;
        }
        let [first, second, third] = [1, 2, 3].map(|_| Lease::path(dir.path(), JobId::generate()));
        let leases = first.parent().unwrap();
        let lease = |deadline| Lease { epoch: Epoch(1), deadline };
        lease(1).write(&first).unwrap();
        Lease::keep_reserves(leases, 1).unwrap();
        std::fs::write(dir.path().join("fill"), vec![0; 64 << 10]).unwrap_err();
        for deadline in [2, u64::MAX, 3] {
            for path in [&first, &second] {
                lease(deadline).write(path).unwrap();
                assert_eq!(Lease::read(path), Some(lease(deadline)));
            }
        }
        assert!(lease(4).write(&third).is_err(), "there was one reserve");
        std::fs::remove_file(dir.path().join("fill")).unwrap();
        lease(4).write(&third).unwrap();
        Lease::keep_reserves(leases, 2).unwrap();
        assert_eq!(std::fs::read_dir(leases).unwrap().count(), 5);
        rustix::mount::unmount(dir.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
    }

    #[test]
    fn garbage_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        for body in [&b""[..], b"{\"epoch\":1", b"\xff\xfe", &[b'7'; 4000]] {
            std::fs::write(&path, body).unwrap();
            assert_eq!(Lease::read(&path), None);
        }
    }
}
