//! What is left of the dead: run-dirs of a killed `qmanager run`, which nothing needs to go on with its job, and reports
//! that nobody will read.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::FlockOperation;
use workflow_model::{JobId, QueueName};

use super::lock::ManagerLock;
use crate::foreground;

/// Younger ones may belong to a run that is just starting, and has not locked its run-dir yet.
const OLD: Duration = Duration::from_secs(3600);

/// Removes what is old and nobody's: no manager has the lock, no task executor holds a slot.
pub(super) fn sweep(base: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_runs =
            name.to_str().and_then(|name| QueueName::new(name).ok()).is_some_and(|q| foreground::is_reserved(&q));
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|made| now.duration_since(made).ok());
        if !is_runs || age.is_none_or(|age| age < OLD) {
            continue;
        }
        let folder = entry.path();
        let Ok(Some(lock)) = ManagerLock::acquire(&folder.join("manager.lock")) else { continue };
        if !has_held_slot(&folder.join("slots")) {
            // With the lock held: a resume that comes now waits for nobody, it makes the folder anew.
            drop(fs::remove_dir_all(&folder));
        }
        drop(lock);
    }
}

/// The jobs that have a folder for the reports of running attempts, each with its own.
pub(super) fn untidied(jobs: &Path) -> Vec<(JobId, PathBuf)> {
    let Ok(entries) = fs::read_dir(jobs) else { return Vec::new() };
    let job = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()));
    let jobs = entries.flatten().filter_map(job);
    jobs.filter(|(_, dir): &(JobId, PathBuf)| dir.join("reports").is_dir()).collect()
}

/// Whether a task executor lives that has a slot below this folder.
pub(super) fn has_held_slot(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            return has_held_slot(&path);
        }
        let free = fs::File::open(&path).map(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive));
        matches!(free, Ok(Err(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_nobodys_goes() {
        let base = tempfile::tempdir().unwrap();
        let made = |name: &str| {
            let slots = base.path().join(name).join("slots/q/slots");
            fs::create_dir_all(&slots).unwrap();
            fs::write(slots.join("00"), "").unwrap();
            slots.join("00")
        };
        made("run-abcdefgh");
        made("run-notrun");
        let held = fs::File::open(made("run-aaaaaaaa")).unwrap();
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        made("run-bbbbbbbb");
        let manager = ManagerLock::acquire(&base.path().join("run-bbbbbbbb/manager.lock")).unwrap();
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(base.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        #[expect(clippy::disallowed_methods, reason = "files carry wall times")]
        let now = SystemTime::now();
        sweep(base.path(), now);
        assert_eq!(names().len(), 4, "all are young");
        sweep(base.path(), now + 2 * OLD);
        assert_eq!(names(), ["run-aaaaaaaa", "run-bbbbbbbb", "run-notrun"]);
        drop(manager);
    }
}
