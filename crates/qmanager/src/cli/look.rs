//! Verbs that look: `list`, `status`, `logs`, `explain`, `graph`, `wait`.

use clap::Args;

/// Which jobs are meant: all conditions must hold.
#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// With this name
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// With this limit key
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub limit_key: Option<String>,
    /// With this label; several must all hold
    #[arg(long, value_name = "K=V")]
    pub label: Vec<String>,
    /// In this state; several: in one of them
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub state: Vec<String>,
}

/// List jobs, newest first.
#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// Which jobs.
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Only mine
    #[arg(long)]
    pub mine: bool,
    /// At most so many; 0 = all [default: 50]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// Show a job, or this host: its workers, and what runs where.
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// The job [default: this host]
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// Follow until the job has ended
    #[arg(short, long, requires = "job")]
    pub follow: bool,
    /// Every task, not only those that matter
    #[arg(long)]
    pub tasks: bool,
    /// Where tasks run: host, process, since
    #[arg(long = "where")]
    pub r#where: bool,
}

/// Show what tasks wrote.
#[derive(Debug, Clone, Default, Args)]
pub struct LogsArgs {
    /// The job
    #[arg(value_name = "JOB")]
    pub job: String,
    /// Only these tasks
    #[arg(value_name = "TASK")]
    pub task: Vec<String>,
    /// Follow until the job has ended
    #[arg(short, long)]
    pub follow: bool,
    /// Only tasks whose name matches
    #[arg(long = "match", value_name = "GLOB", allow_hyphen_values = true)]
    pub r#match: Vec<String>,
    /// Only tasks in this state
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub state: Vec<String>,
    /// This attempt, or all [default: the newest]
    #[arg(long, value_name = "N|all")]
    pub attempt: Option<String>,
    /// Only standard error
    #[arg(long, conflicts_with = "out")]
    pub err: bool,
    /// Only standard output
    #[arg(long)]
    pub out: bool,
    /// Only the last N lines of each
    #[arg(long, value_name = "N")]
    pub tail: Option<usize>,
    /// No `name|` before each line
    #[arg(long)]
    pub no_prefix: bool,
}

/// Say why a job or task waits, was skipped, failed or ran again, and what would help.
#[derive(Debug, Clone, Default, Args)]
pub struct ExplainArgs {
    /// The job
    #[arg(value_name = "JOB")]
    pub job: String,
    /// The task
    #[arg(value_name = "TASK")]
    pub task: Option<String>,
}

/// Draw a workflow.
#[derive(Debug, Clone, Default, Args)]
pub struct GraphArgs {
    /// A workflow file (- = standard input) or a job
    #[arg(value_name = "FILE|JOB")]
    pub what: String,
    /// As Mermaid
    #[arg(long, conflicts_with_all = ["dot", "svg"])]
    pub mermaid: bool,
    /// As Graphviz DOT
    #[arg(long, conflicts_with = "svg")]
    pub dot: bool,
    /// As SVG
    #[arg(long)]
    pub svg: bool,
    /// Mark the critical path
    #[arg(long)]
    pub critical_path: bool,
}

/// Wait until jobs have ended; the exit code is that of the worst.
#[derive(Debug, Clone, Default, Args)]
pub struct WaitArgs {
    /// The jobs
    #[arg(value_name = "JOB", required = true)]
    pub jobs: Vec<String>,
    /// Give up after this long (exit code 7)
    #[arg(long, value_name = "D")]
    pub timeout: Option<String>,
    /// Copy job files out after the end
    #[arg(long, value_name = "GLOB:DIR")]
    pub get: Vec<String>,
}
