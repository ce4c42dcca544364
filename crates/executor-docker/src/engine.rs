//! The engine: its address, its calls with a deadline each, and what went wrong in words.
//!
//! Every call is a connection of its own (bollard keeps none for Unix sockets). That is needed: an engine that shuts down
//! still answers on old connections while it ends its containers, but takes no new ones.

use std::{collections::HashMap, pin::Pin, time::Duration};

use bollard::{
    ClientVersion, Docker,
    container::AttachContainerResults,
    errors::Error as ApiError,
    models::{ContainerCreateBody, ContainerInspectResponse},
    query_parameters::{
        AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, EventsOptionsBuilder,
        KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    },
};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::doctor;

/// The API of Docker 20.10, the oldest that is supported.
const VERSION: ClientVersion = ClientVersion { major_version: 1, minor_version: 41 };

/// No answer within this time is none: the engine hangs. Generous, since a busy disk delays `create` and `start`.
const CALL: Duration = Duration::from_secs(60);

/// Above our own deadlines: bollard's must not be the one that ends a call.
const CLIENT: u64 = 24 * 60 * 60;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Nobody answered, or not to the end: whether it was done is unknown.
    #[error("the engine at {host} cannot be reached: {why}")]
    Unreachable { host: String, why: String },
    /// It is not for us to use: a person must do something first.
    #[error("{why}")]
    Barred { why: String },
    /// The engine said no.
    #[error("the engine says: {message}")]
    Refused { status: u16, message: String },
}

impl Trouble {
    pub(crate) fn is_status(&self, code: u16) -> bool {
        matches!(self, Self::Refused { status, .. } if *status == code)
    }
}

/// A connection-less hold on an engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    host: String,
    docker: Docker,
}

impl Engine {
    /// An engine that answers, in a version that it takes.
    pub(crate) async fn open(host: &str) -> Result<Self, Trouble> {
        let engine = Self::with_version(host, &VERSION)?;
        match engine.call(engine.docker.ping()).await {
            Ok(_) => Ok(engine),
            Err(Trouble::Refused { message, .. }) if message.contains("is too old") => match newest(&message) {
                Some(version) => Self::with_version(host, &version),
                None => Err(Trouble::Refused { status: 400, message }),
            },
            Err(trouble) => Err(trouble),
        }
    }

    fn with_version(host: &str, version: &ClientVersion) -> Result<Self, Trouble> {
        let docker = if let Some(path) = host.strip_prefix("unix://") {
            Docker::connect_with_unix(path, CLIENT, version)
        } else if host.starts_with("tcp://") || host.starts_with("http://") {
            Docker::connect_with_http(host, CLIENT, version)
        } else {
            let why = "only unix://PATH and tcp://HOST:PORT are known (`host` of [executors.docker], DOCKER_HOST)";
            return Err(Trouble::Unreachable { host: host.into(), why: why.into() });
        };
        let docker = docker.map_err(|error| trouble(host, error))?;
        Ok(Self { host: host.into(), docker })
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Whether it is podman's service; not if it does not say.
    pub(crate) async fn is_podman(&self) -> bool {
        let version = self.call(self.docker.version()).await.ok();
        let parts = version.and_then(|version| version.components).unwrap_or_default();
        parts.iter().any(|part| part.name.starts_with("Podman"))
    }

    /// A call that must answer soon.
    pub(crate) fn call<'a, T: Send + 'a>(
        &'a self,
        call: impl Future<Output = Result<T, ApiError>> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = Result<T, Trouble>> + Send + 'a>> {
        // In a box: bollard's futures are large.
        Box::pin(async move {
            match timeout(CALL, call).await {
                Ok(answer) => answer.map_err(|error| self.trouble(error)),
                Err(_) => Err(self.unreachable(format!("no answer within {CALL:?}"))),
            }
        })
    }

    pub(crate) fn trouble(&self, error: ApiError) -> Trouble {
        trouble(&self.host, error)
    }

    pub(crate) fn unreachable(&self, why: impl Into<String>) -> Trouble {
        Trouble::Unreachable { host: self.host.clone(), why: why.into() }
    }

    pub(crate) async fn create(&self, name: &str, mut body: ContainerCreateBody) -> Result<(), Trouble> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.call(self.docker.create_container(Some(options.clone()), body.clone())).await;
        let unknown = |trouble: &Trouble| trouble.to_string().contains("invalid log driver");
        if !made.as_ref().is_err_and(unknown) {
            return made.map(drop);
        }
        // Podman has no `local`: then what it has.
        if let Some(host) = &mut body.host_config {
            host.log_config = None;
        }
        self.call(self.docker.create_container(Some(options), body)).await.map(drop)
    }

    /// Attaches to what a container writes and, if wanted, to what it reads.
    pub(crate) async fn attach(&self, name: &str, stdin: bool) -> Result<AttachContainerResults, Trouble> {
        // Podman says into the very stream of the output that a task reads no further, and ends it: one connection each.
        if stdin && self.is_podman().await {
            let output = self.attach_to(name, true, false).await?.output;
            let input = self.attach_to(name, false, true).await?.input;
            return Ok(AttachContainerResults { output, input });
        }
        self.attach_to(name, true, stdin).await
    }

