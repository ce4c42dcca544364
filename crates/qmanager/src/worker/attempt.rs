//! An attempt that runs, and what its end means.

use dag_scheduler::{Cause, End, Event, TaskIx};
use executor::{Ending, Outcome};
use job_queue::StopWhy;
use task_process::{Paths, Running, SlotGuard};
use workflow_model::{Attempt, Nonce};

/// An attempt under way: recorded, its task executor started or adopted.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) attempt: Attempt,
    pub(super) nonce: Nonce,
    pub(super) paths: Paths,
    /// The task executor; `None` when it could not be started or is gone and its tree is being killed.
    pub(super) process: Option<Running>,
    /// The host's slots that it holds; kept here too, so that the next attempt can have them without a system call.
    pub(super) slots: Option<SlotGuard>,
    /// Who that is, as recorded.
    pub(super) process_row: Option<job_queue::AttemptProcess>,
    /// How many task executors have taken hold of it after the first.
    pub(super) attaches: u32,
    /// When it was launched, in microseconds since 1970.
    pub(super) started: i64,
}

/// What a report means to the scheduler, given the recorded intent to stop the attempt. A success stays one, whatever
/// we wanted.
pub(super) fn meaning(task: TaskIx, attempt: Attempt, outcome: &Outcome, stopping: Option<StopWhy>) -> Event {
    let attempt = attempt.into();
    let failed = |cause| Event::Reported { task, attempt, end: End::Failed(cause) };
    let lost = |cause| Event::Lost { task, attempt, cause };
    match (&outcome.ending, stopping) {
        (Ending::Exited { code: 0 }, _) => Event::Reported { task, attempt, end: End::Succeeded },
        (_, Some(StopWhy::Release)) => Event::Released { task, attempt },
        (_, Some(StopWhy::Cancel)) => failed(Cause::Cancelled),
        (_, Some(StopWhy::Timeout)) | (Ending::TimedOut, None) => failed(Cause::Timeout),
        (Ending::Exited { code }, None) => failed(Cause::UserExit(*code)),
        (Ending::Signaled { signal }, None) => failed(Cause::Signal(*signal)),
        (Ending::OutOfMemory, None) => failed(Cause::Oom),
        (Ending::StartFailed { .. } | Ending::Invalid, None) => failed(Cause::Invalid),
        (Ending::ImagePull { transient: false }, None) => failed(Cause::ImagePull),
        (Ending::ImagePull { transient: true }, None) => lost(Cause::ImagePull),
        // An end by signal without recorded intent: someone ended the task executor, not us (design §6 Stopping).
        (Ending::Stopped | Ending::Lost, None) => lost(Cause::LostInfra),
    }
}

/// The return code to show, where there is one.
pub(super) fn code(outcome: &Outcome) -> Option<i32> {
    match outcome.ending {
        Ending::Exited { code } | Ending::StartFailed { code } => Some(code),
        Ending::Signaled { signal } => Some(128 + signal),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(ending: Ending, stopping: Option<StopWhy>) -> Event {
        meaning(TaskIx(7), Attempt(2), &Outcome::new(ending, ""), stopping)
    }

    fn reported(end: End) -> Event {
        Event::Reported { task: TaskIx(7), attempt: dag_scheduler::Attempt(2), end }
    }

    #[test]
    fn f57_only_code_0_is_success_and_it_stays_one_whatever_was_wanted() {
        for stopping in [None, Some(StopWhy::Release), Some(StopWhy::Timeout), Some(StopWhy::Cancel)] {
            assert_eq!(meant(Ending::Exited { code: 0 }, stopping), reported(End::Succeeded));
        }
        assert_eq!(meant(Ending::Exited { code: 3 }, None), reported(End::Failed(Cause::UserExit(3))));
        assert_eq!(meant(Ending::Signaled { signal: 9 }, None), reported(End::Failed(Cause::Signal(9))));
        assert_eq!(meant(Ending::TimedOut, None), reported(End::Failed(Cause::Timeout)));
    }

    #[test]
    fn f10_a_stop_at_shutdown_burns_no_retry_whatever_the_task_made_of_it() {
        let released = Event::Released { task: TaskIx(7), attempt: dag_scheduler::Attempt(2) };
        for ending in [Ending::Stopped, Ending::Exited { code: 1 }, Ending::Signaled { signal: 15 }] {
            assert_eq!(meant(ending, Some(StopWhy::Release)), released);
        }
    }

    #[test]
    fn an_end_by_a_stop_that_nobody_recorded_is_a_loss() {
        let lost = Event::Lost { task: TaskIx(7), attempt: dag_scheduler::Attempt(2), cause: Cause::LostInfra };
        assert_eq!(meant(Ending::Stopped, None), lost);
        assert_eq!(meant(Ending::Stopped, Some(StopWhy::Cancel)), reported(End::Failed(Cause::Cancelled)));
    }
}
