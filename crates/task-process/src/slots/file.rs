//! The files of `slots/` and their locks.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fd::OwnedFd,
    fs::{FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW},
    io::Errno,
};

/// How long a turn counts after its holder last tried: one that is stopped must not stop the host.
const TURN: Duration = Duration::from_secs(3);

/// Holds the gate, if it could be had in time: a worker that is stopped inside must not stop the host.
pub(super) struct Gate<'a>(&'a OwnedFd);

impl<'a> Gate<'a> {
    pub(super) fn enter(fd: &'a OwnedFd) -> Self {
        for _ in 0..1000 {
            match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::yield_now(),
                _ => break,
            }
        }
        Self(fd)
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        rustix::fs::flock(self.0, FlockOperation::Unlock).ok();
    }
}

pub(super) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
}

/// Held exclusively by others only for a moment each.
pub(super) fn lock_shared(fd: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match rustix::fs::flock(fd, FlockOperation::LockShared) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Whether it was touched within [`TURN`].
#[expect(clippy::disallowed_methods, reason = "compared with a file's time; a clock that jumps costs fairness only")]
pub(super) fn is_fresh(fd: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(fd) else { return false };
    let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    // Whole seconds: up to one more.
    SystemTime::now().duration_since(touched).is_ok_and(|age| age < TURN + Duration::from_secs(1))
}

/// Tells those who wait, after the lock is gone.
pub(super) fn touch(fd: &OwnedFd) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(fd, &Timestamps { last_access: now, last_modification: now }).ok();
}

pub(super) fn slot_name(slot: usize) -> String {
    format!("{slot:02}")
}
