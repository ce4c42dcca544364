//! Flags that every verb takes.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// Flags that every verb takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the queues live: sqlite:PATH, or postgres://USER@HOST/DATABASE [default: sqlite:<state-dir>/queue.db]
    #[arg(long, global = true, value_name = "URL")]
    pub db: Option<String>,
    /// The queue [default: default]
    #[arg(long, global = true, value_name = "Q")]
    pub qname: Option<String>,
    /// Where jobs, logs and the SQLite queue are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Read this configuration instead of /etc/qmanager and ~/.config/qmanager
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON: one object, or one a line for lists and -f
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less: no notes, only data and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; -vv and -vvv more still
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Plain lines instead of live progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Go to this folder first
    #[arg(short = 'C', global = true, value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
