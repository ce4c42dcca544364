//! [`ShellExecutor`]: the contract of `executor`, kept with processes.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use async_trait::async_trait;
use executor::{Condition, Executor, Handle, Io, Outcome, ProcessId, ShellHandle, Shutdown, TaskSpec, beneath};
use rustix::process::{Pid, getpid};
use workflow_model::ExecutorKind;

use crate::{
    command::{Launched, launch},
    lifecycle, message, outside,
    prepare::{Prepared, lead},
    process::Process,
    rlimits,
};

const FOREIGN: &str = "that is no process of this host";

/// Runs tasks as processes of this host; see the crate's page for what it asks of its own process.
#[derive(Debug, Default)]
pub struct ShellExecutor {
    prepared: OnceLock<Prepared>,
    session: Mutex<Option<Session>>,
    launched: Mutex<Option<Launched>>,
}

/// The session that a process leads (0 = none), and that process: one that was forked from it leads another.
#[derive(Debug, Clone, Copy)]
struct Session {
    led: i32,
    by: Pid,
}

impl ShellExecutor {
    /// An executor. Nothing happens to this process until [`ShellExecutor::prepare`] or a start.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes this process a task executor: leader of its session, subreaper, told of the end of children. A start does
    /// it too; a spare does it while it waits for its task. After a fork only what a process has for itself is done
    /// again.
    ///
    /// # Errors
    /// What the kernel refused, in one sentence.
    pub fn prepare(&self) -> Result<(), String> {
        self.session()?;
        self.prepared().map(|_| ())
    }

    fn session(&self) -> Result<i32, String> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let this = getpid();
        if let Some(session) = session.filter(|session| session.by == this) {
            return Ok(session.led);
        }
        let led = lead()?;
        *session = Some(Session { led, by: this });
        Ok(led)
    }

    fn prepared(&self) -> Result<&Prepared, String> {
        if let Some(prepared) = self.prepared.get() {
            return Ok(prepared);
        }
        let fresh = Prepared::new()?;
        Ok(self.prepared.get_or_init(|| fresh))
    }

    fn launched(&self) -> MutexGuard<'_, Option<Launched>> {
        self.launched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Executor for ShellExecutor {
    fn kind(&self) -> ExecutorKind {
        ExecutorKind::Shell
    }

    fn check(&self, spec: &TaskSpec) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        if spec.argv.as_ref().is_none_or(Vec::is_empty) {
            problems.push("the shell executor needs a `command`: there is no image to take one from".to_owned());
        }
        if let Err(why) =
            Some(spec.workdir.as_str()).filter(|dir| !dir.is_empty()).map_or(Ok(()), beneath::check_relative)
        {
            problems.push(format!("`workdir: {:?}` {why}", spec.workdir));
        }
        for (name, _) in spec.rlimits.iter().filter(|(name, _)| rlimits::resource(name).is_none()) {
            problems
                .push(format!("`executors.shell.rlimits` has no resource {name:?} (as in setrlimit(2): `nofile`, …)"));
        }
        if spec.run_as.is_some() && !rustix::process::geteuid().is_root() {
            problems
                .push("`executors.shell.run_as` needs root: start qmanager as root, or take the setting out".into());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    async fn start(&self, spec: &TaskSpec) -> Result<Handle, Outcome> {
        let session = self.session().map_err(message::lost)?;
        let prepared = self.prepared().map_err(message::lost)?;
        if self.launched().is_some() {
            return Err(message::lost("BUG: this process runs a task already"));
        }
        let launched = launch(spec).map_err(|outcome| outcome.redacted(&spec.redact))?;
        // Even if it has ended already, its entry stays until we wait for it.
        let looked_up = || Process::read(launched.pid).map_or(0, |process| process.start_time);
        let start_time = launched.start_time.unwrap_or_else(looked_up);
        let handle = ShellHandle {
            leader: ProcessId { pid: launched.pid, start_time, boot_id: prepared.boot_id.clone() },
            session,
            cgroup: launched.cgroup.as_ref().map(|cgroup| cgroup.path.clone()),
            marker: spec.marker.clone(),
            grace: spec.grace,
        };
        *self.launched() = Some(launched);
        Ok(Handle::Shell(handle))
    }

    async fn attach(&self, _spec: &TaskSpec, _handle: &Handle) -> Result<(), Outcome> {
        Err(message::lost("a shell task cannot be waited for by another process than the one that launched it"))
    }

    async fn wait(&self, spec: &TaskSpec, handle: &Handle, io: Io<'_>) -> Outcome {
        let Handle::Shell(handle) = handle else { return message::lost(FOREIGN) };
        let launched = self.launched().take_if(|launched| launched.pid == handle.leader.pid);
        match (launched, self.prepared.get()) {
            (Some(launched), Some(prepared)) => lifecycle::run(launched, prepared, spec, io).redacted(&spec.redact),
            _ => message::lost("this process has not launched that task"),
        }
    }

    async fn describe(&self, handle: &Handle) -> Condition {
        let Handle::Shell(handle) = handle else { return Condition::Gone };
        outside::describe(handle)
    }

    async fn stop(&self, handle: &Handle, how: Shutdown, job_files: &Path) -> Result<(), String> {
        let Handle::Shell(handle) = handle else { return Err(FOREIGN.into()) };
        outside::stop(handle, how, job_files)
    }
}
