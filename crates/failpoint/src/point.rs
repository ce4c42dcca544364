//! The points.

/// A point in the life of a job; the numbers are those of the crash matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Client: the workflow is read, nothing is sent.
    C1,
    /// Client: the rows are inserted, not committed.
    C2,
    /// Client: committed, nobody was told.
    C3,
    /// Worker: the claim is committed.
    C4,
    /// Worker: before a task executor is taken for a task.
    C5,
    /// Task executor: forked, has no task.
    C6,
    /// Task executor: has its task, has not launched it.
    C7,
    /// Task executor: has launched its task, its handle is not written.
    C8,
    /// Task executor: the task runs.
    C9,
    /// Task executor: the task has ended, the report is not written.
    C10,
    /// Task executor: the report is written, the message not sent.
    C11,
    /// Task executor: the message is sent.
    C12,
    /// Worker: an end is known, not committed.
    C13,
    /// Worker: an end is committed, what follows from it is not started.
    C14,
    /// Worker: what follows is started.
    C15,
    /// Worker: the last task has ended, the job has not.
    C16,
    /// Worker: the job has ended, nothing is tidied.
    C17,
}

/// Comes to a point; `true` = what was just done is to be treated as failed.
#[must_use]
#[inline]
pub fn at(point: Point) -> bool {
    #[cfg(feature = "on")]
    let fail = crate::armed::at(point);
    #[cfg(not(feature = "on"))]
    let fail = off(point);
    fail
}

/// What the compiler takes away.
#[cfg(not(feature = "on"))]
#[inline]
const fn off(_point: Point) -> bool {
    false
}
