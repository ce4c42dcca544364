//! Verbs that change: `cancel`, `retry`, `queue`, `prune`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::look::FilterArgs;

/// Cancel jobs: by name, or all that a filter finds.
#[derive(Debug, Clone, Default, Args)]
pub struct CancelArgs {
    /// The jobs
    #[arg(value_name = "JOB", required_unless_present_any = ["label", "state", "name", "limit_key"],
          conflicts_with_all = ["label", "state", "name", "limit_key"])]
    pub jobs: Vec<String>,
    /// Start nothing any more, not even `when: always` tasks
    #[arg(long)]
    pub now: bool,
    /// All that it finds.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Yes, all that the filter finds
    #[arg(long)]
    pub yes: bool,
}

/// Run parts of an ended job again, in a new round. Prints what it will run.
#[derive(Debug, Clone, Default, Args)]
pub struct RetryArgs {
    /// The job
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Failed, cancelled and skipped tasks, and what follows from them (the default)
    #[arg(long, conflicts_with_all = ["from", "only", "all"])]
    pub failed: bool,
    /// This task and all that follow from it
    #[arg(long, value_name = "TASK", allow_hyphen_values = true, conflicts_with_all = ["only", "all"])]
    pub from: Vec<String>,
    /// This task alone
    #[arg(long, value_name = "TASK", allow_hyphen_values = true, conflicts_with = "all")]
    pub only: Vec<String>,
    /// Every task
    #[arg(long)]
    pub all: bool,
    /// With a corrected definition; unchanged tasks that succeeded stay so
    #[arg(long, value_name = "FILE")]
    pub with: Option<PathBuf>,
    /// Set a variable for every task of this round
    #[arg(long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Where a secret's value is: NAME=env:VAR or NAME=file:PATH (jobs of `run` only)
    #[arg(long, value_name = "NAME=SOURCE")]
    pub secret: Vec<String>,
    /// Only say what would run
    #[arg(long)]
    pub dry_run: bool,
}

/// Look at and steer queues.
#[derive(Debug, Clone, Args)]
pub struct QueueArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: QueueVerb,
}

/// What to do with queues.
#[derive(Debug, Clone, Subcommand)]
pub enum QueueVerb {
    /// List them
    Ls {
        /// Only this one
        #[arg(value_name = "Q")]
        queue: Option<String>,
    },
    /// Start no more jobs of a queue; those that run go on
    Pause {
        /// The queue [default: that of --qname]
        #[arg(value_name = "Q")]
        queue: Option<String>,
    },
    /// Start jobs of a queue again
    Resume {
        /// The queue [default: that of --qname]
        #[arg(value_name = "Q")]
        queue: Option<String>,
    },
    /// Limit how many jobs of a queue, or of a limit key of it, run at once, over all hosts
    Limit {
        /// How many; none = what holds without it: for the queue no limit, for a key that of all keys, for all keys 1
        #[arg(value_name = "N|none")]
        limit: String,
        /// Of the jobs with this limit key; 0 holds them
        #[arg(long, value_name = "KEY", allow_hyphen_values = true, conflicts_with = "per_key")]
        key: Option<String>,
        /// Of the jobs with any one limit key that has no limit of its own
        #[arg(long)]
        per_key: bool,
        /// The queue [default: that of --qname]
        #[arg(value_name = "Q")]
        queue: Option<String>,
    },
    /// Bring the database to this version's form
    Migrate,
}

/// Forget ended jobs, and old interrupted runs, and remove their folders. A folder of yours is never removed.
#[derive(Debug, Clone, Default, Args)]
pub struct PruneArgs {
    /// Only those that ended longer ago than this [default: the configuration's jobfiles.keep]
    #[arg(long, value_name = "D")]
    pub older_than: Option<String>,
    /// Keep the newest so many
    #[arg(long, value_name = "N")]
    pub keep: Option<u64>,
    /// Only say which
    #[arg(long)]
    pub dry_run: bool,
}
