//! JSON read the fast way, the slow way and as YAML is one workflow.

#![no_main]

#[path = "../properties/fast_and_slow.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|text: &str| property::holds(text));
