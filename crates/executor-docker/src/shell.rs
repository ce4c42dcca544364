//! A shell for a person in the container that a task would get.

use std::{
    io::{IsTerminal, Write},
    os::fd::AsFd,
};

use bollard::query_parameters::{ResizeContainerTTYOptionsBuilder, WaitContainerOptionsBuilder};
use executor::{DockerHandle, TaskSpec};
use futures_util::StreamExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::AsyncWriteExt;

use crate::{create, engine::Engine};

/// Runs `/bin/sh` in the task's container, on this terminal or by pipes; its exit code.
pub(crate) async fn run(spec: &TaskSpec) -> Result<u8, String> {
    let container = spec.container.as_ref().ok_or("BUG: no settings for a container")?;
    let engine = Engine::open(&container.host).await.map_err(|trouble| trouble.to_string())?;
    let mut body = create::body(spec, container).map_err(|outcome| outcome.message)?;
    let terminal = std::io::stdin().is_terminal();
    body.entrypoint = Some(vec!["/bin/sh".into()]);
    (body.tty, body.open_stdin, body.stdin_once, body.attach_stdin) =
        (Some(terminal), Some(true), Some(true), Some(true));
    let name = DockerHandle::new(container.host.clone(), spec.marker.clone(), spec.grace).name;
    engine.create(&name, body).await.map_err(|trouble| trouble.to_string())?;
    let ended = session(&engine, &name, terminal).await;
    engine.remove(&name).await.map_err(|trouble| trouble.to_string())?;
    ended
}

async fn session(engine: &Engine, name: &str, terminal: bool) -> Result<u8, String> {
    let text = |trouble: crate::engine::Trouble| trouble.to_string();
    let mut streams = engine.attach(name, true).await.map_err(text)?;
    engine.start(name).await.map_err(text)?;
    if terminal && let Ok(size) = tcgetwinsize(std::io::stdin()) {
        let options = ResizeContainerTTYOptionsBuilder::default().h(size.ws_row.into()).w(size.ws_col.into()).build();
        // Only how lines are broken depends on it.
        engine.call(engine.docker().resize_container_tty(name, options)).await.ok();
    }
    let raw = terminal.then(Raw::enter).flatten();
    let typing = tokio::spawn(async move {
        let mut keys = tokio::io::stdin();
        if tokio::io::copy(&mut keys, &mut streams.input).await.is_ok() {
            streams.input.shutdown().await.ok();
        }
    });
    while let Some(Ok(frame)) = streams.output.next().await {
        let mut out = std::io::stdout().lock();
        if out.write_all(frame.as_ref()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    typing.abort();
    drop(raw);
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut ends = std::pin::pin!(engine.docker().wait_container(name, Some(options)));
    drop(ends.next().await);
    let state = engine.inspect(name).await.map_err(text)?.and_then(|found| found.state);
    let code = state.and_then(|state| state.exit_code).ok_or("the engine shows no exit code")?;
    Ok(u8::try_from(code & 0xff).unwrap_or(255))
}

/// The terminal passes every key on, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.0).ok();
    }
}
