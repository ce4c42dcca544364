//! `qmanager start` and `qmanager stop`.

use clap::Args;
use workflow_model::ExecutorKind;

use super::run::executor_kind;

/// Start this host's daemon, in the foreground.
#[derive(Debug, Clone, Default, Args)]
pub struct StartArgs {
    /// How many jobs run at once [default: CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub workers: Option<u32>,
    /// How many tasks run at once on this host [default: CPUs]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub parallel: Option<u32>,
    /// Which executor runs the tasks of the queue
    #[arg(long, value_name = "E", value_parser = executor_kind)]
    pub executor: Option<ExecutorKind>,
    /// Go to the background; return when ready
    #[arg(short, long)]
    pub detach: bool,
    /// Allow more workers than four times the CPUs
    #[arg(long)]
    pub force: bool,
}

/// Stop this host's daemon. Without a flag: running tasks are stopped with grace, their jobs go back to the queue.
#[derive(Debug, Clone, Default, Args)]
pub struct StopArgs {
    /// Let running jobs end first
    #[arg(long, conflicts_with_all = ["handover", "now"])]
    pub drain: bool,
    /// Leave tasks running for the next daemon, for at most this long [default: 10m]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m",
          conflicts_with = "now")]
    pub handover: Option<String>,
    /// Kill running tasks at once
    #[arg(long)]
    pub now: bool,
}
