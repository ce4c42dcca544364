//! After every step: what the scheduler does is what the model does, its state is sound, and it can be restored and
//! replayed.

use super::*;

impl Run {
    pub(super) fn apply(&mut self, event: Event) {
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

    pub(super) fn check_actions(&mut self, out: &[Action], mut used: u64) {
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

    pub(super) fn check_state(&self) {
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
    pub(super) fn persist(&mut self) {
        let changed: Vec<_> = self.scheduler.drain_changes().collect();
        for (task, row) in changed {
            assert_ne!(row, self.rows[task.index()], "task {task} did not change, or is reported twice");
            self.rows[task.index()] = row;
        }
        assert_eq!(self.rows, self.all_rows());
    }

    pub(super) fn all_rows(&self) -> Vec<Row> {
        self.plan.tasks().map(|task| self.scheduler.row(task)).collect()
    }

    /// The driver dies and another goes on from the rows.
    pub(super) fn restore(&mut self) {
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
    pub(super) fn check_replay(&self) {
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
