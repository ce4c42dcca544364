//! The database's clock. For SQLite that is the wall clock of this host; no decision about who owns a job hangs on it.

use std::time::{Duration, SystemTime};

use crate::Micros;

/// Microseconds since 1970; 0 for a clock set before that.
#[expect(clippy::disallowed_methods, reason = "this module owns the queue's clock")]
pub(crate) fn now() -> Micros {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, micros)
}

/// A length in microseconds, at most the largest there is.
pub(crate) fn micros(length: Duration) -> Micros {
    Micros::try_from(length.as_micros()).unwrap_or(Micros::MAX)
}
