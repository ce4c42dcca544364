//! Running the one task, or a shell in its place.

use std::{
    io,
    os::{fd::AsFd, unix::process::CommandExt},
    process::Command,
};

use executor::{Capture, Ending, Executor, Io, Outcome, label};
use rustix::{fs::Mode, process::umask};
use workflow_model::ExecutorKind;

use crate::{
    TaskRequest,
    control::Requests,
    identity,
    run::{make_tmp, unpublished},
};

/// How the task ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: u8,
    pub(super) outcome: Outcome,
}

/// Makes the attempt ours: the job itself may come to an attempt of this number meanwhile, and must not take ours for it.
/// A container of ours is removed by the next sweep if this process is killed.
pub(super) fn set_apart(request: &mut TaskRequest) {
    let spec = &mut request.spec;
    spec.marker = format!("{}/debug-{}", spec.marker, std::process::id());
    if let Some(container) = &mut spec.container {
        container.labels.push((label::HOST.into(), identity::host_id()));
        container.labels.push((label::DEBUGGER.into(), identity::badge()));
    }
}

pub(super) fn run(executor: &dyn Executor, mut request: TaskRequest) -> Result<Ended, String> {
    executor.check(&request.spec).map_err(|problems| format!("error: {}", problems.join("; ")))?;
    // A session of its own, as under a worker; Ctrl-C comes to us, and stops the task with grace.
    let control = Requests::new(None).map_err(|e| format!("error: cannot take signals: {e}"))?;
    make_tmp(&mut request).map_err(|e| format!("error: cannot make {}: {e}", request.paths.tmp.display()))?;
    let spec = &request.spec;
    if let Some(theirs) = request.umask {
        umask(Mode::from_bits_truncate(theirs & 0o777));
    }
    let outcome = match executor::drive(executor, executor.start(spec)) {
        Err(outcome) => outcome,
        Ok(handle) => {
            let fail = |e: io::Error| format!("error: {e}");
            let mut out =
                Capture::nowhere().redact(&spec.redact).echo(io::stdout().as_fd().try_clone_to_owned().map_err(fail)?);
            if let Some(relative) = &spec.stdout {
                out = out.publish(spec.job_files.clone(), relative).publish_as(request.umask, spec.run_as);
            }
            let mut err =
                Capture::nowhere().redact(&spec.redact).echo(io::stderr().as_fd().try_clone_to_owned().map_err(fail)?);
            let io = Io { control: &control, out: &mut out, err: &mut err };
            let outcome = executor::drive(executor, executor.wait(spec, &handle, io));
            executor::drive(executor, executor.tidy(&handle));
            let out = out.finish(outcome.is_success());
            drop(err.finish(outcome.is_success()));
            match out.publish_problem {
                Some(problem) if outcome.is_success() => unpublished(&request.name, &problem),
                _ => outcome,
            }
        }
    };
    crate::reports::remove_tmp(&request.paths.tmp).ok();
    let signal = control.signal().and_then(|signal| u8::try_from(signal).ok());
    Ok(Ended { code: code(&outcome, signal), outcome })
}

/// Becomes a shell that sees what the task would see, or runs one where the task would be.
pub(super) fn shell(executor: &dyn Executor, request: &TaskRequest) -> Result<u8, String> {
    let spec = &request.spec;
    if request.executor != ExecutorKind::Shell {
        return executor::drive(executor, executor.shell(spec)).map_err(|why| format!("error: {why}"));
    }
    let folder = spec.job_files.join(&spec.workdir);
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    #[expect(clippy::disallowed_methods, reason = "the debugging mode becomes a shell")]
    let mut command = Command::new(&shell);
    command.env_clear().envs(spec.env.iter().map(|(name, value)| (name, value))).current_dir(folder);
    if let Some(term) = std::env::var_os("TERM") {
        command.env("TERM", term);
    }
    let error = command.exec();
    Err(format!("error: cannot start {}: {error}", shell.display()))
}

/// As docker run, env and timeout say it.
fn code(outcome: &Outcome, stopped_by: Option<u8>) -> u8 {
    match outcome.ending {
        Ending::Exited { code } => u8::try_from(code & 0xff).unwrap_or(255),
        Ending::Signaled { signal } => u8::try_from(128 + signal).unwrap_or(255),
        Ending::TimedOut => 124,
        Ending::StartFailed { code } => u8::try_from(code).unwrap_or(126),
        Ending::Stopped => 128 + stopped_by.unwrap_or(15),
        Ending::OutOfMemory => 137,
        Ending::Invalid | Ending::ImagePull { .. } | Ending::Lost => 125,
    }
}
