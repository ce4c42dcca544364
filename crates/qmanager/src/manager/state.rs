//! What a manager says of itself, for `status`, `stop` and `doctor`: a small file in the run-dir.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use executor::ProcessId;
use serde::{Deserialize, Serialize};
use workflow_model::{ExecutorKind, JobId, QueueName};

use crate::{layout::Layout, link::StopHow};

/// What file systems allocate at once.
const BLOCK: usize = 4096;
/// For what may be wrong, in words.
const ROOM: usize = 1024;

/// The content of `manager.json`. True as of the last worker's start or end; which job a worker has is in the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ManagerState {
    /// The version of this file's form.
    pub v: u16,
    /// The program's version.
    pub version: String,
    /// The manager.
    pub process: ProcessId,
    /// The host's id, as in the queue's owners.
    pub host: String,
    /// When it started, in microseconds since 1970.
    pub since: u64,
    /// Its workers.
    pub workers: Vec<WorkerState>,
    /// What is wrong, in words.
    pub degraded: Option<String>,
}

/// One worker as its manager sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WorkerState {
    /// `<qname><NN>`.
    pub slot: String,
    /// Its queue.
    pub queue: QueueName,
    /// Its executor.
    pub executor: ExecutorKind,
    /// Its process, while it lives.
    pub pid: Option<u32>,
    /// The job it has, as of the last write.
    pub job: Option<JobId>,
    /// What is wrong, in words.
    pub degraded: Option<String>,
    /// How often it was restarted without having done anything.
    pub restarts: u32,
}

impl ManagerState {
    /// The state of the manager that serves a run-dir; `None` when none does.
    #[must_use]
    pub fn read(layout: &Layout) -> Option<Self> {
        let state: Self = serde_json::from_slice(&fs::read(layout.manager_state()).ok()?).ok()?;
        task_process::is_alive(&state.process).then_some(state)
    }

    pub(super) fn write(&self, layout: &Layout) -> io::Result<()> {
        let path = layout.manager_state();
        let mut bytes = serde_json::to_vec(self)?;
        // Blanks at its end are room for a later text of it, which on a full disk can only be written in place.
        bytes.resize((bytes.len() + ROOM).next_multiple_of(BLOCK), b' ');
        write_atomic(&path, &bytes).or_else(|full| {
            let file = OpenOptions::new().write(true).open(&path)?;
            let room = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            let text = bytes.trim_ascii_end().len();
            if text > room {
                return Err(full);
            }
            bytes.resize(room, b' ');
            (&file).write_all(&bytes)
        })
    }
}

/// How the next SIGTERM is meant.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct StopRequest {
    /// How to stop.
    pub how: StopHow,
    /// For a handover: how long the leases are prolonged, in seconds.
    pub keep_s: Option<u64>,
}

impl StopRequest {
    /// Leaves the request for the manager; a SIGTERM has to follow.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, layout: &Layout) -> io::Result<()> {
        write_atomic(&layout.stop_request(), &serde_json::to_vec(self)?)
    }

    /// Takes a request that was left, if there is one.
    pub(super) fn take(layout: &Layout) -> Option<Self> {
        let bytes = fs::read(layout.stop_request()).ok()?;
        drop(fs::remove_file(layout.stop_request()));
        serde_json::from_slice(&bytes).ok()
    }
}

/// Readers see the old content or the new, never a part.
fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const STATE: &str = include_str!("../../../../tests/fixtures/v1/files/manager.json");
    const STOP: &str = include_str!("../../../../tests/fixtures/v1/files/stop.json");

    fn state() -> ManagerState {
        let boot_id = "8f6c0b7e-4a68-4bf6-a8a1-2c1f0d9c7a11".to_owned();
        let worker = |number: u32| WorkerState {
            slot: format!("default{number:02}"),
            queue: QueueName::default(),
            executor: ExecutorKind::Shell,
            pid: (number > 0).then_some(4712),
            job: (number > 0).then(|| "01a20ced-2d28-7012-b03d-b083dfd37384".parse().unwrap()),
            degraded: None,
            restarts: number,
        };
        ManagerState {
            v: 1,
            version: "0.1.0".into(),
            process: ProcessId { pid: 4711, start_time: 1_342_221, boot_id },
            host: "a3c1f0e2b4d596877869504132231405".into(),
            since: 1_700_000_000_000_000,
            workers: vec![worker(0), worker(1)],
            degraded: Some("the disk is full".into()),
        }
    }

    /// `status` and `stop` of one version meet the daemon of another.
    #[test]
    fn files_of_version_1_are_read_and_are_what_this_version_writes() {
        let stop = StopRequest { how: StopHow::Handover, keep_s: Some(600) };
        let now = [serde_json::to_value(state()).unwrap(), serde_json::to_value(stop).unwrap()];
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1/files");
            for (name, value) in ["manager.json", "stop.json"].iter().zip(&now) {
                fs::write(folder.join(name), serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
            }
            return;
        }
        let old: [Value; 2] = [STATE, STOP].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(now, old, "changed since version 1 (tests/fixtures/README.md)");
        let more = |text: &str| text.replacen('{', "{\"new\":[1],", 1);
        let read: ManagerState = serde_json::from_str(&more(STATE)).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), old[0]);
        let read: StopRequest = serde_json::from_str(&more(STOP)).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), old[1]);
    }
}
