//! Durations and sizes: no text makes reading panic, and what is read is written and read again as the same.
//!
//! Called by the fuzz target of this name, and by `tests/replay.rs` with every input that is kept.

use workflow_model::{format_duration, format_size, parse_duration, parse_size};

/// Panics where it does not hold.
pub(crate) fn holds(text: &str) {
    match parse_duration(text) {
        Ok(duration) => assert_eq!(parse_duration(&format_duration(duration)), Ok(duration)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match parse_size(text) {
        Ok(size) => assert_eq!(parse_size(&format_size(size)), Ok(size)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
