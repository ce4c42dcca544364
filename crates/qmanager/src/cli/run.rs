//! `qmanager run`.

use std::path::PathBuf;

use clap::Args;
use workflow_model::ExecutorKind;

/// Run one job here, in the foreground.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// The workflow or job definition; - reads standard input
    #[arg(value_name = "FILE", required_unless_present = "resume", conflicts_with = "resume")]
    pub file: Option<PathBuf>,
    /// The folder of the job files [default: the folder of FILE]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["fresh", "resume"])]
    pub jobfiles: Option<PathBuf>,
    /// Begin with an empty folder of job files
    #[arg(long, conflicts_with = "resume")]
    pub fresh: bool,
    /// Copy a file or folder into the job files first
    #[arg(long = "file", value_name = "SRC[:DST]", conflicts_with = "resume")]
    pub files: Vec<String>,
    /// Set a variable for every task
    #[arg(long, value_name = "K=V", conflicts_with = "resume")]
    pub env: Vec<String>,
    /// Read variables (K=V lines) from a file
    #[arg(long, value_name = "F", conflicts_with = "resume")]
    pub env_file: Vec<PathBuf>,
    /// Pass on variables of this shell whose names match
    #[arg(long, value_name = "GLOB", conflicts_with = "resume")]
    pub pass_env: Vec<String>,
    /// Where a secret's value is: NAME=env:VAR or NAME=file:PATH
    #[arg(long, value_name = "NAME=SOURCE", conflicts_with = "resume")]
    pub secret: Vec<String>,
    /// Which executor runs the tasks [default: shell]
    #[arg(long, value_name = "E", value_parser = executor_kind)]
    pub executor: Option<ExecutorKind>,
    /// How many tasks run at once [default: CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: Option<u32>,
    /// Run only this task; those before it count as done
    #[arg(long, value_name = "TASK", allow_hyphen_values = true, conflicts_with = "resume")]
    pub only: Vec<String>,
    /// Run this task and all that follow from it; those before it count as done
    #[arg(long, value_name = "TASK", allow_hyphen_values = true, conflicts_with_all = ["only", "resume"])]
    pub from: Vec<String>,
    /// Go on with a job that was interrupted [default: @last]
    #[arg(long, value_name = "JOB", num_args = 0..=1, default_missing_value = "@last")]
    pub resume: Option<String>,
    /// Cancel the job at the first task that fails
    #[arg(long, conflicts_with = "resume")]
    pub fail_fast: bool,
    /// Copy job files out after the end
    #[arg(long, value_name = "GLOB:DIR")]
    pub get: Vec<String>,
}

/// Parses an executor's name.
pub(super) fn executor_kind(text: &str) -> Result<ExecutorKind, String> {
    text.parse().map_err(|_| format!("{text:?} is none of shell, docker, kube, api"))
}
