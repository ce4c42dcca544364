//! A task executor that has its request: waiting for its end, stopping it, adopting one of a dead worker.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use executor::ProcessId;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::RecvFlags,
    process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions},
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{Error, identity, readiness, template};

/// How a task executor itself ended. Never says how its task ended: that is in the report alone (F05).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With a code of [`crate::exit`].
    Code(i32),
    /// By a signal: known of a child alone.
    Signal(i32),
    /// It is not our child and has not said its code: only that it ended is known.
    Unknown,
}

/// A task executor at work. Cheap to clone; dropping it leaves the task executor alone.
#[derive(Debug, Clone)]
pub struct Running {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: ProcessId,
    pidfd: AsyncFd<OwnedFd>,
    by: By,
    told: AtomicBool,
    exit: Mutex<Option<Exit>>,
}

/// Whence we learn how it ended.
#[derive(Debug)]
pub(crate) enum By {
    /// It is our child: from the kernel.
    Parent,
    /// From its last word on the socket of its request.
    Word(OwnedFd),
    /// Another process started it.
    Nobody,
}

impl Running {
    /// Takes hold of a task executor that a dead worker started: `None` if it has ended. A later process of the same
    /// pid is never taken for it (F08).
    ///
    /// # Errors
    /// The descriptor cannot be opened or registered.
    pub fn adopt(id: &ProcessId) -> Result<Option<Self>, Error> {
        // 0 and negative numbers mean groups elsewhere; they come from a row that somebody wrote.
        let Some(pid) = Some(id.pid).filter(|pid| *pid > 0).and_then(Pid::from_raw) else { return Ok(None) };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            Err(Errno::SRCH | Errno::INVAL) => return Ok(None),
            Err(e) => return Err(Error::system("opening a pidfd", e)),
        };
        // Checked *after* the descriptor is open: from here on it cannot mean another process.
        if !identity::is_alive(id) {
            return Ok(None);
        }
        Self::new(id.clone(), pidfd, By::Nobody).map(Some)
    }

    pub(crate) fn new(id: ProcessId, pidfd: OwnedFd, by: By) -> Result<Self, Error> {
        let pidfd =
            readiness::register(pidfd, Interest::READABLE).map_err(|e| Error::system("registering a pidfd", e))?;
        Ok(Self { inner: Arc::new(Inner { id, pidfd, by, told: AtomicBool::new(false), exit: Mutex::default() }) })
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.inner.id
    }

    /// Answers when it has ended, and reaps it.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + use<> {
        let inner = Arc::clone(&self.inner);
        async move {
            loop {
                if let Some(exit) = inner.try_exit() {
                    return exit;
                }
                match inner.pidfd.readable().await {
                    Ok(mut guard) => guard.clear_ready(),
                    // The runtime is shutting down.
                    Err(_) => return Exit::Unknown,
                }
            }
        }
    }

    /// The first stops the task with grace, the second kills it at once. That it has ended already is well.
    ///
    /// # Errors
    /// We may not signal it.
    pub fn stop(&self) -> Result<(), Error> {
        // To a task executor both mean the same, the second of any kind means "now"; but two equal ones that come before
        // it looks would be one.
        let again = self.inner.told.fetch_xor(true, Ordering::Relaxed);
        self.inner.signal(if again { Signal::INT } else { Signal::TERM })
    }

    /// SIGTERM and SIGINT: two requests to the task executor, so its task is killed at once. (Two SIGTERMs sent in a row
    /// may arrive as one.)
    ///
    /// # Errors
    /// We may not signal it.
    pub fn stop_now(&self) -> Result<(), Error> {
        self.inner.signal(Signal::TERM)?;
        self.inner.signal(Signal::INT)?;
        self.inner.signal(Signal::CONT)
    }

    /// SIGKILL to the task executor *alone*: its task lives on and must be ended by `Executor::stop`.
    ///
    /// # Errors
    /// We may not signal it.
    pub fn kill(&self) -> Result<(), Error> {
        self.inner.signal(Signal::KILL)
    }
}

impl Inner {
    fn signal(&self, signal: Signal) -> Result<(), Error> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(e) => Err(Error::system("signalling a task executor", e)),
        }
    }

    /// Whoever asks first reaps it; all who ask get the same answer.
    fn try_exit(&self) -> Option<Exit> {
        let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            *exit = match &self.by {
                By::Parent => reap(self.pidfd.get_ref().as_fd()),
                By::Word(socket) => self.ended().then(|| last_word(socket.as_fd())),
                By::Nobody => self.ended().then_some(Exit::Unknown),
            };
        }
        *exit
    }

    fn ended(&self) -> bool {
        template::is_readable(self.pidfd.get_ref().as_fd(), &template::NOW)
    }
}

fn last_word(socket: BorrowedFd<'_>) -> Exit {
    let mut word = [0];
    match rustix::net::recv(socket, &mut word[..], RecvFlags::DONTWAIT) {
        Ok((_, 1)) => Exit::Code(word[0].into()),
        _ => Exit::Unknown,
    }
}

/// Reaps a child that has ended.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    loop {
        return match rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => None,
            Ok(Some(status)) => Some(match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (_, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Unknown,
            }),
            Err(Errno::INTR) => continue,
            // The kernel threw its status away, because SIGCHLD is ignored.
            Err(_) => Some(Exit::Unknown),
        };
    }
}
