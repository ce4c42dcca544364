//! QManager, QWorker, the verbs of the command line, configuration.

pub mod cli;
mod commands;
pub mod config;
mod cut;
pub mod exit;
pub mod foreground;
pub mod graph;
pub mod layout;
mod link;
pub mod manager;
mod memory;
pub mod output;
pub mod progress;
pub mod select;
pub mod settings;
mod spec;
mod store;
pub mod telemetry;
pub mod text;
mod unchecked;
pub mod worker;

pub use commands::main;
