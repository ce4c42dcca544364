//! Questions about a job. None of them changes anything.

use crate::{
    Attempt, Cause, Counts, JobEnd, Limits, Plan, Row, Scheduler, StopWhy, TaskIx, TaskState, Time, When,
    state::{Running, State},
};

/// Why a task is in the state it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It waits for these direct dependencies.
    Dependencies(Vec<TaskIx>),
    /// It waits for room; so many are before it. (Nothing starts before the job is opened, while it is released, or
    /// when [`Limits::parallel`] is 0.)
    Room {
        /// Tasks that are started first.
        ahead: usize,
    },
    /// It runs.
    Running {
        /// The attempt.
        attempt: Attempt,
        /// Why it is being stopped.
        stopping: Option<StopWhy>,
    },
    /// Its last attempt did not succeed and the next has to wait.
    Backoff {
        /// Until then.
        until: Time,
        /// Why the last one did not succeed.
        cause: Option<Cause>,
    },
    /// It was skipped since these ancestors failed: the nearest ones.
    AncestorsFailed(Vec<TaskIx>),
    /// It was skipped since it is for failures and none of its ancestors failed.
    NoneFailed,
    /// It ended.
    Ended {
        /// How.
        state: TaskState,
        /// Why it did not succeed.
        cause: Option<Cause>,
    },
}

impl Scheduler {
    /// The plan, which answers questions about the graph.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The limits as they are now.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How many tasks are in which state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The task's state.
    ///
    /// # Panics
    /// The plan has no such task; so do the others here that take one.
    #[must_use]
    pub fn state(&self, task: TaskIx) -> TaskState {
        self.tasks[task.index()].state.outside()
    }

    /// What to persist of the task.
    #[must_use]
    pub fn row(&self, task: TaskIx) -> Row {
        self.tasks[task.index()].row(&self.trouble(task))
    }

    /// The tasks that wait for room only, in the order in which they will start.
    pub fn ready(&self) -> impl Iterator<Item = TaskIx> + '_ {
        self.ready.iter().copied().filter(|task| self.is_ready(*task))
    }

    /// The attempts that run, in no order.
    pub fn running(&self) -> impl ExactSizeIterator<Item = (TaskIx, Attempt)> + '_ {
        self.running.iter().map(|&task| (task, self.tasks[task.index()].attempt))
    }

    /// How the job ended, once it has.
    #[must_use]
    pub fn finished(&self) -> Option<JobEnd> {
        self.finished
    }

    /// Whether a cancel was requested.
    #[must_use]
    pub fn is_cancelling(&self) -> bool {
        self.cancel != crate::transition::Cancel::No
    }

    /// How many events came too late to matter: reports of earlier attempts, timers of what is over, …
    #[must_use]
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// How many edges were followed so far, which is what events cost: each edge once when its task ends, and once more
    /// if it is below a failure.
    #[must_use]
    pub fn edges_followed(&self) -> u64 {
        self.edges_followed
    }

    /// The latest moment seen.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// Why the task is in the state it is in, and so what would change that.
    #[must_use]
    pub fn why(&self, task: TaskIx) -> Why {
        let known = &self.tasks[task.index()];
        match known.state {
            State::Waiting => {
                let mut unfinished = self.plan.dependencies(task);
                unfinished.retain(|dependency| !self.state(*dependency).is_terminal());
                Why::Dependencies(unfinished)
            }
            State::Ready | State::Due => Why::Room { ahead: self.ready().position(|other| other == task).unwrap_or(0) },
            State::Running(Running { why: stopping, .. }) => Why::Running { attempt: known.attempt, stopping },
            State::Backoff => {
                let trouble = self.trouble(task);
                Why::Backoff { until: trouble.until, cause: trouble.cause }
            }
            State::Skipped if self.plan.policy(task).when == When::Failure => Why::NoneFailed,
            State::Skipped => Why::AncestorsFailed(self.failed_above(task)),
            State::Succeeded | State::Cancelled | State::Failed => {
                Why::Ended { state: known.state.outside(), cause: self.row(task).cause }
            }
        }
    }

    fn is_ready(&self, task: TaskIx) -> bool {
        matches!(self.tasks[task.index()].state, State::Ready | State::Due)
    }

    /// The ancestors that failed and have no such task between them and `task`.
    fn failed_above(&self, task: TaskIx) -> Vec<TaskIx> {
        let mut found = self.plan.ancestors_until(task, |ancestor| self.is_failure(ancestor));
        found.retain(|ancestor| self.is_failure(*ancestor));
        found
    }
}
