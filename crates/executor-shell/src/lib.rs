//! Runs a task as a process tree on this host.
//!
//! The process that uses [`ShellExecutor`] to start a task is a *task executor*: it runs this one task, has one thread
//! and no other children. That is what makes the promises cheap: as leader of its session and subreaper it inherits
//! whatever the task leaves behind, so "nothing is left" is one `waitpid` that answers ECHILD, and no folder of
//! processes is read unless something is left. Looking at a task and ending it from another process
//! (`describe`, `stop`) needs none of that.
//!
//! What it cannot hold: work that a task hands to a daemon (`docker run`, `at`, `systemd-run`) is no part of its tree.
//! When the task executor itself is killed, a process that has left the session *and* cleared its environment is only
//! found if the task has a cgroup of its own (`[executors.shell] cgroup`). `resources.memory` needs a memory controller
//! (v2) in the worker's cgroup: an address-space limit would be the wrong thing for many programs.
//!
//! Its futures block in `poll`: use `executor::block_on`, or a thread for blocking work.

mod cgroup;
mod clock;
mod command;
mod feed;
mod ladder;
mod lifecycle;
mod mask;
mod message;
mod outside;
mod prepare;
mod process;
mod rlimits;
mod shell;
mod spawn;

pub use shell::ShellExecutor;
