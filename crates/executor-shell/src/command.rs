//! From a [`TaskSpec`] to a running process.
//!
//! This process changes *itself* (folder, limits, privileges) and names the program by its absolute path; `run_as` is the
//! exception (see [`Start`]).

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use executor::{Birth, Outcome, TaskSpec, beneath};
use rustix::{
    fs::{Access, access},
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{cgroup::Cgroup, clock::now, feed::Feed, message, rlimits::Lent, spawn::Start};

/// How often a launch is tried while another process still writes the program (F09); the first pause is 1 ms, each
/// next one twice as long.
const BUSY_TRIES: u32 = 5;

/// A task that runs.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) pid: i32,
    /// Unless it has to be looked up.
    pub(crate) start_time: Option<u64>,
    /// Readable when the task's first process has ended.
    pub(crate) pidfd: OwnedFd,
    pub(crate) out: OwnedFd,
    pub(crate) err: OwnedFd,
    pub(crate) feed: Option<Feed>,
    pub(crate) cgroup: Option<Cgroup>,
    pub(crate) since: Instant,
}

/// Launches the task.
pub(crate) fn launch(spec: &TaskSpec) -> Result<Launched, Outcome> {
    let argv = spec.argv.as_deref().unwrap_or_default();
    let Some(name) = argv.first() else {
        return Err(message::invalid("the shell executor needs a `command`: there is no image to take one from"));
    };
    enter(spec)?;
    let (stdin, feed) = Feed::open(spec).map_err(message::invalid)?;
    let program = find(name, spec)?;
    if spec.no_new_privs {
        rustix::thread::set_no_new_privs(true)
            .map_err(|error| message::lost(format!("cannot set no_new_privs: {error}")))?;
    }
    let streams = || Ok((pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?));
    let ((out, to_out), (err, to_err)) =
        streams().map_err(|error: io::Error| message::lost(format!("cannot make a pipe: {error}")))?;
    let start = Start { program: &program, argv, spec, stdin, out: to_out, err: to_err };
    let mut cgroup = if spec.cgroup { Cgroup::make(spec.resources.memory) } else { None };
    let inside = cgroup.as_ref().map(|cgroup| cgroup.launch_in(|| spawn(&start)));
    let spawned = match inside {
        Some(Ok(spawned)) => spawned,
        // No cgroup, or we may not go in there: the task runs without.
        None | Some(Err(_)) => {
            if let Some(unused) = cgroup.take() {
                unused.remove();
            }
            spawn(&start)
        }
    };
    // The pipes' other ends are the child's alone from here on.
    drop(start);
    let watched = spawned.and_then(|(pid, start_time)| Ok((pid, start_time, watch(pid)?)));
    match watched {
        Ok((pid, start_time, pidfd)) => Ok(Launched { pid, start_time, pidfd, out, err, feed, cgroup, since: now() }),
        Err(error) => {
            if let Some(cgroup) = &cgroup {
                cgroup.remove();
            }
            Err(message::launch_failed(&error, name, &program, spec))
        }
    }
}

/// Goes to the working directory; never anywhere else instead (F47).
fn enter(spec: &TaskSpec) -> Result<(), Outcome> {
    if spec.workdir.is_empty() {
        return std::env::set_current_dir(&spec.job_files).map_err(|error| message::no_job_files(spec, &error));
    }
    std::fs::metadata(&spec.job_files).map_err(|error| message::no_job_files(spec, &error))?;
    let folder = beneath::folder(&spec.job_files, &spec.workdir)
        .map_err(|why| message::invalid(format!("`workdir: {:?}` of the job files: {why}", spec.workdir)))?;
    std::env::set_current_dir(&folder)
        .map_err(|error| message::invalid(format!("`workdir: {:?}`: {}", spec.workdir, message::words(&error))))
}

/// The program's absolute path; looked up in the *task's* PATH.
fn find(name: &str, spec: &TaskSpec) -> Result<PathBuf, Outcome> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let path = search_path(spec);
    let mut found = None;
    for folder in path.split(':') {
        let candidate = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(rustix::io::Errno::ACCESS) if found.is_none() && candidate.is_file() => found = Some(candidate),
            _ => {}
        }
    }
    Err(match found {
        Some(file) => message::not_executable(name, &file),
        None => message::not_found(name, path),
    })
}

/// The PATH in which the task's programs are looked up.
pub(crate) fn search_path(spec: &TaskSpec) -> &str {
    spec.env.iter().rev().find(|(name, _)| name == "PATH").map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value)
}

/// Starts the task with its limits, and says when it began if that is known.
fn spawn(start: &Start<'_>) -> io::Result<(i32, Option<u64>)> {
    let lent = crate::rlimits::lend(&start.spec.rlimits).map_err(io::Error::other)?;
    let mut pause = Duration::from_millis(1);
    let mut tries = 0;
    let spawned = loop {
        let birth = Birth::awaited();
        match start.spawn().map(|pid| (pid, birth.start_time())) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                // Nothing tells when a writer closes its file.
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => break other,
        }
    };
    Lent::take_back(lent, spawned.as_ref().ok().and_then(|(pid, _)| Pid::from_raw(*pid)));
    spawned
}

/// Takes hold of a child.
fn watch(pid: i32) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| {
        // Without it the end would be missed: rather no task than one that is not watched.
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).ok();
        error.into()
    })
}
