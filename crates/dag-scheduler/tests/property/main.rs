//! Random plans, policies and orders of events, with cancels, losses, releases, stale reports, restores at any point and
//! a replay: what the scheduler does is compared after every step with a model that is written the obvious slow way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod check;
mod model;

use std::{collections::BTreeSet, time::Duration};

use dag_scheduler::{
    Action, Attempt, Cause, End, Event, IllegalEvent, JobEnd, Limits, Plan, Policy, Retry, Row, Scheduler, StopWhy,
    TaskIx, TaskState, Time, Timer, When,
};
use model::Model;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model((policies, edges) in plans(), choices in prop::collection::vec(any::<u32>(), 0..150)) {
        Run::new(policies, &edges).play(&choices);
    }
}

fn plans() -> impl Strategy<Value = (Vec<Policy>, Vec<(u32, u32)>)> {
    (1usize..14).prop_flat_map(|n| {
        let edge = (0..n as u32, 0..n as u32);
        (prop::collection::vec(policies(), n), prop::collection::vec(edge, 0..3 * n))
    })
}

fn policies() -> impl Strategy<Value = Policy> {
    let when = prop_oneof![4 => Just(When::Success), 1 => Just(When::Failure), 1 => Just(When::Always)];
    let timeout = prop_oneof![2 => Just(None), 1 => (1u64..100).prop_map(|s| Some(Duration::from_secs(s)))];
    let retry = (prop_oneof![2 => Just(0), 1 => 0u32..4], 0u64..2000);
    (when, retry, timeout, 0u32..4, prop::bool::weighted(0.2)).prop_map(
        |(when, retry, timeout, weight, allow_failure)| {
            let retry = Retry { max: retry.0, backoff: Duration::from_secs(retry.1) };
            Policy { when, retry, timeout, weight, allow_failure }
        },
    )
}

struct Run {
    plan: Plan,
    scheduler: Scheduler,
    model: Model,
    opened: bool,
    now: u64,
    parallel: u32,
    /// And whether it is for a backoff.
    timers: Vec<(Time, Timer, bool)>,
    started: BTreeSet<(TaskIx, Attempt)>,
    /// As the driver would have persisted them.
    rows: Vec<Row>,
    /// Events since the last restore.
    log: Vec<(Event, Time)>,
    actions: Vec<Action>,
    /// The rows that the log begins with.
    restored: Option<Vec<Row>>,
    finished: Option<JobEnd>,
}

impl Run {
    fn new(policies: Vec<Policy>, edges: &[(u32, u32)]) -> Self {
        // Any pair of different tasks is an edge, from the smaller to the greater: no cycles.
        let edges: Vec<_> = edges.iter().filter(|(a, b)| a != b).map(|(a, b)| (*a.min(b), *a.max(b))).collect();
        let mut deps = vec![Vec::new(); policies.len()];
        edges.iter().for_each(|(a, b)| deps[*b as usize].push(*a as usize));
        let pairs = edges.iter().map(|(a, b)| (TaskIx(*a), TaskIx(*b)));
        let plan = Plan::from_edges(policies.iter().copied(), pairs).unwrap();
        let mut by_task = Plan::new();
        for (task, policy) in policies.iter().enumerate() {
            let after: Vec<_> = deps[task].iter().map(|dep| TaskIx(*dep as u32)).collect();
            assert_eq!(by_task.task(*policy, &after).index(), task);
        }
        for task in plan.tasks() {
            assert_eq!(plan.dependencies(task), by_task.dependencies(task));
        }
        let parallel = 3;
        let scheduler = Scheduler::from_plan(&plan, Limits { parallel });
        let rows = vec![Row::default(); policies.len()];
        let mut model = Model::new(policies, deps);
        model.settle();
        let mut run = Self {
            plan,
            scheduler,
            model,
            opened: false,
            now: 0,
            parallel,
            timers: Vec::new(),
            started: BTreeSet::new(),
            rows,
            log: Vec::new(),
            actions: Vec::new(),
            restored: None,
            finished: None,
        };
        run.persist();
        run
    }

    fn play(&mut self, choices: &[u32]) {
        for choice in choices {
            self.step(*choice);
        }
        self.finish_it();
        self.check_replay();
    }

    /// One event, chosen by a random number.
    fn step(&mut self, choice: u32) {
        self.now += u64::from(choice % 7) * 1_000_000;
        let pick = choice >> 8;
        match choice % 64 {
            0 => self.cancel(false),
            1 => self.cancel(true),
            2 => self.release(pick),
            3 | 4 => self.restore(),
            5 => self.change_limits(pick % 5),
            6..=8 => self.illegal(pick),
            9..=12 => self.stale(pick),
            13..=24 => self.fire(pick),
            25..=30 => self.launched(pick),
            31..=36 => self.lose(pick),
            _ if !self.opened => self.open(),
            _ => self.report(pick),
        }
    }

    /// Whatever happened: the job ends.
    fn finish_it(&mut self) {
        for round in 0..10_000u32 {
            if self.finished.is_some() {
                return;
            }
            if self.model.releasing {
                while let Some((task, attempt)) = self.running(0) {
                    self.apply(Event::Released { task, attempt });
                }
                if self.finished.is_some() {
                    return;
                }
                self.restore();
            }
            if self.parallel == 0 {
                self.change_limits(2);
            }
            if !self.opened {
                self.open();
            } else if self.running(0).is_some() {
                self.report(round.wrapping_mul(0x9e37_79b9) >> 3);
            } else {
                self.fire(0);
            }
        }
        panic!("the job does not end: {:?}", self.scheduler);
    }

