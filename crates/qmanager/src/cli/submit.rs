//! `qmanager submit`.

use std::path::PathBuf;

use clap::Args;

/// Put a job into the queue and print its id. When this ends with 0, the job is durable.
#[derive(Debug, Clone, Default, Args)]
pub struct SubmitArgs {
    /// The workflow or job definition; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// A name for people [default: the definition's]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// A label
    #[arg(long, value_name = "K=V")]
    pub label: Vec<String>,
    /// Idempotency key: a second submit of the same tasks with it answers the first job
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub key: Option<String>,
    /// Of the jobs of the queue with this key, only so many run at once as `queue limit` says [default: 1]
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub limit_key: Option<String>,
    /// Higher first
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// Not before: a time (2026-01-31T08:00, 08:00) or a duration from now (2h)
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Set a variable for every task
    #[arg(long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Read variables (K=V lines) from a file
    #[arg(long, value_name = "F")]
    pub env_file: Vec<PathBuf>,
    /// Copy a file or folder into the job files
    #[arg(long = "file", value_name = "SRC[:DST]")]
    pub files: Vec<String>,
    /// Wait for the end; the exit code is the job's
    #[arg(long)]
    pub wait: bool,
    /// Wait and show what the tasks write
    #[arg(long, conflicts_with = "wait")]
    pub follow: bool,
}
