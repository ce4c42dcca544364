//! What the pass with places made of a YAML file is what serde_yaml alone sees in it.

#![no_main]

#[path = "../properties/two_passes.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|text: &str| property::holds(text));
