//! The `task-executor` program.

fn main() {}
