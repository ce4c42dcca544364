//! A cgroup (v2) of a task's own, where this process may make one: ends a whole tree at once, tells of want of memory,
//! limits it.
//!
//! It is not made unless asked for (`[executors.shell] cgroup`, `resources.memory`): finding our own, `mkdir`, two moves
//! and `rmdir` cost about 0.2 ms a task, more where the kernel waits for a grace period in each move.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::clock::now;

/// A cgroup that holds the processes of one task and nothing else.
#[derive(Debug)]
pub(crate) struct Cgroup {
    pub(crate) path: PathBuf,
}

impl Cgroup {
    /// Makes one below our own; `None` where that is not possible.
    pub(crate) fn make(memory: Option<u64>) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = own()?.join(format!("qm-{}-{number}", std::process::id()));
        fs::create_dir(&path).ok()?;
        let cgroup = Self { path };
        if let Some(bytes) = memory {
            // Absent where the memory controller is not given to us: the task is not limited then (documented).
            fs::write(cgroup.path.join("memory.max"), bytes.to_string()).ok();
        }
        Some(cgroup)
    }

    /// Runs `launch` inside: what it starts is born there, so that nothing can escape before it is moved.
    pub(crate) fn launch_in<T>(&self, launch: impl FnOnce() -> T) -> io::Result<T> {
        let outside = self.path.parent().ok_or(io::ErrorKind::NotFound)?.join("cgroup.procs");
        fs::write(self.path.join("cgroup.procs"), "0")?;
        let launched = launch();
        // If this fails, `cgroup.kill` would hit us as well: see `kill`.
        fs::write(outside, "0").ok();
        Ok(launched)
    }

    /// Ends every process inside.
    pub(crate) fn kill(&self) {
        let this = std::process::id().to_string();
        let members = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        if !members.lines().any(|pid| pid == this) {
            // Absent before Linux 5.14: the processes are killed one by one as well.
            fs::write(self.path.join("cgroup.kill"), "1").ok();
        }
    }

    /// Whether a process is inside.
    pub(crate) fn populated(path: &Path) -> bool {
        fs::read_to_string(path.join("cgroup.events")).is_ok_and(|events| events.contains("populated 1"))
    }

    /// The numbers of the processes inside.
    pub(crate) fn members(path: &Path) -> Vec<i32> {
        let members = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        members.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Whether the kernel has ended one of its processes for want of memory.
    pub(crate) fn out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        events.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }

    /// Removes it; ends what is still inside first.
    pub(crate) fn remove(&self) {
        let deadline = now() + Duration::from_secs(1);
        while let Err(error) = fs::remove_dir(&self.path) {
            let busy = error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
            if !busy || now() >= deadline {
                return;
            }
            self.kill();
            // A cgroup has no descriptor that says when it may be removed; this is the rare path.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The folder of the cgroup (v2) in which this process is.
fn own() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    // `36 25 0:31 / /sys/fs/cgroup rw,… shared:9 - cgroup2 cgroup2 rw`: root and mount point are fields 4 and 5.
    let mount = mounts.lines().find(|line| line.split_once(" - ").is_some_and(|(_, fs)| fs.starts_with("cgroup2 ")))?;
    let mut fields = mount.split(' ').skip(3);
    let (root, point) = (fields.next()?, fields.next()?);
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    Some(Path::new(point).join(below.trim_start_matches('/')))
}
