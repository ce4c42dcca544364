//! Runs one command as a task and says how it ended: `run_one [--cgroup] PROGRAM [ARGUMENT…]`.
//! For looking at what a task costs: `strace -f -c run_one sh -c true`.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    process::ExitCode,
};

use executor::{Capture, Control, Executor, Io, Shutdown, TaskSpec, block_on};
use executor_shell::ShellExecutor;

/// Nobody asks for an end: a pipe that stays open and empty.
struct Never(OwnedFd);

impl Control for Never {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn take(&self) -> Option<Shutdown> {
        None
    }
}

fn main() -> io::Result<ExitCode> {
    let mut argv: Vec<String> = std::env::args().skip(1).collect();
    let cgroup = argv.first().is_some_and(|first| first == "--cgroup");
    argv.drain(..usize::from(cgroup));
    let (reader, _writer) = io::pipe()?;
    let spec = TaskSpec {
        argv: Some(argv),
        env: std::env::vars().collect(),
        job_files: std::env::current_dir()?,
        marker: format!("QM_EXAMPLE={}", std::process::id()),
        cgroup,
        ..TaskSpec::default()
    };
    let shell = ShellExecutor::new();
    let mut out = Capture::nowhere().echo(io::stdout().as_fd().try_clone_to_owned()?);
    let mut err = Capture::nowhere().echo(io::stderr().as_fd().try_clone_to_owned()?);
    let outcome = match block_on(shell.start(&spec)) {
        Err(outcome) => outcome,
        Ok(handle) => {
            let io = Io { control: &Never(reader.into()), out: &mut out, err: &mut err };
            block_on(shell.wait(&spec, &handle, io))
        }
    };
    let mut to = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    writeln!(to, "{:?} {}; {} bytes", outcome.ending, outcome.message, out.finish(true).bytes)?;
    Ok(if outcome.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
