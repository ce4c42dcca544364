//! The worker's end of the Q socket: a libzmq PULL socket, drained from tokio.
//!
//! A message is only what makes a result fast; the report file is the record. So everything that is not a report is
//! counted and dropped, and a socket file that somebody removed is bound again.

use std::{
    fmt, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Interval, MissedTickBehavior},
};

use crate::{
    Error, WorkerLock,
    codec::{self, MAX_REPORT},
    message::TaskReport,
    readiness,
};

/// How many senders may wait to be accepted (F27).
const BACKLOG: i32 = 4096;

/// How often the socket's file is looked at (F26): one `stat` each.
const CHECK: Duration = Duration::from_secs(1);

/// The Q socket of a worker, bound.
pub struct Inbox {
    socket: AsyncFd<zmq::Socket>,
    lock: WorkerLock,
    path: PathBuf,
    /// Device and inode of the socket's file as bound.
    bound: (u64, u64),
    check: Interval,
    dropped: u64,
    rebinds: u64,
}

impl Inbox {
    /// Binds the Q socket of the worker whose place is held; a stale socket file is removed. Must be called within a
    /// tokio runtime with IO and time.
    ///
    /// # Errors
    /// The path is too long, something else than a socket is in its place, or libzmq refuses.
    pub fn bind(lock: WorkerLock) -> Result<Self, Error> {
        let path = lock.run_dir().socket(lock.queue(), lock.worker())?;
        let context = zmq::Context::new();
        let socket = context.socket(zmq::PULL).map_err(|source| Error::Zmq { action: "open", source })?;
        configure(&socket).map_err(|source| Error::Zmq { action: "be configured", source })?;
        let bound = bind(&socket, &path)?;
        let socket = readiness::register(socket, Interest::READABLE)
            .map_err(|e| Error::system("registering the Q socket", e))?;
        let mut check = tokio::time::interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { socket, lock, path, bound, check, dropped: 0, rebinds: 0 })
    }

    /// The socket's file: what a [`crate::TaskRequest`] names as `reply`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The worker's place.
    #[must_use]
    pub fn lock(&self) -> &WorkerLock {
        &self.lock
    }

    /// Messages that were no reports of ours.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How often the socket had to be bound again.
    #[must_use]
    pub fn rebinds(&self) -> u64 {
        self.rebinds
    }

    /// The next report. Whoever calls this checks its nonce against the recorded one. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::LockLost`]: the run-dir was removed and another worker has this place; stop working.
    pub async fn recv(&mut self) -> Result<TaskReport, Error> {
        loop {
            if let Some(report) = self.try_recv() {
                return Ok(report);
            }
            tokio::select! {
                biased;
                ready = self.socket.readable() => match ready {
                    // The descriptor is edge-triggered: readiness is cleared first, then everything is drained.
                    Ok(mut guard) => guard.clear_ready(),
                    Err(e) => return Err(Error::system("waiting for the Q socket", e)),
                },
                _ = self.check.tick() => self.rebind_if_lost()?,
            }
        }
    }

    /// A report that has arrived already; call it until `None` to take a batch.
    pub fn try_recv(&mut self) -> Option<TaskReport> {
        loop {
            let mut message = match self.socket.get_ref().recv_msg(zmq::DONTWAIT) {
                Ok(message) => message,
                Err(zmq::Error::EINTR) => continue,
                Err(zmq::Error::EAGAIN) => return None,
                Err(error) => {
                    tracing::warn!(%error, "the Q socket failed to receive");
                    return None;
                }
            };
            let mut parts = 1;
            while message.get_more() {
                match self.socket.get_ref().recv_msg(zmq::DONTWAIT) {
                    Ok(next) => (message, parts) = (next, parts + 1),
                    Err(zmq::Error::EINTR) => {}
                    Err(_) => break,
                }
            }
            match codec::decode_report(&message) {
                Ok(report) if parts == 1 => return Some(report),
                _ => self.dropped += 1,
            }
        }
    }

    /// For a process that is about to end: the socket's file is removed, and libzmq's threads and descriptors end with
    /// the process. To end them one by one takes longer than a short job.
    #[expect(clippy::mem_forget, reason = "what is not dropped is this process's alone, and it ends")]
    pub fn leave(self) {
        self.remove_file();
        std::mem::forget(self);
    }

    fn remove_file(&self) {
        if self.lock.is_in_place() && identity(&self.path) == Some(self.bound) {
            std::fs::remove_file(&self.path).ok();
        }
    }

    fn rebind_if_lost(&mut self) -> Result<(), Error> {
        if self.lock.is_in_place() && identity(&self.path) == Some(self.bound) {
            return Ok(());
        }
        match self.rebind() {
            Ok(()) => tracing::warn!(socket = %self.path.display(), "the Q socket's file was removed; bound again"),
            Err(error @ Error::LockLost { .. }) => return Err(error),
            // Tried again with the next tick; until then results come through the report files.
            Err(error) => {
                tracing::warn!(%error, cause = std::error::Error::source(&error), "the Q socket's file was removed");
            }
        }
        Ok(())
    }

    fn rebind(&mut self) -> Result<(), Error> {
        self.lock.retake()?;
        // The old listener has no file any more; it may fail to be found, which is as well. Connections stay.
        self.socket.get_ref().unbind(&endpoint(&self.path)).ok();
        self.bound = bind(self.socket.get_ref(), &self.path)?;
        self.rebinds += 1;
        Ok(())
    }
}

impl Drop for Inbox {
    /// Removes the socket's file, if it is ours, while the lock is still held. libzmq leaves it behind (F22).
    fn drop(&mut self) {
        self.remove_file();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("path", &self.path).field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

fn configure(socket: &zmq::Socket) -> zmq::Result<()> {
    socket.set_backlog(BACKLOG)?;
    socket.set_maxmsgsize(MAX_REPORT as i64)?;
    // Senders exit as soon as libzmq has the message: it must never refuse one for want of room.
    socket.set_rcvhwm(0)?;
    socket.set_linger(0)
}

fn bind(socket: &zmq::Socket, path: &Path) -> Result<(u64, u64), Error> {
    // libzmq unlinks whatever is there, socket or not.
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => return Err(Error::NotASocket { path: path.to_owned() }),
        Ok(_) => std::fs::remove_file(path).map_err(|e| Error::file("remove the stale socket", path, e))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::file("look at", path, e)),
    }
    socket.bind(&endpoint(path)).map_err(|source| Error::Zmq { action: "be bound", source })?;
    identity(path).ok_or_else(|| Error::file("look at", path, io::Error::from(io::ErrorKind::NotFound)))
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn endpoint(path: &Path) -> String {
    format!("ipc://{}", path.display())
}
