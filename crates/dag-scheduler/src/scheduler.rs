//! One job of a plan: events in, actions out. What an event does to its task is in [`react`](crate::react), what follows
//! from that for other tasks in [`advance`](crate::advance), the rules themselves in [`transition`](crate::transition).

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use crate::{
    Action, Attempt, Cause, Counts, End, Event, IllegalEvent, JobEnd, Limits, Plan, Row, StopHow, TaskIx, Time, Timer,
    flat::Flat,
    state::{Running, State, Task, Trouble},
    transition::Cancel,
};

/// One job of a [`Plan`], as far as it has come.
#[derive(Clone)]
pub struct Scheduler {
    pub(crate) plan: Plan,
    pub(crate) flat: Arc<Flat>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) troubles: HashMap<TaskIx, Trouble>,
    /// For each task, how many of its incoming edges come from tasks that are not terminal.
    pub(crate) unfinished: Vec<u32>,
    /// Tasks in `State::Ready` or `State::Due`, oldest first, and some that were cancelled since.
    pub(crate) ready: VecDeque<TaskIx>,
    pub(crate) running: Vec<TaskIx>,
    pub(crate) changed: Vec<TaskIx>,
    pub(crate) counts: Counts,
    /// The weights of the running tasks.
    pub(crate) used: u64,
    pub(crate) limits: Limits,
    pub(crate) now: Time,
    pub(crate) cancel: Cancel,
    /// The driver shuts down: nothing is started.
    pub(crate) releasing: bool,
    pub(crate) opened: bool,
    pub(crate) finished: Option<JobEnd>,
    pub(crate) stale: u64,
    pub(crate) edges_followed: u64,
    /// Scratch: tasks that are terminal and whose dependents do not know it yet.
    pub(crate) ended: Vec<TaskIx>,
    /// Scratch: tasks whose dependents are to be tainted.
    pub(crate) tainting: Vec<TaskIx>,
}

impl Scheduler {
    /// A job of which nothing has happened yet.
    #[must_use]
    pub fn from_plan(plan: &Plan, limits: Limits) -> Self {
        let mut scheduler = Self::blank(plan, limits);
        scheduler.recover();
        scheduler
    }

    /// Takes an event in and appends what is to be done to `out`. `now` never runs backwards: an earlier moment than
    /// the last counts as the last. A report, timer or request that comes too late changes nothing and is
    /// [counted](Self::stale).
    ///
    /// # Errors
    /// The event cannot be true. Nothing was changed.
    pub fn apply(&mut self, event: Event, now: Time, out: &mut Vec<Action>) -> Result<(), IllegalEvent> {
        self.check(&event)?;
        self.now = self.now.max(now);
        match event {
            Event::Opened => self.open(out),
            Event::Started { task, attempt } => self.launched(task, attempt, out),
            Event::Reported { task, attempt, end } => self.reported(task, attempt, end, out),
            Event::Lost { task, attempt, cause } => self.lost(task, attempt, cause, out),
            Event::Released { task, attempt } => self.released(task, attempt, out),
            Event::Fired(timer) => self.fired(timer, out),
            Event::CancelRequested { now: false } => self.cancel(Cancel::Asked, StopHow::Grace, out),
            Event::CancelRequested { now: true } => self.cancel(Cancel::Now, StopHow::Kill, out),
            Event::ReleaseRequested { now: false } => self.release(StopHow::Grace, out),
            Event::ReleaseRequested { now: true } => self.release(StopHow::Kill, out),
            Event::LimitsChanged(limits) => self.limits = limits,
        }
        self.settle(out);
        Ok(())
    }

