//! Durations and sizes: no text makes reading panic, and what is read is written and read again as the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use workflow_model::{format_duration, format_size, parse_duration, parse_size};

fuzz_target!(|text: &str| {
    match parse_duration(text) {
        Ok(duration) => assert_eq!(parse_duration(&format_duration(duration)), Ok(duration)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match parse_size(text) {
        Ok(size) => assert_eq!(parse_size(&format_size(size)), Ok(size)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
