//! The states of a task: inside (with what each state carries) and outside (what is persisted).

use crate::{Attempt, Cause, StopHow, StopWhy, Time};

/// A task's state as the driver sees and persists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TaskState {
    /// Not started: its dependencies are not terminal, or there is no room.
    #[default]
    Waiting,
    /// An attempt is under way.
    Running,
    /// The last attempt did not succeed; another follows.
    Retrying,
    /// Ended well. Terminal.
    Succeeded,
    /// Never started, since its `when` did not hold. Terminal.
    Skipped,
    /// Ended by a cancel. Terminal.
    Cancelled,
    /// Ended badly for good. Terminal.
    Failed,
}

/// What to persist of a task: enough to go on with it. A task without a row is `Row::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// The state.
    pub state: TaskState,
    /// The newest attempt; 0 = none yet.
    pub attempt: Attempt,
    /// Retries spent.
    pub retries: u32,
    /// Attempts lost to the infrastructure.
    pub losses: u32,
    /// Why it, or its last attempt, did not succeed.
    pub cause: Option<Cause>,
    /// When the next attempt may begin (`Retrying`).
    pub retry_at: Option<Time>,
    /// Why the running attempt was asked to stop (`Running`).
    pub stopping: Option<StopWhy>,
}

/// How many tasks are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting for dependencies.
    pub waiting: u32,
    /// Waiting for room only (`TaskState::Waiting`, or `Retrying` after the backoff).
    pub ready: u32,
    /// Running.
    pub running: u32,
    /// In backoff.
    pub retrying: u32,
    /// Succeeded.
    pub succeeded: u32,
    /// Skipped.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
    /// Failed, those with `allow_failure` among them.
    pub failed: u32,
    /// Failed or cancelled with `allow_failure`, so that they do not count for the job.
    pub allowed: u32,
}

/// A task's state as the scheduler has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Some dependency is not terminal.
    Waiting,
    /// In the ready queue for its first attempt (or the first after a release).
    Ready,
    /// An attempt is under way.
    Running(Running),
    /// Armed: the next attempt may begin at [`Trouble::until`].
    Backoff,
    /// In the ready queue for another attempt.
    Due,
    Succeeded,
    Skipped,
    Cancelled,
    Failed,
}

/// What is known of an attempt under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its place in the list of running tasks.
    pub(crate) place: u32,
    /// Why it was asked to stop, by this scheduler or the one before it.
    pub(crate) why: Option<StopWhy>,
    /// How it was asked by this scheduler.
    pub(crate) how: Option<StopHow>,
    /// Whether the driver said that it was launched.
    pub(crate) launched: bool,
}

/// What is kept of every task, in 16 bytes. Its counter of unfinished dependencies lies apart, since every edge touches
/// that one; and what only tasks in trouble have is in [`Trouble`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Task {
    pub(crate) state: State,
    pub(crate) attempt: Attempt,
    /// An ancestor failed (and was not allowed to).
    pub(crate) tainted: bool,
    /// Its row changed since the driver last asked.
    pub(crate) changed: bool,
}

/// What is kept of a task of which some attempt did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) retries: u32,
    pub(crate) losses: u32,
    /// Why the last attempt did not succeed. (A task that never had one has its cause in its state.)
    pub(crate) cause: Option<Cause>,
    /// Until when the next attempt has to wait.
    pub(crate) until: Time,
}

impl TaskState {
    /// Whether nothing can follow.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Waiting | Self::Running | Self::Retrying => false,
            Self::Succeeded | Self::Skipped | Self::Cancelled | Self::Failed => true,
        }
    }
}

impl Counts {
    /// All tasks.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.waiting + self.ready + self.running + self.retrying + self.terminal()
    }

    /// Tasks for which nothing can follow.
    #[must_use]
    pub fn terminal(&self) -> u32 {
        self.succeeded + self.skipped + self.cancelled + self.failed
    }

    pub(crate) fn of(&mut self, state: &State) -> &mut u32 {
        match state {
            State::Waiting => &mut self.waiting,
            State::Ready | State::Due => &mut self.ready,
            State::Running(_) => &mut self.running,
            State::Backoff => &mut self.retrying,
            State::Succeeded => &mut self.succeeded,
            State::Skipped => &mut self.skipped,
            State::Cancelled => &mut self.cancelled,
            State::Failed => &mut self.failed,
        }
    }
}

impl State {
    /// As the driver sees it.
    pub(crate) fn outside(&self) -> TaskState {
        match self {
            Self::Waiting | Self::Ready => TaskState::Waiting,
            Self::Running(_) => TaskState::Running,
            Self::Backoff | Self::Due => TaskState::Retrying,
            Self::Succeeded => TaskState::Succeeded,
            Self::Skipped => TaskState::Skipped,
            Self::Cancelled => TaskState::Cancelled,
            Self::Failed => TaskState::Failed,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.outside().is_terminal()
    }
}

impl Trouble {
    /// No attempt failed yet.
    pub(crate) const NONE: Self = Self { retries: 0, losses: 0, cause: None, until: Time::ZERO };
}

impl Task {
    pub(crate) const NEW: Self = Self { state: State::Waiting, attempt: Attempt(0), tainted: false, changed: false };

    pub(crate) fn row(&self, trouble: &Trouble) -> Row {
        let (cause, retry_at, stopping) = match self.state {
            State::Running(running) => (None, None, running.why),
            State::Backoff | State::Due => (trouble.cause, Some(trouble.until), None),
            State::Waiting | State::Ready | State::Failed => (trouble.cause, None, None),
            State::Succeeded => (None, None, None),
            State::Skipped => (Some(Cause::Upstream), None, None),
            State::Cancelled => (Some(Cause::Cancelled), None, None),
        };
        let Trouble { retries, losses, .. } = *trouble;
        Row { state: self.state.outside(), attempt: self.attempt, retries, losses, cause, retry_at, stopping }
    }
}

const _: () = assert!(size_of::<Task>() == 16);
