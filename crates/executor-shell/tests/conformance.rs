//! The shell executor under the suite that every executor runs.

fn main() {}
