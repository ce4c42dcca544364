//! Starting task executors: spares are started ahead, blocked on their standard input, so that a start costs one write.
//!
//! The only module of this crate that starts processes. std uses posix_spawn (vfork) here: no `pre_exec`, no uid, no
//! working directory, an absolute program.

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use executor::ProcessId;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{Mode, OFlags},
    io::Errno,
    net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType},
    process::{Pid, PidfdFlags, Signal},
};
use tokio::io::Interest;

use crate::{
    Error, Running,
    codec::{self, MAX_SLOTS},
    identity,
    message::TaskRequest,
    readiness,
    running::reap,
};

/// Task executors started ahead.
#[derive(Debug)]
pub struct Spares {
    program: PathBuf,
    log: OwnedFd,
    title: Option<String>,
    ahead: usize,
    ready: VecDeque<Spare>,
}

/// A task executor that waits for its request. Ends by itself when this is dropped, or when this process dies.
#[derive(Debug)]
pub struct Spare {
    id: ProcessId,
    /// `None` once the request is sent.
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    pidfd: OwnedFd,
    socket: OwnedFd,
}

impl Spares {
    /// Task executors of this program (an absolute path). What they themselves have to say (nothing, normally) goes to
    /// `log` or nowhere. Starts none yet: see [`Spares::refill`].
    ///
    /// # Errors
    /// The path is relative.
    pub fn new(program: impl Into<PathBuf>, log: Option<OwnedFd>, ahead: usize) -> Result<Self, Error> {
        let program = program.into();
        if !program.is_absolute() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "its path is not absolute");
            return Err(Error::Spawn { program, source });
        }
        let log = match log {
            Some(log) => log,
            None => {
                let flags = OFlags::RDWR | OFlags::CLOEXEC;
                rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(|e| Error::file("open", "/dev/null", e))?
            }
        };
        Ok(Self { program, log, title: None, ahead, ready: VecDeque::new() })
    }

    /// What `ps` shows for them, e.g. whose they are: their argument 0.
    #[must_use]
    pub fn titled(mut self, title: String) -> Self {
        self.title = Some(title);
        self
    }

    /// How many to have ready from now on; the surplus ends.
    pub fn set_ahead(&mut self, ahead: usize) {
        self.ahead = ahead;
        self.ready.truncate(ahead);
    }

    /// How many are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// A spare: one that is ready, else a new one.
    ///
    /// # Errors
    /// No process can be started (F82: say so, keep the task, try again later).
    pub fn take(&mut self) -> Result<Spare, Error> {
        while let Some(spare) = self.ready.pop_front() {
            if spare.is_alive() {
                return Ok(spare);
            }
        }
        self.start()
    }

    /// Starts one spare if fewer than wanted are ready; `true` when there may be more to start. One start blocks for
    /// the time of a vfork and exec, so call it when nothing else is to be done.
    ///
    /// # Errors
    /// No process can be started.
    pub fn refill(&mut self) -> Result<bool, Error> {
        if self.ready.len() < self.ahead {
            let spare = self.start()?;
            self.ready.push_back(spare);
        }
        Ok(self.ready.len() < self.ahead)
    }

    fn start(&self) -> Result<Spare, Error> {
        let failed = |source| Error::Spawn { program: self.program.clone(), source };
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(|e| failed(e.into()))?;
        let child = command(&self.program, self.title.as_deref(), &self.log, theirs)
            .and_then(|mut c| c.spawn())
            .map_err(failed)?;
        Spare::new(&child, ours).map_err(failed)
    }
}

impl Spare {
    /// A child is never reaped by anyone else, so its number cannot be reused before its identity is read.
    fn new(child: &Child, socket: OwnedFd) -> io::Result<Self> {
        let number = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::Other)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let waiting = Waiting { pidfd, socket };
        // From here on dropping it ends and reaps the process.
        let mut spare =
            Self { id: ProcessId { pid: number, start_time: 0, boot_id: String::new() }, waiting: Some(waiting) };
        spare.id = identity::identify(number)?;
        Ok(spare)
    }

    /// Who it is: to be recorded before [`Spare::send`].
    #[must_use]
    pub fn id(&self) -> &ProcessId {
        &self.id
    }

    /// Hands over the request: the task starts. `slots` are held by the task executor from here on, whatever becomes
    /// of this process. Call it *after* the attempt is recorded (record before act). If the future is dropped before
    /// its end, the spare sees an incomplete request and launches nothing.
    ///
    /// # Errors
    /// [`Error::SpareGone`]: nothing was launched. The request or the slots are too large.
    pub async fn send(mut self, request: &TaskRequest, slots: &[BorrowedFd<'_>]) -> Result<Running, Error> {
        let frame = codec::encode_request(request, slots.len())?;
        let gone = |source: io::Error| Error::SpareGone { pid: self.id.pid, source };
        let socket = &self.waiting.as_ref().expect("BUG: sent only once").socket;
        let sent = send_first(socket.as_fd(), &frame, slots).map_err(gone)?;
        if sent < frame.len() {
            send_rest(socket.as_fd(), &frame[sent..]).await.map_err(gone)?;
        }
        let Waiting { pidfd, .. } = self.waiting.take().expect("BUG: sent only once");
        Running::new(self.id.clone(), pidfd, true)
    }

    fn is_alive(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| reap(waiting.pidfd.as_fd()).is_none())
    }
}

impl Drop for Spare {
    /// It has no request, so nothing is lost: it is ended and reaped.
    fn drop(&mut self) {
        if let Some(Waiting { pidfd, socket }) = self.waiting.take() {
            drop(socket);
            rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).ok();
            let wait = rustix::process::WaitIdOptions::EXITED;
            while matches!(
                rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), wait),
                Err(Errno::INTR)
            ) {}
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this module owns the start of task executors")]
fn command(program: &Path, title: Option<&str>, log: &OwnedFd, stdin: OwnedFd) -> io::Result<Command> {
    let output = || log.try_clone().map(Stdio::from);
    let mut command = Command::new(program);
    if let Some(title) = title {
        command.arg0(title);
    }
    command.env_clear().stdin(Stdio::from(stdin)).stdout(output()?).stderr(output()?);
    Ok(command)
}

/// The descriptors go with the first byte.
fn send_first(socket: BorrowedFd<'_>, frame: &[u8], slots: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SLOTS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !slots.is_empty() && !control.push(SendAncillaryMessage::ScmRights(slots)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many slots"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match rustix::net::sendmsg(socket, &[io::IoSlice::new(frame)], &mut control, flags) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// A request that is larger than the socket's buffer (a large standard input): waits without blocking the worker.
async fn send_rest(socket: BorrowedFd<'_>, mut rest: &[u8]) -> io::Result<()> {
    let socket = readiness::register(socket, Interest::WRITABLE)?;
    while !rest.is_empty() {
        let mut guard = socket.writable().await?;
        match rustix::net::send(socket.get_ref(), rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => guard.clear_ready(),
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}
