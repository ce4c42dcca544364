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
