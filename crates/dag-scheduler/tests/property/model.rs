//! The scheduler written the obvious slow way: facts are kept, and everything that follows from them is recomputed from
//! the definitions (design §4) after each event. It does not choose what to start: it says whether a start is right.

use dag_scheduler::{Cause, End, JobEnd, Policy, Row, StopWhy, TaskIx, TaskState, When};

#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) policies: Vec<Policy>,
    pub(crate) deps: Vec<Vec<usize>>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) cancelled: bool,
    pub(crate) cancelled_now: bool,
    pub(crate) releasing: bool,
}

/// What happened to a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fact {
    pub(crate) state: TaskState,
    pub(crate) attempt: u32,
    pub(crate) retries: u32,
    pub(crate) losses: u32,
    pub(crate) cause: Option<Cause>,
    /// Retrying, and its backoff is over.
    pub(crate) due: bool,
    pub(crate) stopping: Option<StopWhy>,
}

impl Model {
    pub(crate) fn new(policies: Vec<Policy>, deps: Vec<Vec<usize>>) -> Self {
        let facts = vec![Fact::default(); policies.len()];
        Self { policies, deps, facts, cancelled: false, cancelled_now: false, releasing: false }
    }

    pub(crate) fn ancestors(&self, task: usize) -> Vec<usize> {
        let mut all = self.deps[task].clone();
        for &dep in &self.deps[task] {
            all.extend(self.ancestors(dep));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    pub(crate) fn failed(&self, task: usize) -> bool {
        match self.facts[task].state {
            TaskState::Failed => !self.policies[task].allow_failure,
            TaskState::Cancelled => true,
            _ => false,
        }
    }

    fn ancestor_failed(&self, task: usize) -> bool {
        self.ancestors(task).into_iter().any(|ancestor| self.failed(ancestor))
    }

    fn deps_terminal(&self, task: usize) -> bool {
        self.deps[task].iter().all(|&dep| self.facts[dep].state.is_terminal())
    }

    /// Whether a cancel leaves the task alone.
    fn spared(&self, task: usize) -> bool {
        !self.cancelled || self.policies[task].when == When::Always && !self.cancelled_now
    }

    /// Whether the task may start now.
    pub(crate) fn may_start(&self, task: usize) -> bool {
        let fact = &self.facts[task];
        let waits = match fact.state {
            TaskState::Waiting => self.deps_terminal(task),
            TaskState::Retrying => fact.due,
            _ => false,
        };
        let wanted = fact.attempt > 0 // it was started before: the question is decided
            || match self.policies[task].when {
                When::Success => !self.ancestor_failed(task),
                When::Failure => self.ancestor_failed(task),
                When::Always => true,
            };
        waits && wanted && self.spared(task) && !self.releasing
    }

    /// Decides all that can be, until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut changed = false;
            for task in 0..self.facts.len() {
                let fact = &self.facts[task];
                let open = matches!(fact.state, TaskState::Waiting | TaskState::Retrying);
                if open && !self.spared(task) {
                    self.end(task, TaskState::Cancelled, Cause::Cancelled);
                    changed = true;
                } else if fact.state == TaskState::Waiting && fact.attempt == 0 {
                    let skip = match self.policies[task].when {
                        When::Success => self.ancestor_failed(task),
                        When::Failure => self.deps_terminal(task) && !self.ancestor_failed(task),
                        When::Always => false,
                    };
                    if skip {
                        self.end(task, TaskState::Skipped, Cause::Upstream);
                        changed = true;
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn end(&mut self, task: usize, state: TaskState, cause: Cause) {
        self.facts[task].state = state;
        self.facts[task].cause = Some(cause);
    }

    pub(crate) fn start(&mut self, task: usize) {
        let fact = &mut self.facts[task];
        (fact.state, fact.cause, fact.stopping, fact.due) = (TaskState::Running, None, None, false);
        fact.attempt += 1;
    }

    fn is_current(&self, task: TaskIx, attempt: u32) -> bool {
        let fact = &self.facts[task.index()];
        fact.state == TaskState::Running && fact.attempt == attempt
    }

    pub(crate) fn reported(&mut self, task: TaskIx, attempt: u32, end: End) {
        if !self.is_current(task, attempt) {
            return;
        }
        let fact = &self.facts[task.index()];
        match (end, fact.stopping) {
            (End::Succeeded, _) => self.facts[task.index()].state = TaskState::Succeeded,
            (End::Failed(_), Some(StopWhy::Release)) => self.facts[task.index()].state = TaskState::Waiting,
            (End::Failed(_), Some(StopWhy::Cancel)) => self.failed_for(task.index(), Cause::Cancelled, false),
            (End::Failed(_), Some(StopWhy::Timeout)) => self.failed_for(task.index(), Cause::Timeout, false),
            (End::Failed(cause), None) => self.failed_for(task.index(), cause, false),
        }
    }

    pub(crate) fn lost(&mut self, task: TaskIx, attempt: u32, cause: Cause) {
        if !self.is_current(task, attempt) {
            return;
        }
        match self.facts[task.index()].stopping {
            None => self.failed_for(task.index(), cause, true),
            Some(_) => self.reported(task, attempt, End::Failed(cause)),
        }
    }

    pub(crate) fn released(&mut self, task: TaskIx, attempt: u32) {
        if self.is_current(task, attempt) {
            self.facts[task.index()].state = TaskState::Waiting; // and `settle` cancels it, if it must
        }
    }

    fn failed_for(&mut self, task: usize, cause: Cause, lost: bool) {
        let (cancelled, policy) = (self.cancelled, self.policies[task]);
        let fact = &mut self.facts[task];
        fact.cause = Some(cause);
        let own = matches!(cause, Cause::UserExit(_) | Cause::Signal(_) | Cause::Timeout | Cause::Oom);
        let loss = lost || matches!(cause, Cause::LostWorker | Cause::LostExecutor | Cause::LostInfra);
        if cause == Cause::Cancelled {
            fact.state = TaskState::Cancelled;
        } else if own && fact.retries < policy.retry.max && !cancelled {
            fact.retries += 1;
            (fact.state, fact.due) = (TaskState::Retrying, false);
        } else if loss {
            fact.losses += 1;
            if fact.losses == 5 {
                (fact.state, fact.cause) = (TaskState::Failed, Some(Cause::Poison));
            } else {
                let first = fact.losses == 1 && matches!(cause, Cause::LostWorker | Cause::LostExecutor);
                (fact.state, fact.due) = (TaskState::Retrying, first || cancelled);
            }
        } else {
            fact.state = TaskState::Failed;
        }
    }

    pub(crate) fn backoff_over(&mut self, task: TaskIx) {
        self.facts[task.index()].due = true;
    }

    pub(crate) fn stop(&mut self, task: usize, why: StopWhy) {
        let stopping = &mut self.facts[task].stopping;
        *stopping = (*stopping).max(Some(why));
    }

    pub(crate) fn cancel(&mut self, now: bool) {
        self.cancelled = true;
        self.cancelled_now |= now;
        for task in 0..self.facts.len() {
            if !self.spared(task) {
                if self.facts[task].state == TaskState::Running {
                    self.stop(task, StopWhy::Cancel);
                }
            } else if self.facts[task].state == TaskState::Retrying {
                self.facts[task].due = true;
            }
        }
    }

    pub(crate) fn release(&mut self) {
        self.releasing = true;
        for task in 0..self.facts.len() {
            if self.facts[task].state == TaskState::Running {
                self.stop(task, StopWhy::Release);
            }
        }
    }

    pub(crate) fn end_of_job(&self) -> Option<JobEnd> {
        if !self.facts.iter().all(|fact| fact.state.is_terminal()) {
            None
        } else if self.cancelled {
            Some(JobEnd::Cancelled)
        } else if (0..self.facts.len()).any(|t| self.facts[t].state == TaskState::Failed && self.failed(t)) {
            Some(JobEnd::Failed)
        } else if self.facts.iter().any(|fact| fact.state == TaskState::Cancelled) {
            Some(JobEnd::Cancelled)
        } else {
            Some(JobEnd::Succeeded)
        }
    }

    /// The row, but for `retry_at`.
    pub(crate) fn row(&self, task: usize) -> Row {
        let fact = &self.facts[task];
        Row {
            state: fact.state,
            attempt: dag_scheduler::Attempt(fact.attempt),
            retries: fact.retries,
            losses: fact.losses,
            cause: if fact.state == TaskState::Waiting || fact.state == TaskState::Succeeded {
                None
            } else {
                fact.cause
            },
            retry_at: None,
            stopping: if fact.state == TaskState::Running { fact.stopping } else { None },
        }
    }
}
