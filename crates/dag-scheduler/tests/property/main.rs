//! Random plans, policies and orders of events, with cancels, losses, releases, stale reports, restores at any point and
//! a replay: what the scheduler does is compared after every step with a model that is written the obvious slow way.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

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

    fn apply(&mut self, event: Event) {
        let now = Time::from_micros(self.now);
        let before = self.scheduler.clone();
        let mut out = Vec::new();
        self.scheduler.apply(event, now, &mut out).unwrap();
        self.log.push((event, now));
        self.actions.extend(&out);
        match event {
            Event::Opened | Event::LimitsChanged(_) | Event::Started { .. } | Event::Fired(_) => {}
            Event::Reported { task, attempt, end } => self.model.reported(task, attempt.0, end),
            Event::Lost { task, attempt, cause } => self.model.lost(task, attempt.0, cause),
            Event::Released { task, attempt } => self.model.released(task, attempt.0),
            Event::CancelRequested { .. } if self.finished.is_some() => {} // too late
            Event::CancelRequested { now } => self.model.cancel(now),
            Event::ReleaseRequested { .. } => self.model.release(),
        }
        self.model.settle();
        let used: u64 = before
            .running()
            .filter(|(task, _)| self.model.facts[task.index()].state == TaskState::Running)
            .map(|(task, _)| u64::from(self.plan.policy(task).weight))
            .sum();
        self.check_actions(&out, used);
        self.persist();
        self.check_state();
    }

    fn check_actions(&mut self, out: &[Action], mut used: u64) {
        for action in out {
            assert_eq!(self.finished, None, "{action:?} after the end");
            match *action {
                Action::Start { task, attempt } => {
                    assert!(self.opened, "started before it was opened");
                    assert!(self.model.may_start(task.index()), "{action:?} {:?}", self.model);
                    assert!(self.started.insert((task, attempt)), "{action:?} a second time");
                    self.model.start(task.index());
                    assert_eq!(self.model.facts[task.index()].attempt, attempt.0);
                    let weight = u64::from(self.plan.policy(task).weight);
                    assert!(used + weight <= u64::from(self.parallel) || used == 0, "no room for {action:?}");
                    assert!(self.parallel > 0);
                    used += weight;
                }
                Action::Stop { task, attempt, why, .. } => {
                    if why == StopWhy::Timeout {
                        self.model.stop(task.index(), why); // the clock's doing: not the model's business
                    }
                    assert_eq!(self.scheduler.row(task).attempt, attempt);
                    assert_eq!(self.scheduler.row(task).stopping, Some(why));
                }
                Action::Arm { timer, at } => {
                    let until = self.scheduler.row(timer.task()).retry_at;
                    if let Some(until) = until {
                        assert_eq!(at, until);
                        let wait = at.saturating_since(self.scheduler.now());
                        assert!(wait <= Duration::from_secs(3600), "{wait:?}");
                    }
                    self.timers.push((at, timer, until.is_some()));
                }
                Action::Finish(end) => self.finished = Some(end),
            }
        }
    }

    fn check_state(&self) {
        self.scheduler.sanity_check().unwrap();
        for task in self.plan.tasks() {
            let row = Row { retry_at: None, ..self.scheduler.row(task) };
            assert_eq!(row, self.model.row(task.index()), "task {task} {:?} {:?}", self.scheduler, self.model);
            assert_eq!(row.state, self.scheduler.state(task));
            // Whoever waits for a backoff has a timer for it.
            let fact = &self.model.facts[task.index()];
            if self.opened && fact.state == TaskState::Retrying && !fact.due {
                assert!(self.timers.iter().any(|(_, timer, _)| timer.task() == task), "task {task} is never woken");
            }
        }
        let mut ready: Vec<_> = self.scheduler.ready().map(TaskIx::index).collect();
        ready.sort_unstable();
        let releasing = Model { releasing: false, ..self.model.clone() };
        let expected: Vec<_> = (0..self.plan.len()).filter(|task| releasing.may_start(*task)).collect();
        assert_eq!(ready, expected);
        let end = self.model.end_of_job().filter(|_| self.opened);
        assert_eq!((self.finished, self.scheduler.finished()), (end, end));
    }

    /// What the driver would write: exactly the rows that changed.
    fn persist(&mut self) {
        let changed: Vec<_> = self.scheduler.drain_changes().collect();
        for (task, row) in changed {
            assert_ne!(row, self.rows[task.index()], "task {task} did not change, or is reported twice");
            self.rows[task.index()] = row;
        }
        assert_eq!(self.rows, self.all_rows());
    }

    fn all_rows(&self) -> Vec<Row> {
        self.plan.tasks().map(|task| self.scheduler.row(task)).collect()
    }

    /// The driver dies and another goes on from the rows.
    fn restore(&mut self) {
        self.check_replay();
        if self.finished.is_some() {
            return;
        }
        let rows = self.plan.tasks().zip(self.rows.clone()).filter(|(_, row)| *row != Row::default());
        self.scheduler = Scheduler::restore(&self.plan, Limits { parallel: self.parallel }, rows).unwrap();
        assert_eq!(self.all_rows(), self.rows);
        assert_eq!(self.scheduler.drain_changes().count(), 0, "all was decided and persisted");
        self.scheduler.sanity_check().unwrap();
        self.restored = Some(self.rows.clone());
        (self.log, self.actions, self.timers) = (Vec::new(), Vec::new(), Vec::new());
        (self.opened, self.model.releasing) = (false, false);
        for fact in &mut self.model.facts {
            fact.due = false;
        }
        let (cancelled, now) = (self.model.cancelled, self.model.cancelled_now);
        if cancelled {
            // As the job's row says, before it is opened.
            (self.model.cancelled, self.model.cancelled_now) = (false, false);
            self.cancel(now);
        }
    }

    /// The same events make the same job and ask for the same actions.
    fn check_replay(&self) {
        let mut out = Vec::new();
        let replayed = match &self.restored {
            None => Scheduler::replay(&self.plan, Limits { parallel: 3 }, self.log.clone(), &mut out).unwrap(),
            Some(_) => return,
        };
        assert_eq!(out, self.actions);
        assert_eq!(format!("{replayed:?}"), format!("{:?}", self.scheduler));
        for task in self.plan.tasks() {
            assert_eq!(replayed.row(task), self.scheduler.row(task));
        }
        let open = replayed.open_actions();
        let running = open.iter().filter(|action| matches!(action, Action::Start { .. })).count();
        assert_eq!(running, self.scheduler.running().len());
    }
}
