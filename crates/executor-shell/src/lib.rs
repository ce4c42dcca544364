//! Runs a task as a process tree on this host.