    /// The tasks whose [row](Self::row) changed since this was last called, each once. To be persisted before the
    /// actions of the same `apply` are performed.
    pub fn drain_changes(&mut self) -> impl Iterator<Item = (TaskIx, Row)> + '_ {
        self.changed.drain(..).map(|ix| {
            let task = &mut self.tasks[ix.index()];
            task.changed = false;
            (ix, task.row(self.troubles.get(&ix).unwrap_or(&Trouble::NONE)))
        })
    }

    /// Everything waits, and nothing is decided.
    pub(crate) fn blank(plan: &Plan, limits: Limits) -> Self {
        let flat = Arc::clone(plan.flat());
        let tasks = vec![Task::NEW; plan.len()];
        let waiting = u32::try_from(tasks.len()).expect("BUG: a plan has fewer than 2^32 tasks");
        Self {
            plan: plan.clone(),
            unfinished: flat.in_degrees(),
            flat,
            tasks,
            troubles: HashMap::new(),
            ready: VecDeque::new(),
            running: Vec::new(),
            changed: Vec::new(),
            counts: Counts { waiting, ..Counts::default() },
            used: 0,
            limits,
            now: Time::ZERO,
            cancel: Cancel::No,
            releasing: false,
            opened: false,
            finished: None,
            stale: 0,
            edges_followed: 0,
            ended: Vec::new(),
            tainting: Vec::new(),
        }
    }

    /// Decides every task that can be, from the states alone.
    pub(crate) fn recover(&mut self) {
        let terminal = self.plan.tasks().filter(|ix| self.tasks[ix.index()].state.is_terminal());
        self.ended = terminal.collect();
        // All failures are known below them before any counter reaches 0 and decides a task.
        for at in 0..self.ended.len() {
            if self.is_failure(self.ended[at]) {
                self.taint_below(self.ended[at]);
            }
        }
        self.propagate();
        for ix in self.plan.tasks() {
            self.decide(ix);
        }
        self.propagate();
    }

    fn check(&self, event: &Event) -> Result<(), IllegalEvent> {
        let known = |task: TaskIx, attempt: Attempt| {
            let Some(known) = self.tasks.get(task.index()) else { return Err(IllegalEvent::UnknownTask { task }) };
            let newest = known.attempt;
            if attempt > newest { Err(IllegalEvent::UnknownAttempt { task, attempt, newest }) } else { Ok(()) }
        };
        match *event {
            Event::Opened if self.opened => Err(IllegalEvent::OpenedTwice),
            Event::Reported { task, end: End::Failed(cause @ (Cause::Poison | Cause::Upstream)), .. } => {
                Err(IllegalEvent::NotAnEnd { task, cause })
            }
            Event::Lost { task, cause, .. } if !cause.may_be_loss() => Err(IllegalEvent::NotALoss { task, cause }),
            Event::Started { task, attempt }
            | Event::Reported { task, attempt, .. }
            | Event::Lost { task, attempt, .. }
            | Event::Released { task, attempt }
            | Event::Fired(Timer { task, attempt, .. }) => known(task, attempt),
            Event::Opened
            | Event::CancelRequested { .. }
            | Event::ReleaseRequested { .. }
            | Event::LimitsChanged(_) => Ok(()),
        }
    }

    /// Starts what fits and says when the job is done.
    fn settle(&mut self, out: &mut Vec<Action>) {
        if !self.opened {
            return;
        }
        // First come, first served: a heavy task at the head holds back the others until there is room for it.
        while let Some(&ix) = self.ready.front() {
            let task = &mut self.tasks[ix.index()];
            match task.state {
                State::Ready | State::Due => {}
                State::Waiting
                | State::Running(_)
                | State::Backoff
                | State::Succeeded
                | State::Skipped
                | State::Cancelled
                | State::Failed => {
                    self.ready.pop_front();
                    continue;
                }
            }
            let (weight, parallel) = (u64::from(self.plan.policy(ix).weight), u64::from(self.limits.parallel));
            if self.releasing || parallel == 0 || self.used + weight > parallel && (self.used > 0 || weight <= parallel)
            {
                break;
            }
            self.ready.pop_front();
            task.attempt.0 = task.attempt.0.saturating_add(1);
            let attempt = task.attempt;
            let place = u32::try_from(self.running.len()).expect("BUG: a plan has fewer than 2^32 tasks");
            self.turn(ix, State::Running(Running { place, why: None, how: None, launched: false }));
            out.push(Action::Start { task: ix, attempt });
        }
        if self.finished.is_none() && self.counts.terminal() as usize == self.tasks.len() {
            let end = self.job_end();
            self.finished = Some(end);
            out.push(Action::Finish(end));
        }
    }

    fn job_end(&self) -> JobEnd {
        let counts = &self.counts;
        if self.cancel != Cancel::No {
            JobEnd::Cancelled
        } else if counts.failed > counts.allowed {
            JobEnd::Failed
        } else if counts.cancelled > 0 {
            JobEnd::Cancelled // single tasks, by their driver
        } else {
            JobEnd::Succeeded
        }
    }
}

impl fmt::Debug for Scheduler {
    /// Only a summary: jobs are large.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("counts", &self.counts)
            .field("limits", &self.limits)
            .field("now", &self.now)
            .field("cancel", &self.cancel)
            .field("releasing", &self.releasing)
            .field("opened", &self.opened)
            .field("finished", &self.finished)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}
