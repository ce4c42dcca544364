//! Processes as `/proc` shows them, and signals that cannot hit another process of the same number.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Read},
};

use executor::ProcessId;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// What `/proc/PID/stat` says of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    /// In clock ticks since boot.
    pub(crate) start_time: u64,
    /// Runs, or would if it had a processor.
    pub(crate) runnable: bool,
    /// Ended, but not yet waited for by its parent.
    pub(crate) zombie: bool,
}

impl Process {
    /// Looks one process up; `None` when there is none.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        // One read of a buffer that is large enough, since this is done once a task (std would ask for a size first).
        let mut buffer = [0; 1024];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut buffer).ok()?;
        Self::parse(pid, &buffer[..length])
    }

    fn parse(pid: i32, stat: &[u8]) -> Option<Self> {
        // The second field is the program's name in brackets and may contain anything.
        let behind_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
        let text = std::str::from_utf8(&stat[behind_name..]).ok()?;
        let mut fields = text.split_ascii_whitespace();
        let state = fields.next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        // Fields are counted from 1 in proc(5): the session is field 6, the start time field 22.
        let start_time = text.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
        let (runnable, zombie) = (state == "R", matches!(state, "Z" | "X"));
        Some(Self { pid, parent, group, session, start_time, runnable, zombie })
    }

    /// Every process that has not ended.
    pub(crate) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter_map(Self::read).filter(|process| !process.zombie).collect()
    }

    /// Whether it is still the process that was found (F08).
    pub(crate) fn is(&self, id: &ProcessId) -> bool {
        self.pid == id.pid && self.start_time == id.start_time
    }

    /// Sends a signal to exactly this process; `Ok` also when it has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // The number may have gone to another process before the descriptor was opened, but not afterwards.
        if Self::read(self.pid).is_none_or(|now| now.start_time != self.start_time) {
            return Ok(());
        }
        match pidfd_send_signal(&descriptor, signal) {
            Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The program's name, for messages.
    pub(crate) fn name(&self) -> String {
        let name = fs::read(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&name).trim().to_owned()
    }
}

/// Those of `all` that descend from `roots`, without the roots.
pub(crate) fn descendants(all: &[Process], roots: &[i32]) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut open = roots.to_vec();
    while let Some(pid) = open.pop() {
        // Removed, so that a table read while numbers were reused cannot lead in circles.
        for child in children.remove(&pid).unwrap_or_default() {
            if !roots.contains(&child.pid) {
                open.push(child.pid);
                found.push(child);
            }
        }
    }
    found
}

/// Tells this boot from every other: process numbers mean nothing after the next.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_name_with_brackets_and_blanks() {
        let stat = b"7 (a) S (b) Z 1 5 6 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2 3";
        let process = Process::parse(7, stat).unwrap();
        let expected =
            Process { pid: 7, parent: 1, group: 5, session: 6, start_time: 12345, runnable: false, zombie: true };
        assert_eq!(process, expected);
        assert_eq!(Process::parse(7, b"7 (a"), None);
        assert_eq!(Process::parse(7, b""), None);
    }

    #[test]
    fn f08_a_signal_does_not_hit_a_later_process_of_the_same_number() {
        #[expect(clippy::disallowed_methods, reason = "a process to signal")]
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let real = Process::read(i32::try_from(child.id()).unwrap()).unwrap();
        let earlier = Process { start_time: real.start_time - 1, ..real };
        earlier.signal(Signal::KILL).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the process of the same number must live");
        real.signal(Signal::KILL).unwrap();
        assert!(!child.wait().unwrap().success());
        real.signal(Signal::KILL).unwrap();
    }

    #[test]
    fn finds_descendants_and_not_the_roots() {
        let process = |pid, parent| {
            let (runnable, zombie) = (false, false);
            Process { pid, parent, group: 0, session: 0, start_time: 0, runnable, zombie }
        };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(9, 1), process(1, 1)];
        let mut found: Vec<i32> = descendants(&all, &[2]).iter().map(|process| process.pid).collect();
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }
}
