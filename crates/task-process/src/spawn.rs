//! Starting task executors: spares are started ahead, blocked on their standard input, so that a start costs one write.
//! The first is a program that is exec'ed; as soon as there is a second, they are forked from a template (ADR 11), and
//! exec'ed only where that cannot be.
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
    time::Timespec,
};
use tokio::io::Interest;

use crate::{
    Error, Running,
    codec::{self, MAX_SLOTS},
    identity,
    message::TaskRequest,
    readiness,
    running::{By, reap},
    template::{self, Coming, Forked, Template},
};

/// After so many templates that ended before they forked anything there is no further one: the program is another one
/// (replaced by a release that knows no templates).
const TEMPLATES: u32 = 3;

/// One that is killed has ended by then, unless the machine stands still.
const LAST: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Task executors started ahead.
#[derive(Debug)]
pub struct Spares {
    program: PathBuf,
    log: OwnedFd,
    title: Option<String>,
    ahead: usize,
    ready: VecDeque<Ahead>,
    template: Option<Template>,
    /// Whether a task executor was started, so that a template is worth its start.
    started: bool,
    /// Templates that forked nothing, in a row.
    barren: u32,
}

#[derive(Debug)]
enum Ahead {
    Started(Spare),
    Coming(Coming),
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
    is_child: bool,
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
        let (title, ready, template) = (None, VecDeque::new(), None);
        Ok(Self { program, log, title, ahead, ready, template, started: false, barren: 0 })
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
        while self.ready.len() > ahead {
            if let Some(Ahead::Coming(coming)) = self.ready.pop_back() {
                // Known by its pid it is ended and waited for.
                drop(self.arrived(coming));
            }
        }
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
        loop {
            match self.ready.pop_front() {
                Some(Ahead::Started(spare)) if spare.is_alive() => return Ok(spare),
                Some(Ahead::Started(_)) => {}
                Some(Ahead::Coming(coming)) => {
                    if let Some(spare) = self.arrived(coming) {
                        return Ok(spare);
                    }
                }
                None => break,
            }
        }
        match self.order().and_then(|coming| self.arrived(coming)) {
            Some(spare) => Ok(spare),
            None => self.start(),
        }
    }

    /// Starts one spare if fewer than wanted are ready; `true` when there may be more to start. Where there is no
    /// template, one start blocks for the time of a vfork and exec, so call it when nothing else is to be done.
    ///
    /// # Errors
    /// No process can be started.
    pub fn refill(&mut self) -> Result<bool, Error> {
        if self.ready.len() < self.ahead {
            let spare = match self.order() {
                Some(coming) => Ahead::Coming(coming),
                None => Ahead::Started(self.start()?),
            };
            self.ready.push_back(spare);
        }
        Ok(self.ready.len() < self.ahead)
    }

    /// Has one forked, if there is a template or can be one.
    fn order(&mut self) -> Option<Coming> {
        if !self.started || self.barren >= TEMPLATES {
            return None;
        }
        if let Some(template) = &self.template {
            match template.fork() {
                Ok(coming) => return Some(coming),
                // It was killed, or does not get on.
                Err(_) => self.give_up_template(),
            }
        }
        let (program, title, log) = (&self.program, self.title.as_deref(), &self.log);
        // Where no process can be started, the start of a task executor says so.
        let template = Template::start(|stdin| command(program, title, log, stdin)?.spawn()).ok()?;
        self.template.insert(template).fork().ok()
    }

    fn arrived(&mut self, coming: Coming) -> Option<Spare> {
        match coming.wait() {
            Ok(forked) => {
                self.barren = 0;
                Some(Spare::from(forked))
            }
            Err(error) => {
                // Stopped or stuck; one that lives could not fork, or what it forked was killed.
                if error.kind() == io::ErrorKind::TimedOut || self.template.as_ref().is_some_and(Template::has_ended) {
                    self.give_up_template();
                }
                None
            }
        }
    }

    fn give_up_template(&mut self) {
        self.template = None;
        self.barren += 1;
        if self.barren == TEMPLATES {
            tracing::warn!(program = %self.program.display(), "cannot be forked from: each task executor is exec'ed");
        }
    }

    fn start(&mut self) -> Result<Spare, Error> {
        let failed = |source| Error::Spawn { program: self.program.clone(), source };
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(|e| failed(e.into()))?;
        let child = command(&self.program, self.title.as_deref(), &self.log, theirs)
            .and_then(|mut c| c.spawn())
            .map_err(failed)?;
        let spare = Spare::new(&child, ours).map_err(failed)?;
        self.started = true;
        Ok(spare)
    }
}

impl Drop for Spares {
    /// Spares first, so that the template still waits for their end.
    fn drop(&mut self) {
        self.set_ahead(0);
    }
}

impl Spare {
    /// A child is never reaped by anyone else, so its number cannot be reused before its identity is read.
    fn new(child: &Child, socket: OwnedFd) -> io::Result<Self> {
        let number = i32::try_from(child.id()).map_err(io::Error::other)?;
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::Other)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let waiting = Waiting { pidfd, socket, is_child: true };
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
        let Waiting { pidfd, socket, is_child } = self.waiting.take().expect("BUG: sent only once");
        Running::new(self.id.clone(), pidfd, if is_child { By::Parent } else { By::Word(socket) })
    }

    fn is_alive(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| reap(waiting.pidfd.as_fd()).is_none())
    }
}

impl From<Forked> for Spare {
    fn from(forked: Forked) -> Self {
        let Forked { id, pidfd, socket } = forked;
        Self { id, waiting: Some(Waiting { pidfd, socket, is_child: false }) }
    }
}

impl Drop for Spare {
    /// It has no request, so nothing is lost: it is ended and waited for.
    fn drop(&mut self) {
        if let Some(Waiting { pidfd, socket, is_child }) = self.waiting.take() {
            drop(socket);
            rustix::process::pidfd_send_signal(&pidfd, Signal::KILL).ok();
            if !is_child {
                // The template reaps it.
                template::is_readable(pidfd.as_fd(), &LAST);
                return;
            }
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
