//! What the two sides say to each other. Versioned; every field that is added later has a default, so that a worker
//! and a task executor of neighbouring versions understand each other.

use std::path::PathBuf;

use executor::{Outcome, TaskSpec};
use serde::{Deserialize, Serialize};
use workflow_model::{Attempt, Epoch, ExecutorKind, JobId, Nonce, TaskIx, TaskName};

/// The version of [`TaskRequest`] and [`TaskReport`] that this program writes.
pub const VERSION: u16 = 1;

/// Worker -> task executor, once, on its standard input, after the attempt is recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskRequest {
    /// [`VERSION`] of the writer.
    pub v: u16,
    /// The job.
    pub job: JobId,
    /// The task's index.
    pub task: TaskIx,
    /// The task's name, for messages.
    pub name: TaskName,
    /// The attempt.
    pub attempt: Attempt,
    /// The lease under which it was started.
    pub epoch: Epoch,
    /// Proves that a report is this attempt's.
    pub nonce: Nonce,
    /// Which executor runs it.
    pub executor: ExecutorKind,
    /// The task.
    pub spec: TaskSpec,
    /// Where things go.
    pub paths: Paths,
    /// The worker's Q socket; `None` = only the report file.
    pub reply: Option<PathBuf>,
    /// When the lease ends unless the lease file says later, in microseconds of CLOCK_BOOTTIME; `None` = never.
    pub deadline: Option<u64>,
    /// The umask of whoever started the worker, for the task; `None` = ours, 077.
    #[serde(default)]
    pub umask: Option<u32>,
    /// An earlier task executor of this attempt may have launched the task: take hold of that instead of launching it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attach: bool,
}

/// The files of one attempt, all absolute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Paths {
    /// Standard output, as it is produced; made when there is something to write.
    pub out: PathBuf,
    /// Standard error, likewise.
    pub err: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The handle.
    pub handle: PathBuf,
    /// The job's lease file.
    pub lease: PathBuf,
    /// The attempt's own TMPDIR: made before the launch, removed after the end.
    pub tmp: PathBuf,
    /// `tmp` goes from attempt to attempt ([`crate::Places`]): it is left empty instead of removed.
    #[serde(default)]
    pub recycle: bool,
    /// A file that is not needed any more: the handle is written into it, and it then becomes the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blank: Option<PathBuf>,
}

/// Task executor -> worker: as a file (the record) and as a ZeroMQ message (what makes it fast).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskReport {
    /// [`VERSION`] of the writer.
    pub v: u16,
    /// The job.
    pub job: JobId,
    /// The task.
    pub task: TaskIx,
    /// The attempt.
    pub attempt: Attempt,
    /// The lease under which it was started.
    pub epoch: Epoch,
    /// As in the request.
    pub nonce: Nonce,
    /// How it ended.
    pub outcome: Outcome,
    /// When the task was launched, in microseconds since 1970; 0 = it was not.
    pub started: u64,
    /// When it ended, in microseconds since 1970.
    pub ended: u64,
    /// What it wrote on standard output.
    pub out: OutputInfo,
    /// What it wrote on standard error.
    pub err: OutputInfo,
}

/// What is known of one stream; the bytes themselves are in the log file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputInfo {
    /// Bytes that the task wrote.
    pub bytes: u64,
    /// Bytes of them that the log does not hold (cap, full disk).
    pub lost: u64,
    /// Why the log could not be written, if something failed; the cap is no failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The last lines, at most 2 kB, decoded with replacement characters, secrets removed.
    pub tail: String,
}
