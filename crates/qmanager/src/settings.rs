//! What the command line adds to a job: stored beside the definition, read by the worker.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use workflow_model::{EnvValue, TaskIx};

/// Opaque to the queue; a field that is added later has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// The job definition's `env`: beaten by a task's own.
    pub env: Vec<(String, EnvValue)>,
    /// `--env` and `--env-file`: beat what the file says.
    pub env_override: Vec<(String, String)>,
    /// `run --secret NAME=env:VAR|file:PATH`: name to source, beside the configuration's.
    pub secrets: BTreeMap<String, String>,
    /// Ends the whole job when it runs longer.
    pub timeout: Option<Duration>,
    /// A folder of the user's that is the job files (`run FILE`); `None` = `<state-dir>/jobs/<job>/files`.
    pub job_files: Option<PathBuf>,
    /// Only these tasks run, the others are skipped (`--only`, `--from`); `None` = all.
    pub selection: Option<Vec<TaskIx>>,
    /// The first failure cancels what is left.
    pub fail_fast: bool,
    /// A foreground `run`: `retry` runs in the foreground too.
    pub foreground: bool,
    /// Where the definition was read from, for messages.
    pub source: Option<String>,
}
