//! What each event does to the task it is about. See [`transition`] for the rules themselves.

use crate::{
    Action, Attempt, Cause, End, Plan, Scheduler, StopHow, StopWhy, TaskIx, Time, Timer, When,
    id::TimerKind,
    state::{Running, State, Trouble},
    transition::{self, Cancel, Ended, Next},
};

impl Scheduler {
    pub(crate) fn open(&mut self, out: &mut Vec<Action>) {
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

    pub(crate) fn launched(&mut self, ix: TaskIx, attempt: Attempt, out: &mut Vec<Action>) {
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

    pub(crate) fn reported(&mut self, ix: TaskIx, attempt: Attempt, end: End, out: &mut Vec<Action>) {
        let Some(&mut Running { why, .. }) = self.current(ix, attempt) else { return self.stale += 1 };
        let next = transition::after_end(&self.judged(ix), end, why);
        self.attempt_ended(ix, next, out);
    }

    pub(crate) fn lost(&mut self, ix: TaskIx, attempt: Attempt, cause: Cause, out: &mut Vec<Action>) {
        let Some(&mut Running { why, .. }) = self.current(ix, attempt) else { return self.stale += 1 };
        let next = match why {
            None => transition::after_loss(&self.judged(ix), cause),
            Some(_) => transition::after_end(&self.judged(ix), End::Failed(cause), why),
        };
        self.attempt_ended(ix, next, out);
    }

    pub(crate) fn released(&mut self, ix: TaskIx, attempt: Attempt, out: &mut Vec<Action>) {
        if self.current(ix, attempt).is_none() {
            return self.stale += 1;
        }
        self.attempt_ended(ix, transition::after_release(&self.judged(ix)), out);
    }

    pub(crate) fn fired(&mut self, timer: Timer, out: &mut Vec<Action>) {
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
    pub(crate) fn cancel(&mut self, level: Cancel, how: StopHow, out: &mut Vec<Action>) {
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

    pub(crate) fn release(&mut self, how: StopHow, out: &mut Vec<Action>) {
        self.releasing = true;
        for place in 0..self.running.len() {
            self.stop(self.running[place], StopWhy::Release, how, out);
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

    pub(crate) fn stop(&mut self, ix: TaskIx, why: StopWhy, how: StopHow, out: &mut Vec<Action>) {
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
}

fn arm(task: TaskIx, attempt: Attempt, kind: TimerKind, at: Time) -> Action {
    Action::Arm { timer: Timer { task, attempt, kind }, at }
}
