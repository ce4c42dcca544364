//! Requests to stop a running task.

use std::os::fd::BorrowedFd;

use serde::{Deserialize, Serialize};

/// How urgently a task is to end. Ordered: a later request can only be more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// TERM to the whole tree, KILL after the grace period.
    Once,
    /// KILL now.
    Twice,
}

/// Where requests to stop come from while a task runs (signals, a lease that ran out).
pub trait Control: Send + Sync {
    /// A descriptor that is readable when `take` would answer something new.
    fn fd(&self) -> BorrowedFd<'_>;

    /// The same as one or two descriptors, where that is cheaper and they are polled only once.
    fn fds(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.fd(), None)
    }

    /// The most urgent request so far, if there is one. Clears the descriptor's readiness.
    fn take(&self) -> Option<Shutdown>;
}
