//! The monotonic clock of this crate: timeouts, grace periods and the drain.

use std::time::Instant;

/// Now. Goes on while a task is stopped by SIGSTOP (F15), unlike the time it has used.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads a clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
