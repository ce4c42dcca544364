//! `qmanager request`: what `task-executor run` asks. Not for people, so it is not shown.

use std::path::PathBuf;

use clap::Args;
use workflow_model::ExecutorKind;

use super::run::executor_kind;

/// Print the request that a worker would send for one task.
#[derive(Debug, Clone, Default, Args)]
pub struct RequestArgs {
    /// The workflow or job definition; - reads standard input
    #[arg(value_name = "FILE", required_unless_present = "job", conflicts_with = "job")]
    pub file: Option<PathBuf>,
    /// A job of the queue
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// The task
    #[arg(long, value_name = "TASK", allow_hyphen_values = true)]
    pub task: String,
    /// As this attempt
    #[arg(long, value_name = "N", requires = "job")]
    pub attempt: Option<u32>,
    /// The folder of the job files [default: the folder of FILE]
    #[arg(long, value_name = "DIR", conflicts_with = "job")]
    pub jobfiles: Option<PathBuf>,
    /// Set a variable
    #[arg(long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Where a secret's value is: NAME=env:VAR or NAME=file:PATH
    #[arg(long, value_name = "NAME=SOURCE")]
    pub secret: Vec<String>,
    /// Which executor runs the task
    #[arg(long, value_name = "E", value_parser = executor_kind)]
    pub executor: Option<ExecutorKind>,
}
