//! From the scheduler's rows to the queue's.

use dag_scheduler::{Cause as Why, Row, StopWhy as SchedStop, Time};
use job_queue::{StopWhy, TaskRow};
use workflow_model::TaskIx;

use super::run::Clock;

/// The queue's row for what the scheduler says; what only the driver knows (process, times, words) is filled in by
/// the caller.
pub(super) fn row(task: TaskIx, row: &Row, clock: &Clock) -> TaskRow {
    TaskRow {
        task,
        status: row.state.into(),
        attempt: row.attempt.into(),
        retries: row.retries,
        losses: row.losses,
        cause: row.cause.map(Into::into),
        message: None,
        code: row.cause.and_then(Why::code),
        started: None,
        ended: None,
        retry_at: row.retry_at.map(|at| clock.wall(at)),
        attempt_process: None,
        stopping: row.stopping.map(stopping),
    }
}

/// The scheduler's row for what the queue kept.
pub(super) fn restored(row: &TaskRow, clock: &Clock) -> Row {
    Row {
        state: row.status.into(),
        attempt: row.attempt.into(),
        retries: row.retries,
        losses: row.losses,
        cause: row.cause.map(|cause| Why::from_model(cause, row.code)),
        retry_at: row.retry_at.map(|at| clock.time(at)),
        stopping: row.stopping.map(|why| match why {
            StopWhy::Release => SchedStop::Release,
            StopWhy::Timeout => SchedStop::Timeout,
            StopWhy::Cancel => SchedStop::Cancel,
        }),
    }
}

pub(super) fn stopping(why: SchedStop) -> StopWhy {
    match why {
        SchedStop::Release => StopWhy::Release,
        SchedStop::Timeout => StopWhy::Timeout,
        SchedStop::Cancel => StopWhy::Cancel,
    }
}

impl Clock {
    /// A moment of the scheduler's as wall time, for people and for the next worker.
    fn wall(&self, at: Time) -> i64 {
        self.origin_wall.saturating_add(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
    }

    /// A wall time as the scheduler's moment; what is past is the origin.
    fn time(&self, wall: i64) -> Time {
        Time::from_micros(u64::try_from(wall - self.origin_wall).unwrap_or(0))
    }
}
