//! What a person reads when a task did not succeed: what happened to which program, and what to do.

use std::{io, path::Path};

pub(crate) use executor::message::{invalid, lost, out_of_memory, stopped, timed_out};
use executor::{Ending, Outcome, TaskSpec, message::signal_name};

use crate::command::search_path;

/// The system's words for an error, without Rust's.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_lowercase()
}

pub(crate) fn no_job_files(spec: &TaskSpec, error: &io::Error) -> Outcome {
    let folder = spec.job_files.display();
    lost(format!(
        "the job files {folder} cannot be entered: {}; was the folder removed or made unreadable?",
        words(error)
    ))
}

pub(crate) fn not_found(name: &str, path: &str) -> Outcome {
    let text = format!(
        "command not found: {name:?} is in no folder of PATH={path:?}; install it, write its path, or set PATH in `env`"
    );
    Outcome::new(Ending::StartFailed { code: 127 }, text)
}

pub(crate) fn not_executable(name: &str, file: &Path) -> Outcome {
    let text = format!("cannot run {name:?}: {} is not executable (`chmod +x` it)", file.display());
    Outcome::new(Ending::StartFailed { code: 126 }, text)
}

/// Why the kernel would not start a program.
pub(crate) fn launch_failed(error: &io::Error, name: &str, program: &Path, spec: &TaskSpec) -> Outcome {
    use io::ErrorKind as K;
    let cannot = |code, why: &str| Outcome::new(Ending::StartFailed { code }, format!("cannot run {name:?}: {why}"));
    if spec.run_as.is_some() && error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) {
        return invalid(format!("cannot run {name:?} as another user (`run_as`): only root may do that"));
    }
    match error.kind() {
        K::NotFound if program.exists() => {
            cannot(126, "the file is there, but the interpreter that its first line (or its ELF header) names is not")
        }
        K::NotFound => cannot(127, "there is no such file; relative paths begin at the task's working directory"),
        K::NotADirectory => cannot(127, "a part of its path is not a folder"),
        K::PermissionDenied if program.is_dir() => cannot(126, "it is a folder"),
        K::PermissionDenied => {
            cannot(126, "it is not executable (`chmod +x` it), or its file system is mounted noexec")
        }
        K::ExecutableFileBusy => cannot(126, "another process still has it open for writing"),
        K::ArgumentListTooLong => invalid(format!(
            "cannot run {name:?}: arguments and environment are too large for this system ({} kB in all, 128 kB in one); \
             pass large values by `stdin` or as a job file",
            size(spec) >> 10
        )),
        K::InvalidInput => invalid(format!("cannot run {name:?}: an argument or variable has a NUL character")),
        _ => match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NOEXEC) => {
                cannot(126, "it is no program: a script needs `#!/bin/sh` or the like as its first line")
            }
            Some(rustix::io::Errno::LOOP) => cannot(126, "its links lead in circles"),
            Some(rustix::io::Errno::NAMETOOLONG) => cannot(127, "its name is too long"),
            _ => lost(format!("cannot start {name:?}: {}", words(error))),
        },
    }
}

fn size(spec: &TaskSpec) -> usize {
    let arguments = spec.argv.iter().flatten().map(|argument| argument.len() + 1).sum::<usize>();
    arguments + spec.env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>()
}

/// The program ended by itself.
pub(crate) fn exited(code: i32, spec: &TaskSpec) -> Outcome {
    let text = match code {
        0 => String::new(),
        126 => "exit code 126: a command was found but cannot be executed (see its last lines)".into(),
        127 => format!("exit code 127: a command was not found (see its last lines); PATH was {:?}", search_path(spec)),
        129..=192 => match signal_name(code - 128) {
            Some(name) => {
                format!("exit code {code}: a command in it was ended by {name} ({code} = 128 + {})", code - 128)
            }
            None => format!("exit code {code}"),
        },
        _ => format!("exit code {code}"),
    };
    Outcome::new(Ending::Exited { code }, text)
}

/// The program was ended by a signal that is not ours.
pub(crate) fn signaled(signal: i32) -> Outcome {
    let name = signal_name(signal).unwrap_or("a real-time signal");
    let hint = match signal {
        9 => "; if nobody sent it, the kernel did for want of memory (see `dmesg`)",
        6 => " (abort)",
        7 | 11 => " (it crashed)",
        24 => " (its CPU limit)",
        25 => " (its file size limit)",
        31 => " (a system call that is not allowed here)",
        _ => "",
    };
    Outcome::new(Ending::Signaled { signal }, format!("ended by {name} (signal {signal}){hint}"))
}
