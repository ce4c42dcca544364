//! The contract between a task and the world that runs it.
//!
//! An [`Executor`] takes one [`TaskSpec`], runs it, and says with an [`Outcome`] how it ended. It knows no job, no
//! queue and no worker. One conformance suite (feature `conformance`) says what each executor must do.
//!
//! The futures of an executor need no runtime when the executor itself needs none: `executor-shell` blocks in `poll`
//! on the descriptors it is given, so that a task executor for shell is a small program without threads.

mod account;
pub mod beneath;
mod birth;
mod build;
mod capture;
mod check;
#[cfg(feature = "conformance")]
pub mod conformance;
mod container;
mod environment;
mod error;
mod handle;
pub mod inherited;
mod log_file;
pub mod message;
mod outcome;
mod publish;
mod redact;
mod secret;
pub mod settings;
mod shutdown;
mod spec;

use std::{fmt, path::Path, pin::Pin};

use async_trait::async_trait;
use workflow_model::ExecutorKind;

pub use birth::Birth;
pub use build::{AttemptFacts, JobFacts, SpecBuilder, engine_address, marker};
pub use capture::{Capture, Captured};
pub use check::Findings;
pub use container::{Container, JOB_FILES, LABEL, label};
pub use error::Error;
pub use handle::{Condition, DockerHandle, Handle, ProcessId, ShellHandle};
pub use outcome::{Ending, Outcome};
pub use pollster::block_on;
pub use redact::{MASK, Redactor};
pub use secret::{SecretSource, Secrets};
pub use settings::{
    DockerSettings, ExecutorSettings, HostNamespace, Pull, SecretSettings, Settings, ShellSettings, TaskSettings,
    VolumeSettings,
};
pub use shutdown::{Control, Shutdown};
pub use spec::{DEFAULT_GRACE, DEFAULT_LOG_LIMIT, Resources, Stdin, TaskSpec, Volume};

/// Where what a task writes goes. Implemented by the capture of this crate; executors only push bytes into it.
pub trait Sink: Send {
    /// Takes bytes as the task wrote them. Never fails: what cannot be stored is counted as lost and marked.
    fn write(&mut self, bytes: &[u8]);
}

/// What an executor is lent while it waits for a task.
pub struct Io<'a> {
    /// Requests to stop, and the descriptor to wait for them on.
    pub control: &'a dyn Control,
    /// The task's standard output.
    pub out: &'a mut dyn Sink,
    /// The task's standard error.
    pub err: &'a mut dyn Sink,
}

impl fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

/// Runs tasks in one world: processes, containers, a cluster, an HTTP service.
#[async_trait]
pub trait Executor: Send + Sync + fmt::Debug {
    /// Which one this is.
    fn kind(&self) -> ExecutorKind;

    /// Whether the task can run here, before anything starts; every refusal names the remedy.
    ///
    /// # Errors
    /// One sentence a problem.
    fn check(&self, spec: &TaskSpec) -> Result<(), Vec<String>>;

    /// Launches the task. When this answers, the task runs (or has ended already) and `Handle` finds it again, from
    /// any process, after a crash of this one.
    ///
    /// # Errors
    /// The outcome of an attempt that could not be launched ([`Ending::StartFailed`] and the like).
    async fn start(&self, spec: &TaskSpec) -> Result<Handle, Outcome>;

    /// What a start of this will answer, where that is known beforehand.
    fn handle(&self, _spec: &TaskSpec) -> Option<Handle> {
        None
    }

    /// Takes hold of a task that an earlier process launched, so that `wait` can be called.
    ///
    /// # Errors
    /// The outcome if it is gone, or cannot be waited for by this executor (a shell task dies with its executor).
    async fn attach(&self, spec: &TaskSpec, handle: &Handle) -> Result<(), Outcome>;

    /// Waits for the end, feeding output to the sinks, enforcing `spec.timeout`, obeying `io.control`. When this
    /// answers, nothing of the task is left running.
    async fn wait(&self, spec: &TaskSpec, handle: &Handle, io: Io<'_>) -> Outcome;

    /// What has become of a task, without touching it.
    async fn describe(&self, handle: &Handle) -> Condition;

    /// Ends a task from outside (its own executor is gone) and answers when nothing of it is left. `job_files` helps
    /// to find processes that escaped.
    ///
    /// # Errors
    /// What could not be ended, and why.
    async fn stop(&self, handle: &Handle, how: Shutdown, job_files: &Path) -> Result<(), String>;

    /// Removes what is needed only until the outcome of `wait` is recorded (a container that has ended).
    async fn tidy(&self, _handle: &Handle) {}

    /// Runs a shell for a person on this terminal, in the world that a start of this would make; its exit code.
    ///
    /// # Errors
    /// That cannot be, and why.
    async fn shell(&self, _spec: &TaskSpec) -> Result<u8, String> {
        Err("there is no shell in that world".into())
    }

    /// Drives one of its futures to the end, on this thread. Those of executors that need a runtime bring it here.
    fn block_on<'a>(&self, future: Pin<Box<dyn Future<Output = ()> + 'a>>) {
        pollster::block_on(future);
    }
}

/// Drives a future of `executor` to its end.
pub fn drive<T>(executor: &dyn Executor, future: impl Future<Output = T>) -> T {
    let mut answer = None;
    executor.block_on(Box::pin(async { answer = Some(future.await) }));
    answer.expect("BUG: an executor's block_on answers when the future has")
}
