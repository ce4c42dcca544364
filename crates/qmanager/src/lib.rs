//! QManager, QWorker, the verbs of the command line, configuration.

pub mod cli;
pub mod config;
pub mod exit;
pub mod layout;
pub mod output;
pub mod select;
pub mod settings;
pub mod telemetry;
pub mod text;
