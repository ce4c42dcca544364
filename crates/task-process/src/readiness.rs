//! Descriptors in tokio's reactor.

use std::{io, os::fd::AsRawFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor. Must be called within a tokio runtime with IO.
///
/// `T` must own its descriptor, or borrow it for longer than the answer lives, and always name the same one: so do
/// `OwnedFd`, `BorrowedFd` and `zmq::Socket`, and nothing else is passed here.
#[expect(deprecated, reason = "the replacement is `unsafe`, and this workspace forbids that; see the condition above")]
pub(crate) fn register<T: AsRawFd>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(fd, interest)
}
