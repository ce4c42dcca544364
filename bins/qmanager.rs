//! The `qmanager` program.

fn main() {}
