//! Going on with a job: from the rows that were persisted, or from the log of its events.

use std::{error::Error, fmt};

use crate::{
    Action, Event, IllegalEvent, Limits, Plan, Row, Scheduler, TaskIx, TaskState, Time,
    id::{Timer, TimerKind},
    state::{Running, State, Trouble},
};

/// A row that no job of the plan can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IllegalRow {
    /// The plan has no such task.
    UnknownTask {
        /// The task.
        task: TaskIx,
    },
    /// There are two rows of one task.
    Twice {
        /// The task.
        task: TaskIx,
    },
    /// The row says that an attempt was made, and which: none.
    NoAttempt {
        /// The task.
        task: TaskIx,
        /// As the row says.
        state: TaskState,
    },
}

impl Scheduler {
    /// A job as its rows say; tasks without a row have not changed yet. What was running counts as running: the driver
    /// says what became of it before or after [`Event::Opened`], which starts what is ready and re-arms backoffs. A
    /// cancel is not in the rows: the driver requests it again. Tasks that the rows leave undecided (a crash, a new
    /// round) are decided here and are among the [changes](Self::drain_changes).
    ///
    /// # Errors
    /// A row is not of this plan.
    pub fn restore(
        plan: &Plan,
        limits: Limits,
        rows: impl IntoIterator<Item = (TaskIx, Row)>,
    ) -> Result<Self, IllegalRow> {
        let mut scheduler = Self::blank(plan, limits);
        for (ix, row) in rows {
            let Some(task) = scheduler.tasks.get_mut(ix.index()) else {
                return Err(IllegalRow::UnknownTask { task: ix });
            };
            // The mark is free until the rows are in: here it means "has had its row".
            if std::mem::replace(&mut task.changed, true) {
                return Err(IllegalRow::Twice { task: ix });
            }
            task.attempt = row.attempt;
            let Row { retries, losses, cause, retry_at, .. } = row;
            let trouble = Trouble { retries, losses, cause, until: retry_at.unwrap_or(Time::ZERO) };
            let state = match row.state {
                TaskState::Waiting => State::Waiting,
                TaskState::Running | TaskState::Retrying if row.attempt.0 == 0 => {
                    return Err(IllegalRow::NoAttempt { task: ix, state: row.state });
                }
                TaskState::Running => {
                    let place = u32::try_from(scheduler.running.len()).expect("BUG: as many tasks run as there are");
                    State::Running(Running { place, why: row.stopping, how: None, launched: false })
                }
                TaskState::Retrying => State::Backoff,
                TaskState::Succeeded => State::Succeeded,
                TaskState::Skipped => State::Skipped,
                TaskState::Cancelled => State::Cancelled,
                TaskState::Failed => State::Failed,
            };
            // The causes of skipped and cancelled tasks are their states: no need to keep them for a large subtree.
            let in_state = Trouble { cause, ..Trouble::NONE };
            if trouble != Trouble::NONE && !(matches!(state, State::Skipped | State::Cancelled) && trouble == in_state)
            {
                scheduler.troubles.insert(ix, trouble);
            }
            scheduler.set_state(ix, state);
        }
        scheduler.tasks.iter_mut().for_each(|task| task.changed = false);
        scheduler.recover();
        Ok(scheduler)
    }

    /// A job as the log of its events says; the actions of all of them are appended to `out`. What of these is still
    /// to be done is told by [`Self::open_actions`].
    ///
    /// # Errors
    /// An event cannot be true after those before it.
    pub fn replay(
        plan: &Plan,
        limits: Limits,
        events: impl IntoIterator<Item = (Event, Time)>,
        out: &mut Vec<Action>,
    ) -> Result<Self, IllegalEvent> {
        let mut scheduler = Self::from_plan(plan, limits);
        for (event, now) in events {
            scheduler.apply(event, now, out)?;
        }
        Ok(scheduler)
    }

    /// What was asked for and has not come to its end: a `Start` for each attempt that runs (with its `Stop`, if it
    /// was asked to), an `Arm` for each backoff, and `Finish`. Looks at every task.
    #[must_use]
    pub fn open_actions(&self) -> Vec<Action> {
        let mut open = Vec::new();
        for ix in self.plan.tasks() {
            let task = &self.tasks[ix.index()];
            let attempt = task.attempt;
            match task.state {
                State::Running(Running { why, how, .. }) => {
                    open.push(Action::Start { task: ix, attempt });
                    if let (Some(why), Some(how)) = (why, how) {
                        open.push(Action::Stop { task: ix, attempt, why, how });
                    }
                }
                State::Backoff => {
                    let timer = Timer { task: ix, attempt, kind: TimerKind::Backoff };
                    open.push(Action::Arm { timer, at: self.trouble(ix).until });
                }
                State::Waiting
                | State::Ready
                | State::Due
                | State::Succeeded
                | State::Skipped
                | State::Cancelled
                | State::Failed => {}
            }
        }
        open.extend(self.finished.map(Action::Finish));
        open
    }
}

impl fmt::Display for IllegalRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTask { task } => write!(f, "the plan has no task {task}"),
            Self::Twice { task } => write!(f, "task {task} has two rows"),
            Self::NoAttempt { task, state } => write!(f, "task {task} is {state:?} without an attempt"),
        }
    }
}

impl Error for IllegalRow {}
