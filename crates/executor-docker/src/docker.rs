//! [`DockerExecutor`]: the contract of `executor`, kept with containers.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use executor::{Condition, DockerHandle, Executor, Handle, Io, Outcome, Shutdown, TaskSpec};
use tokio::runtime::{Builder, Runtime};
use workflow_model::ExecutorKind;

use crate::{
    engine::{Engine, Trouble},
    judge::{self, Stage},
    message, run, shell,
};

/// Between two looks at a container that is to end.
const LOOK: Duration = Duration::from_millis(50);

/// So often an engine that does not answer is asked again to remove a container; then it is left to the sweep.
const REMOVALS: u32 = 5;

/// Runs tasks as containers.
#[derive(Debug, Default)]
pub struct DockerExecutor {
    runtime: OnceLock<Option<Runtime>>,
    adopted: AtomicBool,
}

impl DockerExecutor {
    /// An executor. Nothing happens until it is used.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Executor for DockerExecutor {
    fn kind(&self) -> ExecutorKind {
        ExecutorKind::Docker
    }

    fn check(&self, spec: &TaskSpec) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        if spec.image.is_none() {
            problems.push("the docker executor needs an `image`".to_owned());
        }
        if spec.argv.as_ref().is_some_and(Vec::is_empty) {
            problems.push("`command` is empty: leave it out for the image's own".to_owned());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Only names the container: it is made by `wait`, which can be stopped while an image is pulled. So the handle is
    /// known before there is anything to be found by it.
    async fn start(&self, spec: &TaskSpec) -> Result<Handle, Outcome> {
        self.check(spec).map_err(|problems| message::invalid(problems.join("; ")))?;
        self.handle(spec).ok_or_else(|| message::invalid("BUG: no settings for a container"))
    }

    fn handle(&self, spec: &TaskSpec) -> Option<Handle> {
        let host = spec.container.as_ref()?.host.clone();
        Some(Handle::Docker(DockerHandle::new(host, spec.marker.clone(), spec.grace)))
    }

    async fn attach(&self, _spec: &TaskSpec, handle: &Handle) -> Result<(), Outcome> {
        docker(handle).map_err(message::lost)?;
        self.adopted.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn wait(&self, spec: &TaskSpec, handle: &Handle, io: Io<'_>) -> Outcome {
        let adopted = self.adopted.load(Ordering::Relaxed);
        match (docker(handle), &spec.container) {
            (Ok(handle), Some(container)) => {
                run::run(spec, container, handle, adopted, io).await.redacted(&spec.redact)
            }
            (Err(why), _) => message::lost(why),
            (_, None) => message::invalid("BUG: no settings for a container"),
        }
    }

    async fn describe(&self, handle: &Handle) -> Condition {
        let Ok(handle) = docker(handle) else { return Condition::Gone };
        let found = async { Engine::open(&handle.host).await?.inspect(&handle.name).await };
        match found.await {
            Ok(Some(found)) if !judge::is_ours(&found, handle) => Condition::Gone,
            Ok(Some(found)) if judge::stage(&found) == Stage::Running => Condition::Running,
            // How it ended is for `wait` to say, which reads its output too.
            Ok(_) => Condition::Gone,
            // Nobody knows: as long as that is so, it may run.
            Err(_) => Condition::Running,
        }
    }

    async fn stop(&self, handle: &Handle, how: Shutdown, _job_files: &Path) -> Result<(), String> {
        let handle = docker(handle)?;
        end(handle, how).await.map_err(|trouble| format!("container {}: {trouble}", handle.name))
    }

    async fn tidy(&self, handle: &Handle) {
        let Ok(handle) = docker(handle) else { return };
        for _ in 0..REMOVALS {
            let removed = async {
                let engine = Engine::open(&handle.host).await?;
                match engine.inspect(&handle.name).await? {
                    Some(found) if judge::is_ours(&found, handle) => engine.remove(&handle.name).await,
                    _ => Ok(()),
                }
            };
            if !matches!(removed.await, Err(Trouble::Unreachable { .. })) {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn shell(&self, spec: &TaskSpec) -> Result<u8, String> {
        shell::run(spec).await
    }

    fn block_on<'a>(&self, future: Pin<Box<dyn Future<Output = ()> + 'a>>) {
        let make = || Builder::new_current_thread().enable_all().build().ok();
        match self.runtime.get_or_init(make) {
            Some(runtime) => runtime.block_on(future),
            // Without descriptors for a runtime every call to it will say so.
            None => executor::block_on(future),
        }
    }
}

impl Drop for DockerExecutor {
    /// Whoever waits in a thread of its own (for another's pull) holds nobody up.
    fn drop(&mut self) {
        if let Some(Some(runtime)) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn docker(handle: &Handle) -> Result<&DockerHandle, String> {
    match handle {
        Handle::Docker(handle) => Ok(handle),
        Handle::Shell(_) => Err("that is no container".into()),
    }
}

/// Ends a container, its task executor being gone, and removes it.
async fn end(handle: &DockerHandle, how: Shutdown) -> Result<(), Trouble> {
    let engine = Engine::open(&handle.host).await?;
    let mut found = engine.inspect(&handle.name).await?;
    if found.as_ref().is_some_and(|found| !judge::is_ours(found, handle)) {
        return Ok(());
    }
    let runs = |found: &Option<Box<_>>| found.as_deref().is_some_and(|found| judge::stage(found) == Stage::Running);
    if how == Shutdown::Once && runs(&found) {
        engine.kill(&handle.name, "SIGTERM").await?;
        engine.kill(&handle.name, "SIGCONT").await?;
        let deadline = now() + handle.grace;
        while runs(&found) && now() < deadline {
            tokio::time::sleep(LOOK).await;
            found = engine.inspect(&handle.name).await?;
        }
    }
    if found.is_some() { engine.remove(&handle.name).await } else { Ok(()) }
}

#[expect(clippy::disallowed_methods, reason = "the grace period of a container that is ended from outside")]
fn now() -> Instant {
    Instant::now()
}
