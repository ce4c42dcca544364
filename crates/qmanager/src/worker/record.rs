//! From the scheduler's rows to the queue's.

use std::time::Duration;

use dag_scheduler::{Cause as Why, Row, Rules, StopWhy as SchedStop, Time};
use job_queue::{StopWhy, TaskRow};
use workflow_model::{Retry, TaskIx};

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
pub(super) fn restored(row: &TaskRow, retry: Retry, clock: &Clock) -> Row {
    // By the wall clock of whoever wrote it: another host's, or ours before it was set (F80, F81).
    let latest = Time::from(longest_pause(retry, row.retries.max(row.losses)));
    Row {
        state: row.status.into(),
        attempt: row.attempt.into(),
        retries: row.retries,
        losses: row.losses,
        cause: row.cause.map(|cause| Why::from_model(cause, row.code)),
        retry_at: row.retry_at.map(|at| clock.time(at).min(latest)),
        stopping: row.stopping.map(|why| match why {
            StopWhy::Release => SchedStop::Release,
            StopWhy::Timeout => SchedStop::Timeout,
            StopWhy::Cancel => SchedStop::Cancel,
        }),
    }
}

/// No pause after so many failures is longer.
fn longest_pause(retry: Retry, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    // Up to a tenth is added to each.
    (retry.backoff.saturating_mul(factor).saturating_mul(11) / 10).min(Rules::default().backoff_limit)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f81_a_pause_written_by_a_clock_that_is_ahead_is_no_longer_than_it_was_meant() {
        let clock = Clock::start();
        let retry = Retry { max: 9, backoff: Duration::from_secs(1) };
        let hour = 3_600_000_000;
        for (ahead, retries, expected) in [
            (hour, 1, Duration::from_millis(1_100)),
            (hour, 3, Duration::from_millis(4_400)),
            (hour * 2, 40, Duration::from_secs(3_600)),
            (-hour, 1, Duration::ZERO),
            (i64::MAX - clock.now_wall() - hour, 1, Duration::from_millis(1_100)),
        ] {
            let at = clock.wall(Time::ZERO) + ahead;
            let row = super::row(TaskIx(0), &Row { retries, retry_at: Some(Time::ZERO), ..Row::default() }, &clock);
            let row = TaskRow { retry_at: Some(at), ..row };
            assert_eq!(restored(&row, retry, &clock).retry_at, Some(Time::from(expected)), "{ahead}");
        }
    }
}