    async fn attach_to(&self, name: &str, output: bool, stdin: bool) -> Result<AttachContainerResults, Trouble> {
        let options =
            AttachContainerOptionsBuilder::default().stream(true).stdout(output).stderr(output).stdin(stdin).build();
        self.call(self.docker.attach_container(name, Some(options))).await
    }

    pub(crate) async fn start(&self, name: &str) -> Result<(), Trouble> {
        self.call(self.docker.start_container(name, None)).await
    }

    /// `None`: there is no such container.
    pub(crate) async fn inspect(&self, name: &str) -> Result<Option<Box<ContainerInspectResponse>>, Trouble> {
        match self.call(self.docker.inspect_container(name, None)).await {
            Err(trouble) if trouble.is_status(404) => Ok(None),
            other => other.map(|found| Some(Box::new(found))),
        }
    }

    /// Whether it ran, so that the signal was sent.
    pub(crate) async fn kill(&self, name: &str, signal: &str) -> Result<bool, Trouble> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        match self.call(self.docker.kill_container(name, Some(options))).await {
            Err(trouble) if trouble.is_status(404) || trouble.is_status(409) => Ok(false),
            // Podman's words for the same, with the status of a failure of its own.
            Err(Trouble::Refused { message, .. }) if message.contains("container state improper") => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Kills what runs, and removes the container with its unnamed volumes. That it is gone, or going, is well.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Trouble> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match self.call(self.docker.remove_container(name, Some(options))).await {
            Err(trouble) if trouble.is_status(404) || trouble.is_status(409) => Ok(()),
            other => other,
        }
    }

    /// Containers with this label (`NAME=value`): name and labels.
    pub(crate) async fn labelled(&self, label: &str) -> Result<Vec<(String, HashMap<String, String>)>, Trouble> {
        let filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.call(self.docker.list_containers(Some(options))).await?;
        let named = found.into_iter().filter_map(|container| {
            let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
            Some((name, container.labels.unwrap_or_default()))
        });
        Ok(named.collect())
    }

    /// The exit code that the engine heard of at a container's end, if it remembers that event: it does for the last 256.
    pub(crate) async fn heard_at_end(&self, name: &str, since: Timestamp) -> Result<Option<i64>, Trouble> {
        let seconds = |time: Timestamp| format!("{}.{:09}", time.as_second(), time.subsec_nanosecond());
        let filters = [("container", name), ("event", "die")].map(|(key, value)| (key, vec![value]));
        let options = EventsOptionsBuilder::default()
            .since(&seconds(since))
            .until(&seconds(Timestamp::now()))
            .filters(&HashMap::from(filters))
            .build();
        let events: Vec<_> = self.call(self.docker.events(Some(options)).try_collect()).await?;
        let code = events.into_iter().rev().find_map(|event| event.actor?.attributes?.remove("exitCode"));
        Ok(code.and_then(|code| code.parse().ok()))
    }

    /// When this engine's process began: it makes its bridge anew then. `None` if it has none (or is podman).
    pub(crate) async fn began(&self) -> Result<Option<Timestamp>, Trouble> {
        match self.call(self.docker.inspect_network("bridge", None)).await {
            Ok(network) => Ok(network.created.as_deref().and_then(time)),
            Err(trouble) if trouble.is_status(404) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }
}

/// A moment as engines write it; `None` for "never" (the year 1).
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|time: &Timestamp| time.as_second() > 0)
}

/// `... Minimum supported API version is 1.44, ...`
fn newest(message: &str) -> Option<ClientVersion> {
    let (_, rest) = message.split_once("Minimum supported API version is ")?;
    let (major, rest) = rest.split_once('.')?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(ClientVersion { major_version: major.parse().ok()?, minor_version: digits.parse().ok()? })
}

fn trouble(host: &str, error: ApiError) -> Trouble {
    let unreachable = |why: String| Trouble::Unreachable { host: host.into(), why };
    if is_permission(&error) {
        return Trouble::Barred { why: doctor::barred(host) };
    }
    match error {
        ApiError::DockerResponseServerError { status_code, message } => {
            Trouble::Refused { status: status_code, message: message.trim().to_owned() }
        }
        ApiError::DockerStreamError { error } => Trouble::Refused { status: 500, message: error.trim().to_owned() },
        ApiError::SocketNotFoundError(path) => unreachable(format!("there is no socket {path}; does it run?")),
        other => unreachable(innermost(&other)),
    }
}

/// Whether the system does not let us connect.
fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) || error.source().is_some_and(is_permission)
}

/// The system's words for what went wrong, without Rust's.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    let text = last.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f53_an_engine_that_wants_a_newer_client_gets_it() {
        let says = "client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client";
        let version = newest(says).unwrap();
        assert_eq!((version.major_version, version.minor_version), (1, 44));
        assert!(newest("client version 1.41 is too old").is_none());
    }

    #[test]
    fn times_of_engines() {
        assert!(time("0001-01-01T00:00:00Z").is_none() && time("").is_none());
        let (with_zone, utc) = ("2026-11-24T10:15:37.5+01:00", "2026-11-24T09:15:37.500000000Z");
        assert_eq!(time(with_zone).unwrap(), time(utc).unwrap());
    }
}
