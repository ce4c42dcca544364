//! A person in the place of a task: the same folder, environment, limits and user, with the terminal.

use std::{os::unix::process::ExitStatusExt, process::Stdio};

use executor::{Outcome, TaskSpec};
use nix::sys::signal::Signal;

use crate::{
    command::{Streams, enter, prepare_command, spawn},
    mask, message,
};

/// Runs the specification's argv (a shell, say) on this process's own standard streams, in its session and group, and
/// waits: no capture, no timeout, and nothing is ended that it leaves behind. Answers the exit code, 128 + n after a
/// signal.
///
/// # Errors
/// The outcome of a task that could not be launched.
pub fn interactive(spec: &TaskSpec) -> Result<i32, Outcome> {
    // The terminal sends these to the whole group; they are meant for the program.
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        mask::handle(signal).map_err(message::lost)?;
    }
    enter(spec)?;
    let streams = Streams { stdin: Stdio::inherit(), piped: false };
    let (name, program, mut command) = prepare_command(spec, streams)?;
    let failed = |error| message::launch_failed(&error, name, &program, spec).redacted(&spec.redact);
    let status = spawn(&mut command, spec).and_then(|mut child| child.wait()).map_err(failed)?;
    Ok(status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255))
}
