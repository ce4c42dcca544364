//! The `task-executor` program: runs one task with its executor and reports how it ended. Knows no queue.
//!
//! A worker starts it without arguments and writes the request to its standard input, a socket. That path comes first
//! and does nothing else: it is taken once per task.

use std::{ffi::OsStr, io, process::ExitCode};

use executor_shell::ShellExecutor;

const EXPLANATION: &str =
    "task-executor runs one task of a job. It is started by qworker, which writes a request to its
standard input; by hand it is of use as
  task-executor run FILE --task NAME      one task, in the foreground (run --help)
  task-executor --version
To run a workflow: qmanager run FILE.
";

fn main() -> ExitCode {
    let shell = ShellExecutor::new();
    match std::env::args_os().nth(1).as_deref().map(OsStr::as_encoded_bytes) {
        None => serve(&shell),
        Some(b"run") => task_process::debug::run(&[&shell], std::env::args_os().skip(2)),
        Some(b"--version" | b"-V") => say(io::stdout(), concat!("task-executor ", env!("CARGO_PKG_VERSION"), "\n"), 0),
        Some(b"--help" | b"-h") => say(io::stdout(), EXPLANATION, 0),
        Some(_) => say(io::stderr(), EXPLANATION, task_process::exit::EXPLAINED),
    }
}

fn serve(shell: &ShellExecutor) -> ExitCode {
    executor::inherited::close_descriptors();
    // While it waits for its task; what fails here fails again at the start, and is reported there.
    shell.prepare().ok();
    let forked = || drop(shell.prepare());
    task_process::run(&[shell], forked).unwrap_or_else(|| say(io::stderr(), EXPLANATION, task_process::exit::EXPLAINED))
}

fn say(mut to: impl io::Write, text: &str, code: u8) -> ExitCode {
    // A closed pipe is no failure of ours.
    to.write_all(text.as_bytes()).ok();
    ExitCode::from(code)
}
