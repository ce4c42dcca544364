//! QManager, QWorker, the verbs of the command line, configuration.

pub mod cli;
pub mod config;
pub mod exit;
pub mod output;
pub mod select;
pub mod telemetry;
pub mod text;
