//! Black-box tests of the programs. One binary: each file beside this one is a module of it.

mod aftermath;
mod boundary;
mod cli;
mod clocks;
mod control;
mod crash;
mod daemon;
mod disk;
mod docker;
mod docs;
mod elf;
#[path = "../engine.rs"]
mod engine;
mod engine_use;
mod examples;
mod failover;
mod files;
mod foreground;
mod guard;
mod harness;
mod hosts;
mod invalid;
mod keys;
mod limits;
mod names;
mod namespaces;
mod program;
#[path = "../registry.rs"]
mod registry;
mod resources;
mod scale;
#[path = "../script.rs"]
mod script;
mod signals;
mod stable;
mod stopping;
mod task_executor;
mod template;
mod upgrade;
mod warm;
mod witness;
