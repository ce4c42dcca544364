//! From the first request to stop, or the end of a task's time, to SIGKILL.

use std::time::{Duration, Instant};

use executor::{Outcome, Shutdown, TaskSpec};

use crate::message;

/// After SIGKILL an engine has so long to show the end.
const AFTER_KILL: Duration = Duration::from_secs(20);

/// Why a task is ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    TimedOut,
    Stopped(Shutdown),
}

/// What is to be sent to the container now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Term,
    Kill,
    /// Killed, and nothing came of it.
    GiveUp,
}

/// How far the end of a task has come. Pure: the clock is passed in.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    why: Option<Why>,
    due: Option<(Instant, Step)>,
    killed: bool,
}

impl Ladder {
    /// A request to stop.
    pub(crate) fn ask(&mut self, how: Shutdown, now: Instant) {
        if matches!(self.why, None | Some(Why::Stopped(Shutdown::Once))) {
            self.why = Some(Why::Stopped(how));
        }
        match (how, self.due) {
            _ if self.killed => {}
            (Shutdown::Twice, _) => self.due = Some((now, Step::Kill)),
            (Shutdown::Once, None) => self.due = Some((now, Step::Term)),
            (Shutdown::Once, Some(_)) => {}
        }
    }

    /// The task's time is up.
    pub(crate) fn time_out(&mut self, now: Instant) {
        if self.why.is_none() {
            self.why = Some(Why::TimedOut);
            self.due = Some((now, Step::Term));
        }
    }

    /// What is next, and when.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.map(|(at, _)| at)
    }

    /// The step that is due, if one is; the next one follows from it.
    pub(crate) fn step(&mut self, now: Instant, grace: Duration) -> Option<Step> {
        let (_, step) = self.due.filter(|(at, _)| *at <= now)?;
        self.due = match step {
            Step::Term => Some((now + grace, Step::Kill)),
            Step::Kill => {
                self.killed = true;
                Some((now + AFTER_KILL, Step::GiveUp))
            }
            Step::GiveUp => None,
        };
        Some(step)
    }

    /// The container had ended before anything could be sent: then it was not ended by us.
    pub(crate) fn came_too_late(&mut self) {
        *self = Self::default();
    }

    /// The container had ended by the time it was to be killed: it obeyed, and the engine was slow to say so.
    pub(crate) fn ended_in_time(&mut self) {
        self.killed = false;
    }

    /// Whether the task is being ended.
    pub(crate) fn is_climbed(&self) -> bool {
        self.why.is_some()
    }

    /// What an end means that we have brought about.
    pub(crate) fn outcome(&self, spec: &TaskSpec) -> Option<Outcome> {
        Some(match self.why? {
            Why::TimedOut => message::timed_out(spec, self.killed),
            Why::Stopped(how) => message::stopped(spec, self.killed, how == Shutdown::Twice),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn f12_term_then_kill_after_the_grace() {
        let (mut ladder, now) = (Ladder::default(), start());
        ladder.ask(Shutdown::Once, now);
        assert_eq!(ladder.step(now, GRACE), Some(Step::Term));
        assert_eq!(ladder.step(now + GRACE / 2, GRACE), None);
        ladder.ask(Shutdown::Once, now + GRACE / 2);
        assert_eq!(ladder.step(now + GRACE, GRACE), Some(Step::Kill));
        assert_eq!(ladder.step(now + GRACE + AFTER_KILL, GRACE), Some(Step::GiveUp));
        assert!(ladder.outcome(&TaskSpec::default()).unwrap().message.contains("ignored SIGTERM"));
    }

    #[test]
    fn what_has_ended_when_it_is_to_be_killed_has_obeyed() {
        let (mut ladder, now) = (Ladder::default(), start());
        ladder.ask(Shutdown::Once, now);
        assert_eq!(ladder.step(now, GRACE), Some(Step::Term));
        assert_eq!(ladder.step(now + GRACE, GRACE), Some(Step::Kill));
        ladder.ended_in_time();
        assert!(!ladder.outcome(&TaskSpec::default()).unwrap().message.contains("ignored"));
    }

    #[test]
    fn twice_is_now_and_a_timeout_stays_one() {
        let (mut ladder, now) = (Ladder::default(), start());
        ladder.time_out(now);
        assert_eq!(ladder.step(now, GRACE), Some(Step::Term));
        ladder.ask(Shutdown::Twice, now);
        assert_eq!(ladder.step(now, GRACE), Some(Step::Kill));
        assert_eq!(ladder.outcome(&TaskSpec::default()).unwrap().ending, executor::Ending::TimedOut);
    }
}
