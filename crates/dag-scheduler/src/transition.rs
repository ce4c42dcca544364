//! The rules, as pure functions: when a task is decided, what an attempt's end makes of it, which states may follow
//! each other. Live runs, restored ones and replays all go through here; nothing else decides.

use std::time::Duration;

use crate::{
    Attempt, Cause, End, Policy, Rules, StopWhy, TaskIx, Time, When,
    state::{State, Task},
};

/// How far a job is from running freely. Ordered: it only gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cancel {
    No,
    /// What runs is stopped; `when: always` tasks still run.
    Asked,
    /// Nothing is started.
    Now,
}

/// What becomes of a task that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Wait,
    Start,
    Skip,
    Cancel,
}

/// What the end of an attempt makes of its task: the next state and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) cause: Option<Cause>,
    pub(crate) retries: u32,
    pub(crate) losses: u32,
}

/// The table of design §4: `done` = all dependencies are terminal, `tainted` = an ancestor failed.
pub(crate) fn decide(when: When, done: bool, tainted: bool, cancel: Cancel) -> Decision {
    match (cancel, when, tainted, done) {
        (Cancel::Now, ..) | (Cancel::Asked, When::Success | When::Failure, ..) => Decision::Cancel,
        (Cancel::No, When::Success, true, _) => Decision::Skip,
        (Cancel::No | Cancel::Asked, _, _, false) => Decision::Wait,
        (Cancel::No, When::Failure, false, true) => Decision::Skip,
        (Cancel::No, When::Success, false, true)
        | (Cancel::No, When::Failure, true, true)
        | (Cancel::No | Cancel::Asked, When::Always, _, true) => Decision::Start,
    }
}

/// What `end` of the attempt `task` is running makes of it. `why` = it was asked to stop.
pub(crate) fn after_end(ix: TaskIx, task: &Task, end: End, why: Option<StopWhy>, setting: &Setting<'_>) -> Next {
    let next = |state, cause| Next { state, cause, retries: task.retries, losses: task.losses };
    let cause = match (end, why) {
        (End::Succeeded, _) => return next(State::Succeeded, None),
        (End::Failed(_), Some(StopWhy::Release)) => return next(State::Ready, None),
        (End::Failed(_), Some(StopWhy::Cancel)) => Cause::Cancelled,
        (End::Failed(_), Some(StopWhy::Timeout)) => Cause::Timeout,
        (End::Failed(cause), None) => cause,
    };
    match cause {
        Cause::Cancelled => next(State::Cancelled, Some(cause)),
        Cause::Invalid | Cause::ImagePull | Cause::Poison | Cause::Upstream => next(State::Failed, Some(cause)),
        Cause::UserExit(_) | Cause::Signal(_) | Cause::Timeout | Cause::Oom => {
            // While the job is being cancelled a cleanup gets one attempt: its bound would mean nothing otherwise.
            if task.retries >= setting.policy.retry.max || setting.cancel != Cancel::No {
                return next(State::Failed, Some(cause));
            }
            let retries = task.retries + 1;
            let until = setting.now.saturating_add(setting.backoff(ix, task.attempt, retries - 1));
            Next { retries, ..next(State::Backoff { until }, Some(cause)) }
        }
        Cause::LostWorker | Cause::LostExecutor | Cause::LostInfra => after_loss(ix, task, cause, setting),
    }
}

/// What a loss makes of a task: it runs again for free, or is poison.
pub(crate) fn after_loss(ix: TaskIx, task: &Task, cause: Cause, setting: &Setting<'_>) -> Next {
    let losses = task.losses.saturating_add(1);
    let next = |state, cause| Next { state, cause: Some(cause), retries: task.retries, losses };
    if losses >= setting.rules.crash_limit {
        return next(State::Failed, Cause::Poison);
    }
    // Whoever ran it is gone, and another may run it at once. What fails around it, or fails again, needs time.
    let at_once = losses == 1 && matches!(cause, Cause::LostWorker | Cause::LostExecutor);
    if at_once || setting.cancel != Cancel::No {
        next(State::Due { until: setting.now }, cause)
    } else {
        next(State::Backoff { until: setting.now.saturating_add(setting.backoff(ix, task.attempt, losses - 1)) }, cause)
    }
}

/// Whether a state may follow another. A task never leaves a terminal state.
pub(crate) fn may_follow(old: &State, new: &State) -> bool {
    match old {
        State::Waiting => matches!(new, State::Ready | State::Skipped | State::Cancelled),
        State::Ready => matches!(new, State::Running(_) | State::Cancelled),
        State::Running(_) => !matches!(new, State::Waiting | State::Skipped | State::Running(_)),
        State::Backoff { .. } => matches!(new, State::Due { .. } | State::Cancelled),
        State::Due { .. } => matches!(new, State::Running(_) | State::Cancelled),
        State::Succeeded | State::Skipped | State::Cancelled | State::Failed => false,
    }
}

/// What the end of an attempt is judged by, beside the task.
pub(crate) struct Setting<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) rules: &'a Rules,
    pub(crate) cancel: Cancel,
    pub(crate) now: Time,
}

impl Setting<'_> {
    /// The pause after `doublings` pauses before: doubled each time, plus up to 10 %, at most the limit. The same
    /// task and attempt always have the same, so that a replay does; different ones do not wake all at once.
    fn backoff(&self, task: TaskIx, attempt: Attempt, doublings: u32) -> Duration {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let limit = micros(self.rules.backoff_limit);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let pause = micros(self.policy.retry.backoff).saturating_mul(factor).min(limit);
        let jitter = pause / 1024 * (scatter(task, attempt) % 103) + pause % 1024 / 10;
        Duration::from_micros(pause.saturating_add(jitter).min(limit))
    }
}

/// A number that looks random (the finaliser of splitmix64).
fn scatter(task: TaskIx, attempt: Attempt) -> u64 {
    let mut x = (u64::from(task.0) << 32 | u64::from(attempt.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
