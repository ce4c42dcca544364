//! The `qworker` program.

fn main() {}
