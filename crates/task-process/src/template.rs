//! The template: one process of the task executors' program, from which they are forked (ADR 11).
//!
//! ```text
//! worker                                  template                       task executor
//!   Template::fork ── socket (SCM_RIGHTS) ─▶ fork ───────────────────────▶ standard input = that socket
//!   Coming::wait ◀──────────────────────────────────── pid, start time, pidfd ─┘
//! ```
//!
//! It holds no request and no secret, has one thread, and ends with the worker's end of its socket. What it opens for
//! itself is closed in each task executor, so that nothing of one reaches another.

use std::{io, mem::MaybeUninit};

use executor::{Birth, ProcessId};
use fork::Fork;
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, sockopt::socket_type,
    },
    process::{Pid, PidfdFlags, WaitOptions},
};

use crate::identity;

/// A fork takes a tenth of a millisecond; a template that does not answer for so long is stopped or stuck.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// How long an ended task executor may wait for the next order.
const BUSY: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

pub(crate) const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Names for `ps`: the command line is the same, since it is inherited.
const TEMPLATE: &std::ffi::CStr = c"task-template";
const EXECUTOR: &std::ffi::CStr = c"task-executor";

/// What a task executor says first: pid, start time. Its pidfd comes with it.
const HELLO: usize = 12;

/// The worker's hold on a template. Dropping it ends the template, not the task executors.
#[derive(Debug)]
pub(crate) struct Template {
    pidfd: OwnedFd,
    control: OwnedFd,
}

/// A task executor that is about to be forked. Dropping it ends it by itself.
#[derive(Debug)]
pub(crate) struct Coming {
    socket: OwnedFd,
}

/// A task executor that was forked and waits.
#[derive(Debug)]
pub(crate) struct Forked {
    pub(crate) id: ProcessId,
    pub(crate) pidfd: OwnedFd,
    pub(crate) socket: OwnedFd,
}

/// In which process [`serve`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// In a task executor: its standard input is its own socket.
    Forked,
    /// In the template, whose worker is gone.
    Over,
}

impl Template {
    /// A template on the far end of a socket pair; `spawn` starts the program with that end as its standard input.
    pub(crate) fn start(spawn: impl FnOnce(OwnedFd) -> io::Result<std::process::Child>) -> io::Result<Self> {
        let (control, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let child = spawn(theirs)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::Other)?;
        // It is our child, so its number is its own until we have waited for it.
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pidfd, control })
    }

    /// Orders one task executor, and does not wait for it.
    pub(crate) fn fork(&self) -> io::Result<Coming> {
        let (socket, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        send_with(self.control.as_fd(), &[1], theirs.as_fd(), SendFlags::DONTWAIT)?;
        Ok(Coming { socket })
    }

    pub(crate) fn has_ended(&self) -> bool {
        is_readable(self.pidfd.as_fd(), &NOW)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // Its standard input ends, and so does it; unless it is stopped.
        rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both).ok();
        if !is_readable(self.pidfd.as_fd(), &PATIENCE) {
            rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL).ok();
        }
        let wait = rustix::process::WaitIdOptions::EXITED;
        while matches!(
            rustix::process::waitid(rustix::process::WaitId::PidFd(self.pidfd.as_fd()), wait),
            Err(Errno::INTR)
        ) {}
    }
}

impl Coming {
    /// The task executor, once it has said who it is.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`]: nothing came. Anything else: it could not be forked, or has ended already.
    pub(crate) fn wait(self) -> io::Result<Forked> {
        let mut hello = [0; HELLO];
        let mut received = receive_with(self.socket.as_fd(), &mut hello, RecvFlags::DONTWAIT);
        if matches!(&received, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
            if !is_readable(self.socket.as_fd(), &PATIENCE) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            received = receive_with(self.socket.as_fd(), &mut hello, RecvFlags::DONTWAIT);
        }
        let (HELLO, Some(pidfd)) = received? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        let [p0, p1, p2, p3, start_time @ ..] = hello;
        let pid = i32::from_le_bytes([p0, p1, p2, p3]);
        let start_time = u64::from_le_bytes(start_time);
        let forked = Forked {
            id: ProcessId { pid, start_time, boot_id: identity::boot_id().to_owned() },
            pidfd,
            socket: self.socket,
        };
        // It may have been killed since.
        if forked.has_ended() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(forked) }
    }
}

