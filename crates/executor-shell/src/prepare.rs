//! What a task executor does to itself before it knows its task, so that the task does not wait for it.

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::process::{getpid, getsid, set_child_subreaper, setsid};

use crate::{mask, process::boot_id};

/// A process that is ready to run one task.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Readable when a child has ended.
    pub(crate) children: SignalFd,
    /// The session that this process leads, else 0.
    pub(crate) session: i32,
    pub(crate) boot_id: String,
}

impl Prepared {
    /// Leaves the parent's session, takes in orphans, and asks to be told of the end of children.
    pub(crate) fn new() -> Result<Self, String> {
        let this = getpid();
        // Fails for the leader of a group: a program that a shell with job control has started stays where it is.
        setsid().ok();
        let leads = getsid(None).is_ok_and(|session| session == this);
        set_child_subreaper(Some(this)).map_err(|error| format!("cannot become a subreaper: {error}"))?;
        // With an inherited SIG_IGN the kernel would throw the task's status away (F16).
        mask::handle(Signal::SIGCHLD)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(|error| format!("cannot block SIGCHLD: {error}"))?;
        let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|error| format!("cannot watch SIGCHLD: {error}"))?;
        let session = if leads { this.as_raw_nonzero().get() } else { 0 };
        Ok(Self { children, session, boot_id: boot_id() })
    }
}
