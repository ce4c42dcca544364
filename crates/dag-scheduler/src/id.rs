//! Small numbers with names: tasks, attempts, moments, timers.

use std::{fmt, time::Duration};

/// A task by its place in the plan, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TaskIx(pub u32);

/// Which try of a task this is, from 1. Every start has a new one, whatever became of the last; a report that carries
/// another than the newest changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attempt(pub u32);

/// A moment in microseconds from an origin of the driver's choice (its start, 1970, …). The scheduler never lets it
/// run backwards: an earlier moment than the last one seen counts as the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// Something to be woken for. The driver gives it back in [`Event::Fired`](crate::Event::Fired); whether it still
/// matters then is the scheduler's business, so timers need not be disarmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    pub(crate) task: TaskIx,
    pub(crate) attempt: Attempt,
    pub(crate) kind: TimerKind,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerKind {
    /// The next attempt may begin.
    Backoff,
    /// The attempt has run long enough.
    Limit,
    /// It was asked to stop for that and is still there.
    LimitKill,
}

impl TaskIx {
    /// The index as an array position.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Of an array position that is known to fit: plans have fewer than 2^32 tasks.
    pub(crate) fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("BUG: a plan has fewer than 2^32 tasks"))
    }
}

impl fmt::Display for TaskIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// So many microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; nothing if it is not.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// So much later; the end of time if that is too far.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl From<Duration> for Time {
    /// So long after the origin.
    fn from(since_origin: Duration) -> Self {
        Self::ZERO.saturating_add(since_origin)
    }
}

impl Timer {
    /// The task that the timer is about.
    #[must_use]
    pub fn task(self) -> TaskIx {
        self.task
    }

    /// The attempt that it waits for or, in a backoff, waits after.
    #[must_use]
    pub fn attempt(self) -> Attempt {
        self.attempt
    }
}
