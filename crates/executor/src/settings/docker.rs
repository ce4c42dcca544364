//! `[executors.docker]`: what containers of tasks may be. Only a host's configuration says so, never a workflow.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::duration;

/// `[executors.docker]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DockerSettings {
    /// The engine's address; without it DOCKER_HOST, else `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// The image of tasks that name none; without it such tasks are refused.
    pub image: Option<String>,
    /// Patterns of the images that tasks may name (`debian:*`, `registry.internal/**`); without it every image.
    pub images_allowed: Option<Vec<String>>,
    /// Folders that `volumes` may name by their path, or folders in them; named volumes need no entry.
    pub binds_allowed: Vec<PathBuf>,
    /// Whether such a path may be, or contain, the socket of a container engine: whoever has it is root of this host.
    pub docker_socket: bool,
    /// When images are pulled.
    pub pull: Pull,
    /// How long a pull may take.
    #[serde(with = "duration")]
    pub pull_timeout: Duration,
    /// docker's configuration file, for the credentials of registries; without it `$DOCKER_CONFIG/config.json`, else
    /// `~/.docker/config.json`.
    pub config: Option<PathBuf>,
    /// Whose rights the processes have: `user`, `user:group`, numbers, or `image` for the image's own user. Without it
    /// those of whoever started qmanager.
    pub user: Option<String>,
    /// `bridge`, `none`, the name of a network, or `host`, which gives tasks this host's own network.
    pub network: String,
    /// Capabilities that containers keep; all others are dropped.
    pub cap_add: Vec<String>,
    /// What containers share with this host instead of having their own.
    pub host_namespaces: Vec<HostNamespace>,
    /// Containers may do everything that this host's root may.
    pub privileged: bool,
    /// Deny gaining privileges by exec (setuid programs, sudo).
    pub no_new_privs: bool,
    /// Processes and threads of a container at once; 0 = no limit.
    pub pids_limit: u32,
    /// A small init (the engine's `docker-init`) as first process: without it a task that handles no signals is deaf to
    /// SIGTERM, and its orphans stay zombies.
    pub init: bool,
    /// The engine's log driver. `local` keeps every byte; what others lose is missing when a task executor was killed.
    pub log_driver: String,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            host: None,
            image: None,
            images_allowed: None,
            binds_allowed: Vec::new(),
            docker_socket: false,
            pull: Pull::Missing,
            pull_timeout: Duration::from_secs(600),
            config: None,
            user: None,
            network: "bridge".into(),
            cap_add: Vec::new(),
            host_namespaces: Vec::new(),
            privileged: false,
            no_new_privs: true,
            pids_limit: 4096,
            init: true,
            log_driver: "local".into(),
        }
    }
}

/// What a container can share with its host; the network is a setting of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostNamespace {
    /// The processes of this host can be seen, and signalled by root.
    Pid,
    /// System V and POSIX shared memory, message queues.
    Ipc,
    /// The host's name.
    Uts,
    /// User ids, where the engine maps them (`userns-remap`).
    User,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// Before every task.
    Always,
    /// When the engine has it not.
    #[default]
    Missing,
    /// Never: it must be there.
    Never,
}
