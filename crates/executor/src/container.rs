//! How a task is run as a container: what the host's configuration decides, resolved.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::settings::{HostNamespace, Pull};

/// Where a container finds the job files.
pub const JOB_FILES: &str = "/jobfiles";

/// What the configuration says of a container; the rest of a [`crate::TaskSpec`] is the task's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The engine's address: `unix:///run/docker.sock`.
    pub host: String,
    /// When the image is pulled.
    pub pull: Pull,
    /// How long a pull may take.
    pub pull_timeout: Duration,
    /// docker's `config.json`, for the credentials of registries.
    pub credentials: Option<PathBuf>,
    /// A folder in which task executors that pull the same image wait for each other; made when it is needed.
    pub pulls: Option<PathBuf>,
    /// uid and gid of its processes; `None` = the image's own user.
    pub user: Option<(u32, u32)>,
    /// The network it is put into.
    pub network: String,
    /// Capabilities that it keeps; all others are dropped.
    pub capabilities: Vec<String>,
    /// What it shares with this host.
    #[serde(default)]
    pub host_namespaces: Vec<HostNamespace>,
    /// Everything that the host's root may do.
    pub privileged: bool,
    /// Deny gaining privileges by exec.
    pub no_new_privileges: bool,
    /// Processes and threads at once; 0 = no limit.
    pub pids: u32,
    /// A small init as its first process, which hands signals on and reaps orphans.
    pub init: bool,
    /// How the engine keeps its output until it has been read.
    pub log_driver: String,
    /// What it is found by: attempt, job, host.
    pub labels: Vec<(String, String)>,
}

/// The beginning of all labels of ours.
pub const LABEL: &str = "qmanager.";

/// The names of labels that decide what is done with a container.
pub mod label {
    /// `NAME=value` that marks the attempt; two containers of one name with different marks are not the same attempt.
    pub const MARK: &str = "qmanager.mark";
    /// The job's id.
    pub const JOB: &str = "qmanager.job";
    /// The task's index.
    pub const TASK: &str = "qmanager.task";
    /// The task's name.
    pub const NAME: &str = "qmanager.task-name";
    /// The attempt's number.
    pub const ATTEMPT: &str = "qmanager.attempt";
    /// The lease's epoch under which it was started.
    pub const EPOCH: &str = "qmanager.epoch";
    /// The process of `task-executor run` that waits for it: then no queue knows of it.
    pub const DEBUGGER: &str = "qmanager.debugger";
    /// The host whose queue has the job.
    pub const HOST: &str = "qmanager.host";
}
