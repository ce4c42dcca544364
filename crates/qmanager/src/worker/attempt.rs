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
