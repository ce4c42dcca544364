//! One job of a plan: events in, actions out. See [`transition`](crate::transition) for the rules themselves.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
};

use crate::{
    Action, Attempt, Cause, Counts, End, Event, IllegalEvent, JobEnd, Limits, Plan, Row, StopHow, StopWhy, TaskIx,
    Time, Timer, When,
    flat::Flat,
    id::TimerKind,
    state::{Running, State, Task, Trouble},
    transition::{self, Cancel, Decision, Ended, Next},
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
    tainting: Vec<TaskIx>,
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
            Event::ReleaseRequested { now } => {
                self.releasing = true;
                let how = if now { StopHow::Kill } else { StopHow::Grace };
                for place in 0..self.running.len() {
                    self.stop(self.running[place], StopWhy::Release, how, out);
                }
            }
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

    fn open(&mut self, out: &mut Vec<Action>) {
        self.opened = true;
        if self.counts.retrying > 0 {
            for (index, task) in self.tasks.iter().enumerate() {
                if task.state == State::Backoff {
                    let ix = TaskIx::at(index);
                    out.push(arm(ix, task.attempt, TimerKind::Backoff, self.trouble(ix).until));
                }
            }
        }
    }

    fn launched(&mut self, ix: TaskIx, attempt: Attempt, out: &mut Vec<Action>) {
        match self.current(ix, attempt) {
            Some(running) if !running.launched => running.launched = true,
            Some(_) | None => return self.stale += 1,
        }
        if let Some(timeout) = self.plan.policy(ix).timeout {
            let at = self.now.saturating_add(timeout).saturating_add(self.plan.rules().timeout_slack);
            out.push(arm(ix, attempt, TimerKind::Limit, at));
        } else if self.cancel != Cancel::No {
            self.bound_cleanup(ix, attempt, out);
        }
    }

    fn reported(&mut self, ix: TaskIx, attempt: Attempt, end: End, out: &mut Vec<Action>) {
        let Some(&mut Running { why, .. }) = self.current(ix, attempt) else { return self.stale += 1 };
        let next = transition::after_end(&self.judged(ix), end, why);
        self.attempt_ended(ix, next, out);
    }

    fn lost(&mut self, ix: TaskIx, attempt: Attempt, cause: Cause, out: &mut Vec<Action>) {
        let Some(&mut Running { why, .. }) = self.current(ix, attempt) else { return self.stale += 1 };
        let next = match why {
            None => transition::after_loss(&self.judged(ix), cause),
            Some(_) => transition::after_end(&self.judged(ix), End::Failed(cause), why),
        };
        self.attempt_ended(ix, next, out);
    }

    fn released(&mut self, ix: TaskIx, attempt: Attempt, out: &mut Vec<Action>) {
        if self.current(ix, attempt).is_none() {
            return self.stale += 1;
        }
        self.attempt_ended(ix, transition::after_release(&self.judged(ix)), out);
    }

    fn fired(&mut self, timer: Timer, out: &mut Vec<Action>) {
        let Timer { task: ix, attempt, kind } = timer;
        let task = &self.tasks[ix.index()];
        match (kind, task.state) {
            (TimerKind::Backoff, State::Backoff) if task.attempt == attempt => self.turn(ix, State::Due),
            (TimerKind::Limit, State::Running(_)) if task.attempt == attempt => {
                self.stop(ix, StopWhy::Timeout, StopHow::Grace, out);
                let at = self.now.saturating_add(self.plan.rules().timeout_slack);
                out.push(arm(ix, attempt, TimerKind::LimitKill, at));
            }
            (TimerKind::LimitKill, State::Running(_)) if task.attempt == attempt => {
                self.stop(ix, StopWhy::Timeout, StopHow::Kill, out);
            }
            (TimerKind::Backoff | TimerKind::Limit | TimerKind::LimitKill, _) => self.stale += 1,
        }
    }

    /// The one event that looks at every task; at most twice in a job's life.
    fn cancel(&mut self, level: Cancel, how: StopHow, out: &mut Vec<Action>) {
        if level <= self.cancel || self.finished.is_some() {
            return self.stale += 1;
        }
        self.cancel = level;
        let spared = |plan: &Plan, ix| level == Cancel::Asked && plan.policy(ix).when == When::Always;
        for place in 0..self.running.len() {
            let ix = self.running[place];
            let task = self.tasks[ix.index()];
            if !spared(&self.plan, ix) {
                self.stop(ix, StopWhy::Cancel, how, out);
            } else if matches!(task.state, State::Running(Running { launched: true, .. })) {
                self.bound_cleanup(ix, task.attempt, out);
            }
        }
        for ix in self.plan.tasks() {
            match self.tasks[ix.index()].state {
                // A cleanup does not sit out its backoff while a person waits.
                State::Backoff if spared(&self.plan, ix) => self.turn(ix, State::Due),
                State::Waiting | State::Ready | State::Backoff | State::Due => {
                    if !spared(&self.plan, ix) {
                        self.end(ix, State::Cancelled);
                    }
                }
                State::Running(_) | State::Succeeded | State::Skipped | State::Cancelled | State::Failed => {}
            }
        }
        self.propagate();
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
            task.attempt.0 += 1;
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

    /// The attempt, if it is the one that runs.
    fn current(&mut self, ix: TaskIx, attempt: Attempt) -> Option<&mut Running> {
        let task = &mut self.tasks[ix.index()];
        match &mut task.state {
            State::Running(running) if task.attempt == attempt => Some(running),
            State::Running(_)
            | State::Waiting
            | State::Ready
            | State::Backoff
            | State::Due
            | State::Succeeded
            | State::Skipped
            | State::Cancelled
            | State::Failed => None,
        }
    }

    /// What is known of a task's failures; nothing for most.
    pub(crate) fn trouble(&self, ix: TaskIx) -> Trouble {
        self.troubles.get(&ix).copied().unwrap_or(Trouble::NONE)
    }

    fn judged(&self, task: TaskIx) -> Ended<'_> {
        Ended {
            task,
            attempt: self.tasks[task.index()].attempt,
            trouble: self.trouble(task),
            policy: self.plan.policy(task),
            rules: self.plan.rules(),
            cancel: self.cancel,
            now: self.now,
        }
    }

    fn attempt_ended(&mut self, ix: TaskIx, next: Next, out: &mut Vec<Action>) {
        if let Some(trouble) = next.trouble {
            self.troubles.insert(ix, trouble);
        }
        self.turn(ix, next.state);
        if next.state == State::Backoff {
            out.push(arm(ix, self.tasks[ix.index()].attempt, TimerKind::Backoff, self.trouble(ix).until));
        } else if next.state.is_terminal() {
            self.ended.push(ix);
            self.propagate();
        }
    }

    fn stop(&mut self, ix: TaskIx, why: StopWhy, how: StopHow, out: &mut Vec<Action>) {
        let task = &mut self.tasks[ix.index()];
        let attempt = task.attempt;
        let State::Running(running) = &mut task.state else { return };
        let (old_why, old_how) = (running.why, running.how);
        let (why, how) = (old_why.map_or(why, |old| old.max(why)), old_how.map_or(how, |old| old.max(how)));
        if (old_why, old_how) == (Some(why), Some(how)) {
            return;
        }
        (running.why, running.how) = (Some(why), Some(how));
        if old_why != Some(why) {
            self.mark_changed(ix);
        }
        out.push(Action::Stop { task: ix, attempt, why, how });
    }

    /// While the job is being cancelled: a task with a timeout has its bound, another gets one.
    fn bound_cleanup(&self, ix: TaskIx, attempt: Attempt, out: &mut Vec<Action>) {
        if self.plan.policy(ix).timeout.is_none() {
            let at = self.now.saturating_add(self.plan.rules().cleanup_limit);
            out.push(arm(ix, attempt, TimerKind::Limit, at));
        }
    }

    /// Tells the dependents of what ended, and theirs, as far as that decides them.
    fn propagate(&mut self) {
        while let Some(ix) = self.ended.pop() {
            if self.is_failure(ix) {
                self.taint_below(ix); // before the counters: a dependent is decided knowing of this failure
            }
            self.edges_followed += self.flat.range(ix).len() as u64;
            for place in self.flat.range(ix) {
                let dependent = self.flat.at(place);
                let unfinished = &mut self.unfinished[dependent.index()];
                *unfinished -= 1;
                if *unfinished == 0 {
                    self.decide(dependent);
                }
            }
        }
    }

    /// Whether what the task did counts as a failure for its descendants.
    pub(crate) fn is_failure(&self, ix: TaskIx) -> bool {
        match self.tasks[ix.index()].state {
            State::Failed => !self.plan.policy(ix).allow_failure,
            State::Cancelled => true,
            State::Waiting
            | State::Ready
            | State::Running(_)
            | State::Backoff
            | State::Due
            | State::Succeeded
            | State::Skipped => false,
        }
    }

    /// The one bit that travels along the edges: over each edge at most once in a job's life.
    fn taint_below(&mut self, ix: TaskIx) {
        if self.tasks[ix.index()].tainted {
            return; // then everything below is, too
        }
        self.tainting.push(ix);
        while let Some(ix) = self.tainting.pop() {
            self.edges_followed += self.flat.range(ix).len() as u64;
            for place in self.flat.range(ix) {
                let below = self.flat.at(place);
                if !self.tasks[below.index()].tainted {
                    self.tasks[below.index()].tainted = true;
                    self.tainting.push(below);
                    self.decide(below);
                }
            }
        }
    }

    /// Decides a task that waits, if it can be.
    fn decide(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix.index()];
        if task.state != State::Waiting {
            return;
        }
        let done = self.unfinished[ix.index()] == 0;
        match transition::decide(self.plan.policy(ix).when, done, task.tainted, self.cancel) {
            Decision::Wait => {}
            Decision::Start => self.turn(ix, State::Ready),
            Decision::Skip => self.end(ix, State::Skipped),
            Decision::Cancel => self.end(ix, State::Cancelled),
        }
    }

    /// Ends a task that is not running; its dependents are told by `propagate`.
    fn end(&mut self, ix: TaskIx, state: State) {
        self.turn(ix, state);
        self.ended.push(ix);
    }

    /// Moves a task on.
    fn turn(&mut self, ix: TaskIx, new: State) {
        let old = self.tasks[ix.index()].state;
        debug_assert!(transition::may_follow(&old, &new), "BUG: task {ix} from {old:?} to {new:?}");
        self.set_state(ix, new);
        // Becoming ready shows in no row, unless an attempt came before.
        if !matches!(new, State::Ready | State::Due) || matches!(old, State::Running(_)) {
            self.mark_changed(ix);
        }
    }

    /// The choke point: the only place where a state changes; keeps every index.
    pub(crate) fn set_state(&mut self, ix: TaskIx, new: State) {
        let old = std::mem::replace(&mut self.tasks[ix.index()].state, new);
        *self.counts.of(&old) -= 1;
        *self.counts.of(&new) += 1;
        let policy = self.plan.policy(ix);
        if let State::Running(Running { place, .. }) = old {
            self.used -= u64::from(policy.weight);
            let place = place as usize;
            self.running.swap_remove(place);
            if let Some(moved) = self.running.get(place)
                && let State::Running(running) = &mut self.tasks[moved.index()].state
            {
                running.place = u32::try_from(place).expect("BUG: a plan has fewer than 2^32 tasks");
            }
        }
        match new {
            State::Running(_) => {
                self.used += u64::from(policy.weight);
                self.running.push(ix);
            }
            State::Ready | State::Due => self.ready.push_back(ix),
            State::Failed => self.counts.allowed += u32::from(policy.allow_failure),
            State::Waiting | State::Backoff | State::Succeeded | State::Skipped | State::Cancelled => {}
        }
    }

    fn mark_changed(&mut self, ix: TaskIx) {
        let task = &mut self.tasks[ix.index()];
        if !task.changed {
            task.changed = true;
            self.changed.push(ix);
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

fn arm(task: TaskIx, attempt: Attempt, kind: TimerKind, at: Time) -> Action {
    Action::Arm { timer: Timer { task, attempt, kind }, at }
}