    fn open(&mut self) {
        self.opened = true;
        self.apply(Event::Opened);
    }

    fn running(&self, pick: u32) -> Option<(TaskIx, Attempt)> {
        let mut running: Vec<_> = self.scheduler.running().collect();
        running.sort_unstable();
        (!running.is_empty()).then(|| running[pick as usize % running.len()])
    }

    fn report(&mut self, pick: u32) {
        let Some((task, attempt)) = self.running(pick) else { return };
        let failures = [
            Cause::UserExit(1),
            Cause::Signal(9),
            Cause::Timeout,
            Cause::Oom,
            Cause::Invalid,
            Cause::ImagePull,
            Cause::Cancelled,
            Cause::LostInfra,
            Cause::LostExecutor,
        ];
        let pick = pick / 16;
        let end = match pick % 5 {
            0..=2 => End::Succeeded,
            3 => End::Failed(Cause::UserExit(2)),
            _ => End::Failed(failures[pick as usize / 5 % failures.len()]),
        };
        self.apply(Event::Reported { task, attempt, end });
    }

    fn lose(&mut self, pick: u32) {
        let Some((task, attempt)) = self.running(pick) else { return };
        let causes = [Cause::LostWorker, Cause::LostExecutor, Cause::LostInfra, Cause::ImagePull];
        self.apply(Event::Lost { task, attempt, cause: causes[pick as usize / 16 % 4] });
    }

    fn launched(&mut self, pick: u32) {
        if let Some((task, attempt)) = self.running(pick) {
            self.apply(Event::Started { task, attempt });
        }
    }

    fn fire(&mut self, pick: u32) {
        if self.timers.is_empty() {
            return;
        }
        self.timers.sort_unstable();
        // Mostly the next one, when it is due; now and then some other, too early.
        let early = pick.is_multiple_of(4);
        let at = if !early { 0 } else { pick as usize / 4 % self.timers.len() };
        let (due, timer, backoff) = if pick % 32 == 8 { self.timers[at] } else { self.timers.remove(at) };
        if !early {
            self.now = self.now.max(due.as_micros());
        }
        let fact = &self.model.facts[timer.task().index()];
        let counts = fact.attempt == timer.attempt().0
            && if backoff { fact.state == TaskState::Retrying && !fact.due } else { fact.state == TaskState::Running };
        if counts && backoff {
            self.model.backoff_over(timer.task());
        }
        let stale = self.scheduler.stale();
        self.apply(Event::Fired(timer));
        assert_eq!(self.scheduler.stale(), stale + u64::from(!counts), "{timer:?}");
    }

    fn cancel(&mut self, now: bool) {
        self.apply(Event::CancelRequested { now });
    }

    fn release(&mut self, pick: u32) {
        self.apply(Event::ReleaseRequested { now: pick & 1 == 1 });
    }

    fn change_limits(&mut self, parallel: u32) {
        self.parallel = parallel;
        self.apply(Event::LimitsChanged(Limits { parallel }));
    }

    /// Reports of earlier attempts, a second time, of tasks that do not run: nothing changes, and it is counted.
    fn stale(&mut self, pick: u32) {
        let task = TaskIx(pick % self.plan.len() as u32);
        let row = self.scheduler.row(task);
        let attempt = match row.state {
            TaskState::Running if row.attempt.0 < 2 => return,
            TaskState::Running => Attempt(row.attempt.0 - 1),
            _ => row.attempt,
        };
        let events = [
            Event::Reported { task, attempt, end: End::Succeeded },
            Event::Reported { task, attempt, end: End::Failed(Cause::UserExit(3)) },
            Event::Lost { task, attempt, cause: Cause::LostWorker },
            Event::Started { task, attempt },
            Event::Released { task, attempt },
        ];
        let (stale, rows) = (self.scheduler.stale(), self.rows.clone());
        self.apply(events[pick as usize / 64 % events.len()]);
        assert_eq!((self.scheduler.stale(), &self.rows), (stale + 1, &rows));
    }

    /// Events that cannot be true: refused, and nothing changes.
    fn illegal(&mut self, pick: u32) {
        let task = TaskIx(pick % self.plan.len() as u32);
        let newest = self.scheduler.row(task).attempt;
        let attempt = Attempt(newest.0 + 1);
        let unknown = TaskIx(self.plan.len() as u32 + pick % 3);
        let (end, cause) = (End::Succeeded, Cause::UserExit(1));
        let mut events = vec![
            (Event::Reported { task: unknown, attempt: Attempt(0), end }, IllegalEvent::UnknownTask { task: unknown }),
            (Event::Reported { task, attempt, end }, IllegalEvent::UnknownAttempt { task, attempt, newest }),
            (Event::Released { task, attempt }, IllegalEvent::UnknownAttempt { task, attempt, newest }),
            (Event::Lost { task, attempt: newest, cause }, IllegalEvent::NotALoss { task, cause }),
            (
                Event::Reported { task, attempt: newest, end: End::Failed(Cause::Poison) },
                IllegalEvent::NotAnEnd { task, cause: Cause::Poison },
            ),
        ];
        if self.opened {
            events.push((Event::Opened, IllegalEvent::OpenedTwice));
        }
        let (event, expected) = events[pick as usize / 16 % events.len()];
        let before = format!("{:?}", self.scheduler);
        let mut out = Vec::new();
        assert_eq!(self.scheduler.apply(event, Time::from_micros(u64::MAX), &mut out), Err(expected));
        assert!(!expected.to_string().is_empty() && out.is_empty());
        assert_eq!(format!("{:?}", self.scheduler), before);
        assert_eq!(self.all_rows(), self.rows);
    }
}
