//! The rules, as pure functions: when a task is decided, what an attempt's end makes of it, which states may follow
//! each other. Live runs, restored ones and replays all go through here; nothing else decides.

use std::time::Duration;

use crate::{
    Attempt, Cause, End, Policy, Rules, StopWhy, TaskIx, Time, When,
    state::{State, Trouble},
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

/// What the end of an attempt makes of its task: the next state, and its trouble if that changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) trouble: Option<Trouble>,
}

/// What the end of an attempt is judged by.
pub(crate) struct Ended<'a> {
    pub(crate) task: TaskIx,
    pub(crate) attempt: Attempt,
    pub(crate) trouble: Trouble,
    pub(crate) policy: &'a Policy,
    pub(crate) rules: &'a Rules,
    pub(crate) cancel: Cancel,
    pub(crate) now: Time,
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

/// What `end` of an attempt makes of its task. `why` = it was asked to stop.
pub(crate) fn after_end(of: &Ended<'_>, end: End, why: Option<StopWhy>) -> Next {
    let cause = match (end, why) {
        (End::Succeeded, _) => return Next { state: State::Succeeded, trouble: None },
        (End::Failed(_), Some(StopWhy::Release)) => return after_release(of),
        (End::Failed(_), Some(StopWhy::Cancel)) => Cause::Cancelled,
        (End::Failed(_), Some(StopWhy::Timeout)) => Cause::Timeout,
        (End::Failed(cause), None) => cause,
    };
    let next = |state| Next { state, trouble: Some(Trouble { cause: Some(cause), ..of.trouble }) };
    match cause {
        Cause::Cancelled => next(State::Cancelled),
        Cause::Invalid | Cause::ImagePull | Cause::Poison | Cause::Upstream => next(State::Failed),
        Cause::UserExit(_) | Cause::Signal(_) | Cause::Timeout | Cause::Oom => {
            // While the job is being cancelled a cleanup gets one attempt: its bound would mean nothing otherwise.
            if of.trouble.retries >= of.policy.retry.max || of.cancel != Cancel::No {
                return next(State::Failed);
            }
            let until = of.now.saturating_add(of.backoff(of.trouble.retries));
            let retries = of.trouble.retries + 1;
            Next { state: State::Backoff, trouble: Some(Trouble { retries, cause: Some(cause), until, ..of.trouble }) }
        }
        Cause::LostWorker | Cause::LostExecutor | Cause::LostInfra => after_loss(of, cause),
    }
}

/// What a loss makes of a task: it runs again for free, or is poison.
pub(crate) fn after_loss(of: &Ended<'_>, cause: Cause) -> Next {
    let losses = of.trouble.losses.saturating_add(1);
    let trouble = Trouble { losses, cause: Some(cause), until: of.now, ..of.trouble };
    if losses >= of.rules.crash_limit {
        return Next { state: State::Failed, trouble: Some(Trouble { cause: Some(Cause::Poison), ..trouble }) };
    }
    // Whoever ran it is gone, and another may run it at once. What fails around it, or fails again, needs time.
    let at_once = losses == 1 && matches!(cause, Cause::LostWorker | Cause::LostExecutor);
    if at_once || of.cancel != Cancel::No {
        return Next { state: State::Due, trouble: Some(trouble) };
    }
    let until = of.now.saturating_add(of.backoff(losses - 1));
    Next { state: State::Backoff, trouble: Some(Trouble { until, ..trouble }) }
}

/// What a release makes of a task: it waits again and nothing was spent; but a cancel does not let it wait.
pub(crate) fn after_release(of: &Ended<'_>) -> Next {
    let cancelled = decide(of.policy.when, false, false, of.cancel) == Decision::Cancel;
    // What it spent before stays spent; why the attempt before this one failed is no longer of interest.
    let trouble = (of.trouble != Trouble::NONE).then_some(Trouble { cause: None, ..of.trouble });
    Next { state: if cancelled { State::Cancelled } else { State::Ready }, trouble }
}

/// Whether a state may follow another. A task never leaves a terminal state.
pub(crate) fn may_follow(old: &State, new: &State) -> bool {
    match old {
        State::Waiting => matches!(new, State::Ready | State::Skipped | State::Cancelled),
        State::Ready => matches!(new, State::Running(_) | State::Cancelled),
        State::Running(_) => !matches!(new, State::Waiting | State::Skipped | State::Running(_)),
        State::Backoff => matches!(new, State::Due | State::Cancelled),
        State::Due => matches!(new, State::Running(_) | State::Cancelled),
        State::Succeeded | State::Skipped | State::Cancelled | State::Failed => false,
    }
}

impl Ended<'_> {
    /// The pause after `doublings` pauses before: doubled each time, plus up to 10 %, at most the limit. The same
    /// task and attempt always have the same, so that a replay does; different ones do not wake all at once.
    fn backoff(&self, doublings: u32) -> Duration {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let limit = micros(self.rules.backoff_limit);
        let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
        let pause = micros(self.policy.retry.backoff).saturating_mul(factor).min(limit);
        let jitter = pause / 1024 * (scatter(self.task, self.attempt) % 103) + pause % 1024 / 10;
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
