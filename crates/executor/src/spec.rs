//! What an executor is told about a task: everything is resolved, nothing refers to a configuration.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Container;

/// Between TERM and KILL, unless `[tasks] grace` says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(10);

/// Bytes kept of each stream, unless `[tasks] log_limit` says otherwise.
pub const DEFAULT_LOG_LIMIT: u64 = 64 << 20;

/// One task, ready to run.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The whole argv; `None` = the image's default (an error under shell).
    pub argv: Option<Vec<String>>,
    /// The container image.
    pub image: Option<String>,
    /// The whole environment, in order, later ones win; secrets resolved.
    pub env: Vec<(String, String)>,
    /// Standard input.
    pub stdin: Stdin,
    /// Publish standard output as this job file on success (relative, checked).
    pub stdout: Option<String>,
    /// Mounted or promised folders.
    pub volumes: Vec<Volume>,
    /// The folder of the job files on this host.
    pub job_files: PathBuf,
    /// The working directory relative to the job files (checked; empty = the job files).
    pub workdir: String,
    /// What it may use.
    pub resources: Resources,
    /// Ends the attempt when it runs longer.
    pub timeout: Option<Duration>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Bytes kept of each of stdout and stderr.
    pub log_limit: u64,
    /// Values never to be shown in a log or message.
    pub redact: Vec<String>,
    /// Run as this uid and gid (shell, as root).
    pub run_as: Option<(u32, u32)>,
    /// Resource limits set on the task: name as in `setrlimit` without `RLIMIT_`, lower case; value.
    pub rlimits: Vec<(String, u64)>,
    /// Deny gaining privileges by exec.
    pub no_new_privs: bool,
    /// `NAME=value` that marks all processes of this attempt.
    pub marker: String,
    /// Put the task in a cgroup of its own, where this process may make one (shell).
    #[serde(default)]
    pub cgroup: bool,
    /// How it is run as a container (docker).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Box<Container>>,
}

impl Default for TaskSpec {
    /// A task without a command, in the folder `/`, without limits but the default ones: to be filled in.
    fn default() -> Self {
        Self {
            argv: None,
            image: None,
            env: Vec::new(),
            stdin: Stdin::Null,
            stdout: None,
            volumes: Vec::new(),
            job_files: PathBuf::from("/"),
            workdir: String::new(),
            resources: Resources::default(),
            timeout: None,
            grace: DEFAULT_GRACE,
            log_limit: DEFAULT_LOG_LIMIT,
            redact: Vec::new(),
            run_as: None,
            rlimits: Vec::new(),
            no_new_privs: false,
            marker: String::new(),
            cgroup: false,
            container: None,
        }
    }
}

impl std::fmt::Debug for TaskSpec {
    // By hand: environment, stdin and secrets must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskSpec").field("image", &self.image).field("marker", &self.marker).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stdin {
    // By hand: the text may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::File(path) => write!(f, "File({path:?})"),
        }
    }
}

/// A task's standard input.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// These bytes, then the end.
    Text(String),
    /// A job file (relative, checked).
    File(String),
}

/// A folder that the task finds at `dst`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The configured name, if it has one (`QM_VOLUME_<NAME>`).
    pub name: Option<String>,
    /// The folder on this host, or the claim.
    pub src: String,
    /// Where the task finds it.
    pub dst: PathBuf,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// What a task may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs; rounded up it is the number of slots the task takes.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<u64>,
}
