//! Verbs that check and print: `check`, `doctor`, `config`, `schema`, `completions`, `man`.

use std::path::PathBuf;

use clap::Args;
use workflow_model::ExecutorKind;

use super::run::executor_kind;

/// Check a workflow without running it.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    /// The workflow or job definition; - reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also what this executor needs
    #[arg(long, value_name = "E", value_parser = executor_kind)]
    pub executor: Option<ExecutorKind>,
    /// Warnings are errors
    #[arg(long)]
    pub strict: bool,
}

/// Check this host: queue, folders, executors, limits.
#[derive(Debug, Clone, Default, Args)]
pub struct DoctorArgs {
    /// Check this executor [default: shell]
    #[arg(long, value_name = "E", value_parser = executor_kind)]
    pub executor: Option<ExecutorKind>,
}

/// Show the configuration in force.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigArgs {
    /// Where each value comes from
    #[arg(long)]
    pub origin: bool,
}

/// Print the JSON Schema of workflow files.
#[derive(Debug, Clone, Default, Args)]
pub struct SchemaArgs {
    /// Of job definitions (a mapping) instead of workflows (a list)
    #[arg(long)]
    pub job: bool,
}

/// Print completions for a shell.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// Print manual pages.
#[derive(Debug, Clone, Default, Args)]
pub struct ManArgs {
    /// Of this verb [default: of qmanager]
    #[arg(value_name = "VERB")]
    pub verb: Option<String>,
    /// Write all of them into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    pub out: Option<PathBuf>,
}
