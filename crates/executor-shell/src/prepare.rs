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
    /// Readable when a child has ended. After a fork: a child of the process that reads.
    pub(crate) children: SignalFd,
    pub(crate) boot_id: String,
}

impl Prepared {
    /// Asks to be told of the end of children.
    pub(crate) fn new() -> Result<Self, String> {
        // With an inherited SIG_IGN the kernel would throw the task's status away (F16).
        mask::handle(Signal::SIGCHLD)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(|error| format!("cannot block SIGCHLD: {error}"))?;
        let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|error| format!("cannot watch SIGCHLD: {error}"))?;
        Ok(Self { children, boot_id: boot_id() })
    }
}

/// Leaves the parent's session and takes in orphans. Answers the session that this process leads, else 0.
pub(crate) fn lead() -> Result<i32, String> {
    let this = getpid();
    // Fails for the leader of a group: a program that a shell with job control has started stays where it is.
    let leads = setsid().is_ok() || getsid(None).is_ok_and(|session| session == this);
    set_child_subreaper(Some(this)).map_err(|error| format!("cannot become a subreaper: {error}"))?;
    Ok(if leads { this.as_raw_nonzero().get() } else { 0 })
}
