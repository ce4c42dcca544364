//! Durations and sizes: no text makes reading panic, and what is read is written and read again as the same.

#![no_main]

#[path = "../properties/units.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|text: &str| property::holds(text));
