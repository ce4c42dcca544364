//! The scheduler's border: what it is told, what it asks for, and what it refuses.

use std::{error::Error, fmt};

use crate::{Attempt, TaskIx, Timer};

/// What the driver tells the scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The job begins, or goes on after [`Scheduler::restore`](crate::Scheduler::restore). Nothing starts before it.
    /// Events about attempts that were restored as running, and a cancel, may come before.
    Opened,
    /// An attempt was launched: its `timeout` counts from now. Optional; without it nothing guards the timeout.
    Started {
        /// The task.
        task: TaskIx,
        /// Its attempt.
        attempt: Attempt,
    },
    /// An attempt ended.
    Reported {
        /// The task.
        task: TaskIx,
        /// Its attempt.
        attempt: Attempt,
        /// How.
        end: End,
    },
    /// An attempt was lost to the infrastructure: it runs again for free, until `crash_limit`.
    Lost {
        /// The task.
        task: TaskIx,
        /// Its attempt.
        attempt: Attempt,
        /// `LostWorker`, `LostExecutor`, `LostInfra`, or `ImagePull` for a pull that may work next time.
        cause: Cause,
    },
    /// An attempt was given up since the driver shuts down: the task waits again and nothing is spent.
    Released {
        /// The task.
        task: TaskIx,
        /// Its attempt.
        attempt: Attempt,
    },
    /// A timer that [`Action::Arm`] asked for went off.
    Fired(Timer),
    /// A person cancels the job. `now` = kill, and run no cleanup either.
    CancelRequested {
        /// Whether `when: always` tasks are cancelled too.
        now: bool,
    },
    /// The driver shuts down: nothing is started any more, what runs is stopped and will wait again.
    ReleaseRequested {
        /// Whether to kill instead of asking.
        now: bool,
    },
    /// Other limits hold from now on. What runs goes on.
    LimitsChanged(Limits),
}

/// What the scheduler asks the driver to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Begin this attempt.
    Start {
        /// The task.
        task: TaskIx,
        /// Its new attempt.
        attempt: Attempt,
    },
    /// End this attempt. Its report is still awaited: a driver that has not launched it yet reports
    /// `End::Failed(Cause::Cancelled)`. Comes again only when `why` or `how` becomes more urgent.
    Stop {
        /// The task.
        task: TaskIx,
        /// Its attempt.
        attempt: Attempt,
        /// To be recorded before the stop; it decides what a failure of this attempt will mean.
        why: StopWhy,
        /// How urgently.
        how: StopHow,
    },
    /// Give `timer` back in [`Event::Fired`] at `at` (or at once, if that is past).
    Arm {
        /// What to give back.
        timer: Timer,
        /// When.
        at: crate::Time,
    },
    /// Every task is terminal. The last action of a job.
    Finish(JobEnd),
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Well.
    Succeeded,
    /// Not well.
    Failed(Cause),
}

/// Why a task or attempt did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its program ended with this code, which is not 0. Retried as the policy says.
    UserExit(i32),
    /// Its program was ended by this signal, which nobody of ours sent. Retried as the policy says.
    Signal(i32),
    /// It ran longer than its timeout. Retried as the policy says.
    Timeout,
    /// It was ended for want of memory. Retried as the policy says.
    Oom,
    /// It was cancelled. The task becomes cancelled.
    Cancelled,
    /// Its worker was lost and it could not be adopted. Runs again for free.
    LostWorker,
    /// Its executor ended without a word. Runs again for free.
    LostExecutor,
    /// Something else outside the task failed. Runs again for free.
    LostInfra,
    /// Its image could not be pulled: reported, it is final; lost ([`Event::Lost`]), it runs again for free.
    ImagePull,
    /// It cannot be run as it is written. Never retried.
    Invalid,
    /// Lost `crash_limit` times: it seems to kill whatever runs it. The scheduler's word, never a report's.
    Poison,
    /// Skipped because of what its ancestors did. The scheduler's word, never a report's.
    Upstream,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobEnd {
    /// No task that counts failed.
    Succeeded,
    /// It was cancelled, whatever its cleanup did.
    Cancelled,
    /// A task without `allow_failure` failed.
    Failed,
}

/// What may happen at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The weights of the running tasks add up to at most this; a heavier task counts as this. 0 = nothing starts.
    pub parallel: u32,
}

/// Why an attempt is asked to stop. Ordered: a later reason can only be a greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopWhy {
    /// The driver shuts down: the task will wait again.
    Release,
    /// It ran longer than it may.
    Timeout,
    /// The job is being cancelled.
    Cancel,
}

/// How urgently an attempt is to stop. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopHow {
    /// Ask, and kill after a grace period of the driver's choice.
    Grace,
    /// Kill.
    Kill,
}

/// An event that cannot be true: the driver has a bug. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IllegalEvent {
    /// The plan has no such task.
    UnknownTask {
        /// The task.
        task: TaskIx,
    },
    /// The task has not begun this attempt.
    UnknownAttempt {
        /// The task.
        task: TaskIx,
        /// As told.
        attempt: Attempt,
        /// Its newest.
        newest: Attempt,
    },
    /// The job was opened before.
    OpenedTwice,
    /// No attempt ends for this cause.
    NotAnEnd {
        /// The task.
        task: TaskIx,
        /// As told.
        cause: Cause,
    },
    /// This cause is not a loss.
    NotALoss {
        /// The task.
        task: TaskIx,
        /// As told.
        cause: Cause,
    },
}

impl Cause {
    /// The return code (`UserExit`) or 128 + the signal's number (`Signal`), as a shell would say it.
    #[must_use]
    pub fn code(self) -> Option<i32> {
        match self {
            Self::UserExit(code) => Some(code),
            Self::Signal(signal) => Some(signal.saturating_add(128)),
            Self::Timeout
            | Self::Oom
            | Self::Cancelled
            | Self::LostWorker
            | Self::LostExecutor
            | Self::LostInfra
            | Self::ImagePull
            | Self::Invalid
            | Self::Poison
            | Self::Upstream => None,
        }
    }

    pub(crate) fn may_be_loss(self) -> bool {
        matches!(self, Self::LostWorker | Self::LostExecutor | Self::LostInfra | Self::ImagePull)
    }

    /// The word for it: `user_exit`, `signal`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserExit(_) => "user_exit",
            Self::Signal(_) => "signal",
            Self::Timeout => "timeout",
            Self::Oom => "oom",
            Self::Cancelled => "cancelled",
            Self::LostWorker => "lost_worker",
            Self::LostExecutor => "lost_executor",
            Self::LostInfra => "lost_infra",
            Self::ImagePull => "image_pull",
            Self::Invalid => "invalid",
            Self::Poison => "poison",
            Self::Upstream => "upstream",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for IllegalEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownTask { task } => write!(f, "the plan has no task {task}"),
            Self::UnknownAttempt { task, attempt, newest } => {
                write!(f, "task {task} has not begun attempt {attempt}, its newest is {newest}")
            }
            Self::OpenedTwice => f.write_str("the job was opened before"),
            Self::NotAnEnd { task, cause } => write!(f, "no attempt of task {task} can end for the cause {cause}"),
            Self::NotALoss { task, cause } => write!(f, "task {task} cannot be lost for the cause {cause}"),
        }
    }
}

impl Error for IllegalEvent {}
