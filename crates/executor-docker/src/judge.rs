//! What an ended container means.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status};
use executor::{Container, DockerHandle, Ending, Outcome, TaskSpec, label};

use crate::{
    engine::{Engine, Trouble, time},
    message,
    output::Heard,
};

/// The kernel's word about memory may reach the engine after the end itself.
const OOM_LOOKS: u32 = 5;
const OOM_PAUSE: Duration = Duration::from_millis(40);

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Created,
    Running,
    Ended,
}

pub(crate) fn stage(found: &ContainerInspectResponse) -> Stage {
    match found.state.as_ref().and_then(|state| state.status) {
        Some(Status::CREATED) => Stage::Created,
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING) => Stage::Running,
        _ => Stage::Ended,
    }
}

/// Whether the container is this attempt's, and not another's that happens to have its name.
pub(crate) fn is_ours(found: &ContainerInspectResponse, handle: &DockerHandle) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(label::MARK)).is_some_and(|mark| *mark == handle.marker)
}

/// How the engine keeps its output.
pub(crate) fn log_driver(found: &ContainerInspectResponse) -> &str {
    let config = found.host_config.as_ref().and_then(|host| host.log_config.as_ref());
    config.and_then(|config| config.typ.as_deref()).unwrap_or_default()
}

/// The PATH that its processes have.
pub(crate) fn path(found: &ContainerInspectResponse) -> String {
    let env = found.config.as_ref().and_then(|config| config.env.as_ref());
    let path = env.into_iter().flatten().filter_map(|entry| entry.strip_prefix("PATH=")).next_back();
    path.unwrap_or_default().to_owned()
}

/// Whether the engine's word on the end of this container is worth something: it is not when the engine was restarted
/// since the container was started and nobody of us saw the end. Then it was ended by the engine, or ended while nobody
/// kept its code (F52).
pub(crate) async fn is_suspect(engine: &Engine, state: &ContainerState) -> Result<bool, Trouble> {
    let code = state.exit_code.unwrap_or(0);
    if (1..=125).contains(&code) {
        // An engine makes up 0, 137, 143 and 255, not these.
        return Ok(false);
    }
    let began = engine.began().await?;
    let started = state.started_at.as_deref().and_then(time);
    Ok(match (began, started) {
        (Some(began), Some(started)) => began >= started,
        _ => true,
    })
}

/// Whether the container was made before the engine began; so also where that cannot be told.
pub(crate) async fn is_older_than(engine: &Engine, found: &ContainerInspectResponse) -> Result<bool, Trouble> {
    let made = found.created.as_deref().and_then(time);
    Ok(match (engine.began().await?, made) {
        (Some(began), Some(made)) => began >= made,
        _ => true,
    })
}

/// The outcome by what the engine says of an ended container.
pub(crate) async fn outcome(
    engine: &Engine,
    handle: &DockerHandle,
    mut found: Box<ContainerInspectResponse>,
    task: (&TaskSpec, &Container),
    heard: &Heard,
) -> Result<Outcome, Trouble> {
    let (spec, container) = task;
    let state = found.state.take().unwrap_or_default();
    let Some(code) = state.exit_code.and_then(|code| i32::try_from(code).ok()) else {
        return Ok(message::lost("the engine shows no exit code"));
    };
    if code != 0 && is_out_of_memory(engine, handle, &state, spec).await? {
        return Ok(message::out_of_memory(spec));
    }
    if is_let_go(engine, handle, &state).await? {
        return Ok(message::lost(
            "the engine lost its hold on the container: its shim (containerd-shim) was killed, and the task with it",
        ));
    }
    let path = path(&found);
    if let Some(outcome) = refused_by_init(spec, container, code, &heard.beginning_of_err(), &path) {
        return Ok(outcome);
    }
    Ok(message::exited(code, &path))
}

async fn is_out_of_memory(
    engine: &Engine,
    handle: &DockerHandle,
    state: &ContainerState,
    spec: &TaskSpec,
) -> Result<bool, Trouble> {
    if state.oom_killed == Some(true) {
        return Ok(true);
    }
    if state.exit_code != Some(137) || spec.resources.memory.is_none() {
        return Ok(false);
    }
    for _ in 0..OOM_LOOKS {
        tokio::time::sleep(OOM_PAUSE).await;
        let again = engine.inspect(&handle.name).await?.and_then(|found| found.state);
        if again.is_some_and(|state| state.oom_killed == Some(true)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the container ended because its shim was killed (F52). Whoever cleans up after a dead shim kills the container,
/// which is the exit code 137 that is shown then; what the engine heard of the end is that nobody knows the code (255).
async fn is_let_go(engine: &Engine, handle: &DockerHandle, state: &ContainerState) -> Result<bool, Trouble> {
    let Some(started) = state.started_at.as_deref().and_then(time).filter(|_| state.exit_code == Some(137)) else {
        return Ok(false);
    };
    match engine.heard_at_end(&handle.name, started).await {
        Ok(heard) => Ok(heard.is_some_and(|code| code != 137)),
        // An engine that tells no events: then its exit code is all there is.
        Err(Trouble::Refused { .. }) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// With an init of the engine it is that one which finds that there is no such program; it says so on standard error.
fn refused_by_init(spec: &TaskSpec, container: &Container, code: i32, err: &str, path: &str) -> Option<Outcome> {
    let program = spec.argv.as_ref()?.first()?;
    let line = err.lines().next().filter(|line| container.init && line.starts_with("[FATAL tini ("))?;
    let (_, why) = line.split_once(&format!("exec {program} failed: "))?;
    match code {
        127 => Some(message::not_started(127, spec, path, why)),
        1 | 126 => Some(message::not_started(126, spec, path, &why.to_lowercase())),
        _ => None,
    }
}

/// Why the engine did not start a container that it had made.
pub(crate) fn start_refused(
    spec: &TaskSpec,
    container: &Container,
    found: Option<&ContainerInspectResponse>,
    why: &str,
) -> Outcome {
    let code = found.and_then(|found| found.state.as_ref()?.exit_code);
    let path = found.map(path).unwrap_or_default();
    if container.init && why.contains("docker-init") {
        return message::invalid(
            "the engine has no `docker-init`: install it (Debian: tini), or set `init = false` in [executors.docker]",
        );
    }
    match code {
        Some(code @ (126 | 127)) => message::not_started(i32::try_from(code).unwrap_or(126), spec, &path, why),
        _ => Outcome::new(Ending::Lost, format!("the engine could not start the container: {why}")),
    }
}
