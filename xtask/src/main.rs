//! The only automation of this repository.

fn main() {}
