//! Black-box tests of the programs. One binary: each file beside this one is a module of it.

mod elf;
mod docs;
mod examples;
mod guard;
mod harness;
mod task_executor;
