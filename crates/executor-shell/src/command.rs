//! From a [`TaskSpec`] to a running process.
//!
//! This process changes *itself* (folder, limits, privileges) and names the program by its absolute path: only so does
//! std start it by `posix_spawn`, that is vfork, under static glibc. `run_as` is the exception: taken on ourselves it
//! would take away our own files, so std sets it between fork and exec.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use executor::{Birth, Outcome, TaskSpec, beneath};
use rustix::{
    fs::{Access, access},
    process::{Pid, PidfdFlags, pidfd_open},
};

use crate::{cgroup::Cgroup, clock::now, feed::Feed, mask, message, rlimits::Lent};

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
    let mut command = command(&program, argv, spec, stdin);
    let mut cgroup = if spec.cgroup { Cgroup::make(spec.resources.memory) } else { None };
    let inside = cgroup.as_ref().map(|cgroup| cgroup.launch_in(|| spawn(&mut command, spec)));
    let spawned = match inside {
        Some(Ok(spawned)) => spawned,
        // No cgroup, or we may not go in there: the task runs without.
        None | Some(Err(_)) => {
            if let Some(unused) = cgroup.take() {
                unused.remove();
            }
            spawn(&mut command, spec)
        }
    };
    let launched = spawned.and_then(|child| took(child, feed));
    // The pipes' other ends are the child's alone from here on.
    drop(command);
    match launched {
        Ok(launched) => Ok(Launched { cgroup, ..launched }),
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

#[expect(clippy::disallowed_methods, reason = "the module that starts tasks")]
fn command(program: &Path, argv: &[String], spec: &TaskSpec, stdin: Stdio) -> Command {
    let mut command = Command::new(program);
    command.arg0(&argv[0]).args(&argv[1..]).env_clear();
    command.envs(spec.env.iter().map(|(name, value)| (name, value)));
    if let Some((name, value)) = spec.marker.split_once('=') {
        command.env(name, value);
    }
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    if let Some((uid, gid)) = spec.run_as {
        // std also drops the supplementary groups then.
        command.uid(uid).gid(gid);
    }
    command
}

/// A child of std's, and when it began if that is known.
type Spawned = (std::process::Child, Option<u64>);

/// Starts the command with the task's limits and an empty signal mask.
fn spawn(command: &mut Command, spec: &TaskSpec) -> io::Result<Spawned> {
    let lent = crate::rlimits::lend(&spec.rlimits).map_err(io::Error::other)?;
    let mut pause = Duration::from_millis(1);
    let mut tries = 0;
    let spawned = loop {
        let birth = Birth::awaited();
        match mask::lifted(|| command.spawn()).map(|child| (child, birth.start_time())) {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && tries < BUSY_TRIES => {
                tries += 1;
                // Nothing tells when a writer closes its file.
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => break other,
        }
    };
    let pid = spawned.as_ref().ok().and_then(|(child, _)| i32::try_from(child.id()).ok()).and_then(Pid::from_raw);
    Lent::take_back(lent, pid);
    spawned
}

/// Takes a child out of std's hands.
fn took((mut child, start_time): Spawned, feed: Option<Feed>) -> io::Result<Launched> {
    let since = now();
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("BUG: both streams are piped"));
    };
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let number = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    let pidfd = match pidfd_open(number, PidfdFlags::empty()) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            // Without it the end would be missed: rather no task than one that is not watched.
            child.kill().ok();
            child.wait().ok();
            return Err(error.into());
        }
    };
    Ok(Launched { pid, start_time, pidfd, out: out.into(), err: err.into(), feed, cgroup: None, since })
}
