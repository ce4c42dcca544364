//! The processes of a run, found by the marker in their environment or by the run's folder in their title; and what may
//! be done to them.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The variable that all processes of a run inherit; task executors, whose environment is empty, have the folder in
/// their title instead.
pub const MARKER: &str = "PROOF_RUN";

/// A process of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub title: String,
}

/// All living processes of a run.
#[must_use]
pub fn all(run: &str, folder: &Path) -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != own).filter_map(|pid| of_run(pid, run, folder)).collect()
}

fn of_run(pid: i32, run: &str, folder: &Path) -> Option<Process> {
    let title = title(pid)?;
    let ours = title.contains(&*folder.to_string_lossy()) || variable(pid, MARKER).is_some_and(|value| value == run);
    (ours && !is_zombie(pid)).then_some(Process { pid, title })
}

/// A variable of another process's environment.
#[must_use]
pub fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut lines = environment.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
}

/// The command line of a process.
#[must_use]
pub fn title(pid: i32) -> Option<String> {
    let title = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&title).replace('\0', " "))
}

/// The parent of a process.
#[must_use]
pub fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The children of a process.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process has something open whose path has this in it.
#[must_use]
pub fn holds(pid: i32, what: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let mut links = entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.any(|link| link.to_string_lossy().contains(what))
}

/// Signals a process; answers whether it was there.
pub fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
