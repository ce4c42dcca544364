//! A task definition: orchestration (when, how often, how long) and `params`, what an executor needs.
//!
//! A [`Task`] does not know its dependencies: they are edges of the [`Workflow`](crate::Workflow).

use std::time::Duration;

use crate::{TaskName, status::text_enum};

/// One task of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Unique within the workflow, byte for byte.
    pub name: TaskName,
    /// What its ancestors must have done for it to start.
    pub when: When,
    /// What happens when an attempt fails.
    pub retry: Retry,
    /// Ends an attempt that runs longer, from launch.
    pub timeout: Option<Duration>,
    /// Its failure counts as success for its descendants and for the job.
    pub allow_failure: bool,
    /// Tasks of one group fold to one row for people.
    pub group: Option<Box<str>>,
    /// For people; not part of any hash.
    pub description: Option<Box<str>>,
    /// What to run; `None` = a join: no process, succeeds.
    pub params: Option<Box<Params>>,
}

impl Task {
    /// A join of this name, with defaults for all the rest.
    #[must_use]
    pub fn new(name: TaskName) -> Self {
        Self {
            name,
            when: When::default(),
            retry: Retry::default(),
            timeout: None,
            allow_failure: false,
            group: None,
            description: None,
            params: None,
        }
    }
}

text_enum! {
    /// What a task's ancestors must have done for it to start; see the table of design §4.
    #[derive(Default)]
    When, "when" {
        /// None of them failed.
        #[default]
        Success = "success",
        /// At least one failed.
        Failure = "failure",
        /// In any case, once they are terminal.
        Always = "always",
    }
}

/// What happens when an attempt fails for a reason that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retry {
    /// Retries after the first attempt.
    pub max: u32,
    /// Before the first retry; doubles with each, to at most 1 h.
    pub backoff: Duration,
}

impl Retry {
    /// The backoff that holds where none is written.
    pub const DEFAULT_BACKOFF: Duration = Duration::from_secs(1);
}

impl Default for Retry {
    fn default() -> Self {
        Self { max: 0, backoff: Self::DEFAULT_BACKOFF }
    }
}

/// What an executor needs. Nothing in here is ever expanded or substituted. A job may have a million of them: texts and
/// lists that never grow are kept without room for it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// What to run; `None` = the image's default (an error under shell).
    pub command: Option<Command>,
    /// The shell that runs a [`Command::Line`], as an argv that takes the line as its last argument; `None` = [`Params::SHELL`].
    pub shell: Option<Box<[String]>>,
    /// The container image (docker, kube).
    pub image: Option<Box<str>>,
    /// Environment, in the order of the file; names are unique.
    pub env: Box<[(String, EnvValue)]>,
    /// Standard input; `None` = `/dev/null`.
    pub stdin: Option<Input>,
    /// Publish standard output as this job file on success. Relative, without `..`.
    pub stdout: Option<Box<str>>,
    /// Folders the task finds at a given place.
    pub volumes: Box<[Volume]>,
    /// The working directory. Relative to the job files, without `..`; `None` = the job files.
    pub workdir: Option<Box<str>>,
    /// What it may use.
    pub resources: Resources,
    /// What the api executor sends; `None` if none of its keys is written.
    pub request: Option<Box<Request>>,
}

impl Params {
    /// The shell that runs a command line where the task names none: a failing line fails the task.
    pub const SHELL: [&'static str; 2] = ["/bin/sh", "-ec"];

    /// The whole argv: the list as written, or the shell with the line as its last argument; `None` = the image's default.
    #[must_use]
    pub fn argv(&self) -> Option<Vec<String>> {
        match self.command.as_ref()? {
            Command::Argv(argv) => Some(argv.clone()),
            Command::Line(line) => {
                let shell = match &self.shell {
                    Some(shell) => shell.to_vec(),
                    None => Self::SHELL.map(str::to_owned).to_vec(),
                };
                Some(shell.into_iter().chain([line.clone()]).collect())
            }
        }
    }
}

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// A text for the shell.
    Line(String),
    /// The program and its arguments; no shell. Never empty.
    Argv(Vec<String>),
}

/// The value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EnvValue {
    /// The text as written in the file.
    Text(String),
    /// The name of a secret, resolved at launch.
    Secret(String),
}

/// What a task reads on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// This text.
    Text(String),
    /// A job file. Relative, without `..`.
    File(String),
    /// The name of a secret, resolved at launch.
    Secret(String),
}

/// `SRC:DST[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Volume {
    /// Where it comes from.
    pub source: VolumeSource,
    /// Where the task finds it: absolute, without `..`.
    pub target: String,
    /// Whether it may only be read.
    pub read_only: bool,
}

/// Where a volume comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum VolumeSource {
    /// A name that the host's configuration maps.
    Name(String),
    /// An absolute path that the host's allow-list must permit.
    Path(String),
}

/// What a task may use.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resources {
    /// CPUs, over 0.
    pub cpus: Option<f64>,
    /// Memory in bytes.
    pub memory: Option<u64>,
}

/// What the api executor sends.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// A URL, or (without `://`) a configured name.
    pub endpoint: Option<String>,
    /// The HTTP method, upper case.
    pub method: Option<String>,
    /// Headers, in the order of the file; names are unique without regard to case.
    pub headers: Vec<(String, EnvValue)>,
    /// The body of the task's request.
    pub body: Option<serde_json::Value>,
}
