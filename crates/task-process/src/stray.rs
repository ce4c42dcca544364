//! Task executors that nobody watches any more: found by their title, for a manager that stops and must leave nothing
//! behind, whatever became of its workers and of the queue.

use std::path::Path;

use crate::{Running, identity};

/// What `ps` shows for the task executors of a run-dir: their argument 0.
#[must_use]
pub fn title(run_dir: &Path) -> String {
    format!("task-executor: {}", run_dir.display())
}

/// The living task executors of a run-dir, this user's alone. Reads all of `/proc`: not for every day.
#[must_use]
pub fn strays(run_dir: &Path) -> Vec<Running> {
    let title = title(run_dir);
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let titled = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.split(|byte| *byte == 0).next() == Some(title.as_bytes())
    };
    let ours = |pid: i32| {
        // First who it is, then once more what it is called: so the number cannot have gone to another in between.
        let id = identity::identify(pid).ok()?;
        Running::adopt(&id).ok().flatten().filter(|_| titled(&pid))
    };
    pids.filter(titled).filter_map(ours).collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::CommandExt, process::Command, time::Duration};

    use super::*;

    #[tokio::test]
    async fn only_those_of_the_run_dir_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("run"), dir.path().join("run2"));
        #[expect(clippy::disallowed_methods, reason = "a process with a task executor's title")]
        let start = |run_dir: &Path| Command::new("sleep").arg0(title(run_dir)).arg("300").spawn().unwrap();
        let (mut ours, mut other) = (start(&here), start(&there));
        // The title is there once the program is.
        let find = async || loop {
            match strays(&here) {
                found if found.is_empty() => tokio::time::sleep(Duration::from_millis(1)).await,
                found => return found,
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(30), find()).await.unwrap();
        assert_eq!(found.iter().map(|stray| stray.id().pid.unsigned_abs()).collect::<Vec<_>>(), [ours.id()]);
        found[0].stop_now().unwrap();
        found[0].exited().await;
        ours.wait().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(strays(&here).is_empty());
    }
}
