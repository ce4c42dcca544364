//! What may be typed: clap structs only, texts as typed. `commands` resolves them.
//!
//! The help, the manual pages, the completions and `docs/cli-reference.md` are made from these structs.
#![expect(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments on arguments are the help texts, as people read them: `[default: x]` and `<file>` are no markup"
)]

mod change;
mod check;
mod daemon;
mod files;
mod global;
mod look;
mod reference;
mod request;
mod run;
mod submit;

use clap::{CommandFactory, Parser, Subcommand};

pub use change::{CancelArgs, PruneArgs, QueueArgs, QueueVerb, RetryArgs};
pub use check::{CheckArgs, CompletionsArgs, ConfigArgs, DoctorArgs, ManArgs, SchemaArgs};
pub use daemon::{StartArgs, StopArgs};
pub use files::{FilesArgs, FilesVerb};
pub use global::{ColorWhen, Global};
pub use look::{ExplainArgs, FilterArgs, GraphArgs, ListArgs, LogsArgs, StatusArgs, WaitArgs};
pub use reference::reference;
pub use request::RequestArgs;
pub use run::RunArgs;
pub use submit::SubmitArgs;

/// A job queue whose jobs are graphs of tasks.
#[derive(Debug, Parser)]
#[command(
    name = "qmanager",
    version,
    about,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "JOB  = its id, the last 8 characters of it, @last, @last:NAME or @key:KEY\n\
                  TASK = its exact name, else #INDEX; write -- before a name that begins with a dash"
)]
pub struct Cli {
    /// Flags that every verb takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs. clap makes the arguments of the one that was typed.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub enum Verb {
    /// Run one job here, in the foreground: no daemon, own SQLite queue
    Run(Box<RunArgs>),
    /// Put a job into the queue and print its id
    Submit(Box<SubmitArgs>),
    /// Start this host's daemon
    Start(StartArgs),
    /// Stop this host's daemon
    Stop(StopArgs),
    /// List jobs, newest first
    List(ListArgs),
    /// Show a job, or this host
    Status(StatusArgs),
    /// Show what tasks wrote
    Logs(LogsArgs),
    /// Say why a job or task waits, was skipped, failed or ran again
    Explain(ExplainArgs),
    /// Draw a workflow
    Graph(GraphArgs),
    /// Wait until jobs have ended
    Wait(WaitArgs),
    /// Look at and change the files of a job
    Files(FilesArgs),
    /// Cancel jobs
    Cancel(CancelArgs),
    /// Run parts of an ended job again
    Retry(RetryArgs),
    /// Look at and steer queues
    Queue(QueueArgs),
    /// Forget ended jobs and remove their folders
    Prune(PruneArgs),
    /// Check a workflow without running it
    Check(CheckArgs),
    /// Check this host: queue, folders, executors, limits
    Doctor(DoctorArgs),
    /// Show the configuration in force
    Config(ConfigArgs),
    /// Print the JSON Schema of workflow files
    Schema(SchemaArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print manual pages
    Man(ManArgs),
    /// Print the request that a worker would send for one task
    #[command(hide = true)]
    Request(Box<RequestArgs>),
}

impl Cli {
    /// The command as clap knows it.
    #[must_use]
    pub fn command() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

#[cfg(test)]
mod tests;
