//! A task seen from another process: its executor is gone, its processes may not be.
//!
//! A number alone proves nothing (F08). A process counts as the task's when it is the recorded first process (number,
//! start time, boot), when its environment carries the attempt's marker, when it is in the task's cgroup, when it
//! descends from such a one, or when it is in the task's session or group and works in the job files.

use std::{fs, io, path::Path, time::Duration};

use executor::{Condition, ShellHandle, Shutdown};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, getpid, pidfd_open},
};

use crate::{
    cgroup::Cgroup,
    clock::now,
    ladder::{Ladder, Prey},
    process::{Process, boot_id, descendants},
};

/// How long one look at the processes' end lasts at most; new ones are found by the next.
const LOOK: Duration = Duration::from_millis(100);

/// What of a task is left.
struct Remains<'a> {
    handle: &'a ShellHandle,
    job_files: Option<&'a Path>,
    cgroup: Option<Cgroup>,
}

/// Whether something of the task runs.
pub(crate) fn describe(handle: &ShellHandle) -> Condition {
    if handle.leader.boot_id != boot_id() {
        return Condition::Gone;
    }
    // The usual cases first, without reading the whole table.
    if Process::read(handle.leader.pid).is_some_and(|process| process.is(&handle.leader) && !process.zombie)
        || handle.cgroup.as_deref().is_some_and(Cgroup::populated)
    {
        return Condition::Running;
    }
    let remains = Remains { handle, job_files: None, cgroup: None };
    if remains.processes().is_empty() { Condition::Gone } else { Condition::Running }
}

/// Ends the task; answers when nothing is left.
pub(crate) fn stop(handle: &ShellHandle, how: Shutdown, job_files: &Path) -> Result<(), String> {
    if handle.leader.boot_id != boot_id() {
        return Ok(());
    }
    let cgroup = handle.cgroup.clone().filter(|path| path.is_dir()).map(|path| Cgroup { path });
    let remains = Remains { handle, job_files: Some(job_files), cgroup };
    let mut ladder = Ladder::default();
    loop {
        let left = remains.processes();
        if left.is_empty() {
            if let Some(cgroup) = &remains.cgroup {
                cgroup.remove();
            }
            return Ok(());
        }
        if ladder.is_hopeless() {
            let names: Vec<_> = left.iter().take(5).map(|one| format!("{} ({})", one.pid, one.name())).collect();
            return Err(format!("{} processes do not end even by SIGKILL: {}", left.len(), names.join(", ")));
        }
        if ladder.is_calm() {
            ladder.ask(how, handle.grace, &remains);
        } else {
            ladder.advance(&remains);
        }
        let due = ladder.due().map_or(LOOK, |due| due.saturating_duration_since(now()).min(LOOK));
        wait_for_one(&left, due);
    }
}

impl Prey for Remains<'_> {
    fn group(&self) -> Option<Pid> {
        let leader = Process::read(self.handle.leader.pid).filter(|process| process.is(&self.handle.leader))?;
        Pid::from_raw(leader.pid)
    }

    fn processes(&self) -> Vec<Process> {
        let all = Process::all();
        let inside = self.handle.cgroup.as_deref().map(Cgroup::members).unwrap_or_default();
        let known = |process: &&Process| {
            process.is(&self.handle.leader)
                || inside.contains(&process.pid)
                || has_marker(process.pid, &self.handle.marker)
                || self.belongs(process)
        };
        let mut found: Vec<Process> = all.iter().filter(known).copied().collect();
        let roots: Vec<i32> = found.iter().map(|process| process.pid).collect();
        found.extend(descendants(&all, &roots));
        let this = getpid().as_raw_nonzero().get();
        // The task executor, if it lives, is no part of the task; neither are we.
        found.retain(|process| process.pid != this && process.pid != self.handle.session);
        found
    }

    fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }
}

impl Remains<'_> {
    /// In the task's session or group, and in its folder: both numbers could be another's by now, the folder not.
    fn belongs(&self, process: &Process) -> bool {
        let handle = self.handle;
        let numbers = (handle.session > 0 && process.session == handle.session) || process.group == handle.leader.pid;
        numbers
            && process.start_time >= handle.leader.start_time
            && self.job_files.is_some_and(|files| works_in(process.pid, files).unwrap_or(false))
    }
}

fn has_marker(pid: i32, marker: &str) -> bool {
    !marker.is_empty()
        && fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|entry| entry == marker.as_bytes()))
}

fn works_in(pid: i32, folder: &Path) -> io::Result<bool> {
    Ok(fs::read_link(format!("/proc/{pid}/cwd"))?.starts_with(fs::canonicalize(folder)?))
}

/// Waits until one of the processes has ended.
fn wait_for_one(processes: &[Process], at_most: Duration) {
    let numbers = processes.iter().filter_map(|process| Pid::from_raw(process.pid));
    let descriptors: Vec<_> = numbers.filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()).collect();
    if descriptors.len() < processes.len() {
        return;
    }
    let mut fds: Vec<_> = descriptors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    poll(&mut fds, Timespec::try_from(at_most).ok().as_ref()).ok();
}