impl Forked {
    fn has_ended(&self) -> bool {
        is_readable(self.pidfd.as_fd(), &NOW)
    }
}

/// Whether this process is to be a template: its standard input keeps messages apart, which a request's does not.
///
/// # Errors
/// Standard input is no socket.
pub(crate) fn is_wanted() -> rustix::io::Result<bool> {
    Ok(socket_type(rustix::stdio::stdin())? == SocketType::SEQPACKET)
}

/// Forks a task executor for each socket that comes, and waits for those that have ended, until the worker is gone.
/// Comes back in each of them as well.
///
/// # Errors
/// The ends of children cannot be watched.
pub(crate) fn serve() -> io::Result<Served> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.thread_block()?;
    let children = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    if let Ok(this) = identity::current() {
        Birth::trust_clock(this.start_time);
    }
    // Fails where that is done already. Nobody at the terminal means it.
    rustix::process::setsid().ok();
    rustix::thread::set_name(TEMPLATE).ok();
    // While orders come one after another, whoever has ended is waited for with the next: a wake-up less for each task.
    let mut busy = false;
    loop {
        let stdin = rustix::stdio::stdin();
        let mut fds = [PollFd::from_borrowed_fd(stdin, PollFlags::IN), PollFd::new(&children, PollFlags::IN)];
        let watched = if busy { &mut fds[..1] } else { &mut fds[..] };
        // An interrupted poll means "nothing"; a failed one (no memory) is tried again.
        poll(watched, busy.then_some(&BUSY)).ok();
        let [orders, ended] = fds.map(|fd| !fd.revents().is_empty());
        if ended {
            // In this order: who ends in between is told of again.
            children.read_signal().ok();
        }
        if ended || busy {
            reap();
        }
        busy = orders;
        if !orders {
            continue;
        }
        match receive_with(stdin, &mut [0], RecvFlags::DONTWAIT) {
            Ok((0, _)) => {
                reap();
                return Ok(Served::Over);
            }
            // If the fork fails, the socket's end says so to the worker.
            Ok((_, Some(socket))) => {
                if begin(socket)? {
                    return Ok(Served::Forked);
                }
            }
            Ok((_, None)) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Forks; `true` in the child, which has told the worker who it is. `children` of [`serve`] is closed as it returns.
fn begin(socket: OwnedFd) -> io::Result<bool> {
    let birth = Birth::awaited();
    match fork::fork() {
        Ok(Fork::Child) => {}
        Ok(Fork::Parent(_)) | Err(_) => return Ok(false),
    }
    let start_time = birth.start_time();
    rustix::thread::set_name(EXECUTOR).ok();
    // This closes our copy of the template's own socket.
    rustix::stdio::dup2_stdin(&socket)?;
    drop(socket);
    let this = rustix::process::getpid();
    let start_time = match start_time {
        Some(start_time) => start_time,
        None => identity::current()?.start_time,
    };
    let mut hello = [0; HELLO];
    hello[..4].copy_from_slice(&this.as_raw_nonzero().get().to_le_bytes());
    hello[4..].copy_from_slice(&start_time.to_le_bytes());
    let pidfd = rustix::process::pidfd_open(this, PidfdFlags::empty())?;
    send_with(rustix::stdio::stdin(), &hello, pidfd.as_fd(), SendFlags::empty())?;
    Ok(true)
}

fn reap() {
    while let Ok(Some(_)) | Err(Errno::INTR) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Whether there is something to read (or the end) within this time.
pub(crate) fn is_readable(fd: BorrowedFd<'_>, within: &Timespec) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(within)).is_ok_and(|ready| ready > 0)
}

fn send_with(to: BorrowedFd<'_>, bytes: &[u8], fd: BorrowedFd<'_>, flags: SendFlags) -> io::Result<()> {
    let fds = [fd];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    loop {
        match rustix::net::sendmsg(to, &[io::IoSlice::new(bytes)], &mut control, flags | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            other => return Ok(other.map(|_| ())?),
        }
    }
}

fn receive_with(from: BorrowedFd<'_>, bytes: &mut [u8], flags: RecvFlags) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(bytes)];
    let received = rustix::net::recvmsg(from, &mut parts, &mut control, flags | RecvFlags::CMSG_CLOEXEC)?;
    let fd = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    Ok((received.bytes, fd))
}
