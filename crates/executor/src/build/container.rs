//! The docker part of a specification: which image, which folders of this host, whose rights. What is refused here is
//! refused before anything starts, with the setting that would allow it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use workflow_model::{Attempt, ExecutorKind, JobId, Params, Task, TaskIx};

use super::SpecBuilder;
use crate::{
    Container, JOB_FILES,
    account::{self, Account},
    capture::describe,
    label, marker,
    settings::DockerSettings,
};

/// Where engines listen. Whoever may write to one of them is root of this host.
const SOCKETS: &[&str] =
    &["/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/crio/crio.sock"];

const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

impl SpecBuilder<'_> {
    pub(crate) fn docker(&self) -> &DockerSettings {
        &self.settings.executors.docker
    }

    /// The task's image, else the configured one.
    pub(crate) fn image(&self, params: &Params) -> Option<String> {
        let default = if self.kind == ExecutorKind::Docker { self.docker().image.as_ref() } else { None };
        params.image.as_deref().or(default.map(String::as_str)).map(str::to_owned)
    }

    /// Why the image may not be used here. The configured default needs no permission.
    pub(crate) fn image_refused(&self, params: &Params) -> Option<String> {
        let (Some(image), Some(allowed)) = (params.image.as_deref(), &self.docker().images_allowed) else {
            return None;
        };
        if self.kind != ExecutorKind::Docker {
            return None;
        }
        // As the engine reads it: no tag and no digest means `latest`.
        let name = image.rsplit('/').next().unwrap_or(image);
        let full = if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") };
        if allowed.iter().any(|pattern| fast_glob::glob_match(pattern, &full)) {
            return None;
        }
        let all = allowed.join(", ");
        Some(format!("image {image:?} is not allowed here: `images_allowed` of [executors.docker] has {all}"))
    }

    /// The folder of this host that a path in `volumes` means, after all links.
    pub(crate) fn bind(&self, path: &str) -> Result<String, String> {
        let real = fs::canonicalize(path).map_err(|error| format!("volume {path}: {}", describe(&error)))?;
        let settings = self.docker();
        let allowed = settings.binds_allowed.iter().filter_map(|allowed| fs::canonicalize(allowed).ok());
        if !allowed.into_iter().any(|allowed| real.starts_with(allowed)) {
            let after = if Path::new(path) == real { String::new() } else { format!(" (really {})", real.display()) };
            return Err(format!(
                "volume {path}{after} is not in a folder that `binds_allowed` of [executors.docker] has; add it there, \
                 or give it a name with [volumes.NAME]"
            ));
        }
        if !settings.docker_socket
            && let Some(socket) = self.sockets().into_iter().find(|socket| socket.starts_with(&real))
        {
            return Err(format!(
                "volume {path} would give the task {}, and so all rights on this host; only `docker_socket = true` of \
                 [executors.docker] allows that",
                socket.display()
            ));
        }
        Ok(real.to_string_lossy().into_owned())
    }

    /// Sockets of engines, the configured one among them, after all links.
    fn sockets(&self) -> Vec<PathBuf> {
        let host = self.engine();
        let own = host.strip_prefix("unix://").map(str::to_owned);
        let known = SOCKETS.iter().map(|path| (*path).to_owned()).chain(own).map(PathBuf::from);
        known.map(|path| fs::canonicalize(&path).unwrap_or(path)).collect()
    }

    /// Why a volume cannot be where the workflow wants it.
    pub(crate) fn target_refused(target: &str) -> Option<String> {
        let path = Path::new(target);
        let plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
        let why = if !plain || path == Path::new("/") {
            "must be a folder below / of the container"
        } else if path.starts_with(JOB_FILES) || Path::new(JOB_FILES).starts_with(path) {
            "would hide the job files, which are at /jobfiles"
        } else {
            return None;
        };
        Some(format!("volume …:{target}: the place {target} {why}"))
    }

    /// The engine's address.
    pub(crate) fn engine(&self) -> String {
        engine_address(self.docker(), self.ambient)
    }

    pub(super) fn container(&self, job: JobId, task: (TaskIx, &Task), attempt: Attempt) -> Container {
        let settings = self.docker();
        let (ix, task) = task;
        let labels = [
            (label::MARK, marker(job, ix, attempt)),
            (label::JOB, job.to_string()),
            (label::TASK, ix.to_string()),
            (label::NAME, task.name.as_str().to_owned()),
            (label::ATTEMPT, attempt.to_string()),
        ];
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let user = if settings.user.as_deref() == Some("image") { None } else { Some(self.run_as().unwrap_or(own)) };
        Container {
            host: self.engine(),
            pull: settings.pull,
            pull_timeout: settings.pull_timeout,
            credentials: self.docker_config(),
            pulls: None,
            user,
            network: settings.network.clone(),
            capabilities: settings.cap_add.clone(),
            host_namespaces: settings.host_namespaces.clone(),
            privileged: settings.privileged,
            no_new_privileges: settings.no_new_privs && !settings.privileged,
            pids: settings.pids_limit,
            init: settings.init,
            log_driver: settings.log_driver.clone(),
            labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        }
    }

    fn docker_config(&self) -> Option<PathBuf> {
        let named = |name: &str| self.ambient.get(name).filter(|value| !value.is_empty());
        let by_docker = named("DOCKER_CONFIG").map(|folder| Path::new(folder).join("config.json"));
        let at_home = || named("HOME").map(|home| Path::new(home).join(".docker/config.json"));
        self.docker().config.clone().or(by_docker).or_else(at_home).filter(|path| path.is_absolute())
    }
}

/// Where the engine is, given the environment of whoever started us.
#[must_use]
pub fn engine_address(settings: &DockerSettings, ambient: &BTreeMap<String, String>) -> String {
    let given = settings.host.as_ref().or_else(|| ambient.get("DOCKER_HOST"));
    given.filter(|host| !host.is_empty()).cloned().unwrap_or_else(|| DEFAULT_HOST.into())
}

/// Whose rights containers have, if not ours or the image's.
pub(super) fn account(settings: &DockerSettings) -> Result<Option<Account>, String> {
    let Some(user) = settings.user.as_deref().filter(|user| *user != "image") else { return Ok(None) };
    let wrong = |why: String| format!("`user` of [executors.docker]: {why}");
    let account = account::find(user).map_err(wrong)?;
    let own = rustix::process::geteuid();
    if account.uid == own.as_raw() {
        return Ok(None);
    }
    if !own.is_root() {
        let why = "only root can give the job files to another user: start qmanager as root, or leave it out";
        return Err(wrong(why.into()));
    }
    Ok(Some(account))
}

/// What of `[executors.docker]` means nothing.
pub(super) fn problems(settings: &DockerSettings) -> Vec<String> {
    let mut problems = Vec::new();
    for pattern in settings.images_allowed.iter().flatten().filter(|pattern| fast_glob::validate(pattern).is_err()) {
        problems.push(format!("`images_allowed` of [executors.docker]: {pattern:?} is not a pattern"));
    }
    for folder in settings.binds_allowed.iter().filter(|folder| !folder.is_absolute()) {
        problems.push(format!("`binds_allowed` of [executors.docker]: {} is not absolute", folder.display()));
    }
    if settings.network.is_empty() || settings.network.starts_with("container:") {
        let network = &settings.network;
        problems.push(format!("`network` of [executors.docker]: {network:?} is not the name of a network"));
    }
    problems
}
