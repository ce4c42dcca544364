//! The states of a task and of a job, and the causes of an end that is not success.

macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used everywhere: database, JSON, terminal.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = crate::InvalidId;
            fn from_str(text: &str) -> Result<Self, crate::InvalidId> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(crate::InvalidId::new($what, text, "is not known")) }
            }
        }
    };
}

pub(crate) use text_enum;

text_enum! {
    /// A task's state. `waiting -> running -> succeeded | failed | cancelled`, `waiting -> skipped | cancelled`,
    /// `running -> retrying -> running | cancelled`. Ordered by how bad it is: a job is as bad as its worst task.
    TaskStatus, "task status" {
        /// Not started: its dependencies are not terminal, or no slot is free.
        Waiting = "waiting",
        /// An attempt is under way.
        Running = "running",
        /// The last attempt failed; the next begins after its backoff.
        Retrying = "retrying",
        /// Ended well. Terminal.
        Succeeded = "succeeded",
        /// Never started, since its `when` did not hold. Terminal.
        Skipped = "skipped",
        /// Ended by a cancel. Terminal.
        Cancelled = "cancelled",
        /// Ended badly for good. Terminal.
        Failed = "failed",
    }
}

impl TaskStatus {
    /// Whether nothing can follow (but a new round).
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped | Self::Cancelled | Self::Failed)
    }
}

text_enum! {
    /// A job's state. `queued -> running -> succeeded | failed | cancelled`, with `cancelling` in between;
    /// `running -> queued` when released; `queued -> failed | cancelled`.
    JobStatus, "job status" {
        /// In the queue; no worker has it.
        Queued = "queued",
        /// A worker has it.
        Running = "running",
        /// A worker has it and is stopping what runs.
        Cancelling = "cancelling",
        /// Every task that counts succeeded. Terminal.
        Succeeded = "succeeded",
        /// Cancelled by a person, whatever its cleanup did. Terminal.
        Cancelled = "cancelled",
        /// A task without `allow_failure` failed, or the job could not be run. Terminal.
        Failed = "failed",
    }
}

impl JobStatus {
    /// Whether nothing can follow (but a new round).
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

text_enum! {
    /// Why a task or job did not succeed. A death by signal is never success; unknown is never success.
    Cause, "cause" {
        /// The task's program ended with a code other than 0.
        UserExit = "user_exit",
        /// The task's program was ended by a signal that we did not send.
        Signal = "signal",
        /// The attempt ran longer than the task's `timeout`.
        Timeout = "timeout",
        /// The kernel or the runtime ended it for want of memory.
        Oom = "oom",
        /// A person cancelled the job.
        Cancelled = "cancelled",
        /// The worker was lost and the attempt could not be adopted.
        LostWorker = "lost_worker",
        /// The task executor ended without a message and without a report.
        LostExecutor = "lost_executor",
        /// Something outside the task failed: a full disk, a signal from nobody of ours, a container gone.
        LostInfra = "lost_infra",
        /// The image could not be pulled.
        ImagePull = "image_pull",
        /// The task cannot be run as it is written (missing program, file, secret, volume).
        Invalid = "invalid",
        /// Lost `crash_limit` times: it seems to kill whatever runs it.
        Poison = "poison",
        /// Skipped because of what its ancestors did.
        Upstream = "upstream",
    }
}

impl Cause {
    /// Whether the attempt was lost to the infrastructure: free of charge up to `crash_limit`.
    #[must_use]
    pub fn is_loss(self) -> bool {
        matches!(self, Self::LostWorker | Self::LostExecutor | Self::LostInfra | Self::ImagePull)
    }
}

text_enum! {
    /// Which executor runs the tasks of a queue.
    ExecutorKind, "executor" {
        /// A process tree on this host.
        Shell = "shell",
        /// A container.
        Docker = "docker",
        /// A Kubernetes Job.
        Kube = "kube",
        /// An HTTP endpoint.
        Api = "api",
    }
}
