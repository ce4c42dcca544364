//! Configuration: built-in < `/etc/qmanager/qmanager.toml` < `~/.config/qmanager/qmanager.toml` < environment < flags.
//!
//! Each layer is checked alone, so that an error names its file and line; then they are laid over one another, value
//! by value (lists are replaced), and the sum is checked once. Nothing in here reads the process's environment: it
//! comes in as an [`Environment`].

mod environment;
mod error;
mod layers;
mod paths;
mod types;
mod validate;

pub use environment::Environment;
pub use error::Error;
pub use layers::{Loaded, Origin, Overrides};
pub use types::{Config, Db, Duration, Executors, JobFiles, Keep, Limits, Pool, Size, Times};

#[cfg(test)]
mod tests;
