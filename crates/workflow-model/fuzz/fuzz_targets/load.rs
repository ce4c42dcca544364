//! No bytes make loading or showing panic, and what is accepted survives the way to the queue and back.

#![no_main]

#[path = "../properties/load.rs"]
mod property;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| property::holds(bytes));
