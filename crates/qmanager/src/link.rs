//! What a manager and its workers say to each other: JSON lines over the socket pair that is a worker's standard
//! input. Its end (EOF) tells either side that the other is gone.
//!
//! While the programs are replaced on disk, a manager keeps workers of the next version (F09). So fields are only ever
//! added, with defaults, and a message that one side does not know yet is passed over.

use std::{collections::BTreeMap, io, path::PathBuf, time::Duration};

use job_queue::{CancelHow, Owner, TaskRow};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use workflow_model::{Epoch, JobId, JobStatus};

use crate::manager::{Pool, Times};

/// How long a line waits that nothing depends on: each wakes the other side.
const LATE: Duration = Duration::from_millis(25);

/// Manager -> worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The first line.
    Setup(Box<Setup>),
    /// There may be a job: claim. The slots are those of this run-dir that no worker has any more: whoever can lock
    /// one takes over its job.
    Claim { orphans: Vec<Owner> },
    /// A person wants this job cancelled.
    Cancel { job: JobId, epoch: Epoch, how: CancelHow },
    /// End; a second one = at once.
    Stop(StopHow),
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopHow {
    /// Stop tasks with grace, release the job, end.
    Release,
    /// KILL tasks, release the job, end.
    Now,
    /// Claim nothing more, end when the running job has ended.
    Drain,
    /// End and leave the tasks running for the next manager.
    Handover,
}

/// Worker -> manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Alive.
    Beat,
    /// Has a job now.
    Took { job: JobId, epoch: Epoch, resumed: bool },
    /// Recorded a task's end: the worker is good for something, its restart backoff starts anew.
    Progressed,
    /// Rows as recorded (only when asked for in the setup).
    Rows(Vec<TaskRow>),
    /// Its job ended for this round, or was given back (`None`).
    Left { job: JobId, status: Option<JobStatus> },
    /// There was nothing to claim.
    Idle,
    /// Something that a person should know (the database is busy, the disk is full); `None` = it is well again.
    Degraded(Option<String>),
    /// Ready to claim.
    Ready,
}

/// What a worker is told at its start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The worker's number within the pool.
    pub(crate) number: u32,
    /// Its pool.
    pub(crate) pool: Pool,
    /// The folders.
    pub(crate) state_dir: PathBuf,
    /// The folders.
    pub(crate) run_dir: PathBuf,
    /// The queue.
    pub(crate) db: String,
    /// The file with its password.
    pub(crate) password_file: Option<PathBuf>,
    /// The folder of all jobs' folders.
    pub(crate) jobs: PathBuf,
    /// What tells this host from others with the same id and paths.
    pub(crate) identity: Option<String>,
    /// Times.
    pub(crate) times: Times,
    /// The task executor's program.
    pub(crate) task_executor: PathBuf,
    /// What the executors may take over from the environment of whoever started the manager.
    pub(crate) ambient: BTreeMap<String, String>,
    /// Send [`Word::Rows`].
    pub(crate) rows: bool,
    /// The umask of whoever started the manager: tasks get it, whatever ours is.
    pub(crate) umask: u32,
    /// The level of its log.
    pub(crate) log: String,
}

/// One of the two kinds of message.
pub(crate) trait Message: for<'de> Deserialize<'de> {
    /// What they are called on the wire.
    const NAMES: &'static [&'static str];
}

impl Message for Order {
    const NAMES: &'static [&'static str] = &["setup", "claim", "cancel", "stop"];
}

impl Message for Word {
    const NAMES: &'static [&'static str] = &["beat", "took", "progressed", "rows", "left", "idle", "degraded", "ready"];
}

/// Whether a line is a message, of a name that this version does not know.
fn is_unknown<T: Message>(line: &str) -> bool {
    match serde_json::from_str(line) {
        Ok(serde_json::Value::String(name)) => !T::NAMES.contains(&name.as_str()),
        Ok(serde_json::Value::Object(map)) if map.len() == 1 => {
            !map.keys().all(|name| T::NAMES.contains(&name.as_str()))
        }
        _ => false,
    }
}

/// Reads the lines of the other side.
#[derive(Debug)]
pub(crate) struct Ear(Lines<BufReader<OwnedReadHalf>>);

/// Writes lines to the other side; cheap to clone. A side that is gone is noticed by its ear, not here.
#[derive(Debug, Clone)]
pub(crate) struct Mouth(mpsc::UnboundedSender<Outgoing>);

#[derive(Debug)]
enum Outgoing {
    Line(String),
    /// One that can wait for others.
    Late(String),
    Flush(oneshot::Sender<()>),
}

/// Splits a stream; must be called within a runtime, since writing goes on in a task.
pub(crate) fn open(stream: UnixStream) -> (Ear, Mouth) {
    let (read, mut write): (_, OwnedWriteHalf) = stream.into_split();
    // Unbounded: a line is small, and at most one batch per loop turn of the worker is under way.
    let (sender, mut lines) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // Lines that wait, and until when.
        let mut held: Option<(String, Instant)> = None;
        loop {
            let outgoing = match &held {
                None => lines.recv().await,
                Some((_, due)) => {
                    timeout_at(*due, lines.recv()).await.unwrap_or_else(|_| Some(Outgoing::Line(String::new())))
                }
            };
            let (line, done) = match outgoing {
                None => break,
                Some(Outgoing::Late(line)) => {
                    let (waiting, _) = held.get_or_insert_with(|| (String::new(), Instant::now() + LATE));
                    waiting.push_str(&line);
                    continue;
                }
                Some(Outgoing::Line(line)) => (line, None),
                Some(Outgoing::Flush(done)) => (String::new(), Some(done)),
            };
            // In the order they were said.
            let all = match held.take() {
                Some((waiting, _)) => waiting + &line,
                None => line,
            };
            if write.write_all(all.as_bytes()).await.is_err() {
                break;
            }
            if let Some(done) = done {
                // Whoever waits may have given up.
                done.send(()).ok();
            }
        }
    });
    (Ear(BufReader::with_capacity(16 * 1024, read).lines()), Mouth(sender))
}

impl Ear {
    /// The next message; `None` when the other side is gone.
    ///
    /// # Errors
    /// A line is not a message, or a known one of another form (a much older or newer version of the program).
    pub(crate) async fn hear<T: Message>(&mut self) -> io::Result<Option<T>> {
        loop {
            // A reset is how a killed peer with unread data looks: the same as its end.
            let Some(line) = self.0.next_line().await.unwrap_or(None) else { return Ok(None) };
            match serde_json::from_str(&line) {
                Ok(message) => return Ok(Some(message)),
                Err(_) if is_unknown::<T>(&line) => tracing::debug!("passed over a message of a newer version"),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

impl Mouth {
    pub(crate) fn say<T: Serialize>(&self, message: &T) {
        drop(self.0.send(Outgoing::Line(line(message))));
    }

    /// Something for eyes alone: it may be said some hundredths of a second later, with what comes until then. Nothing
    /// that is said after it comes before it.
    pub(crate) fn say_late<T: Serialize>(&self, message: &T) {
        drop(self.0.send(Outgoing::Late(line(message))));
    }

    /// Waits until everything said so far is written, or the other side is gone.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        drop(self.0.send(Outgoing::Flush(done)));
        drop(written.await);
    }
}

fn line<T: Serialize>(message: &T) -> String {
    let mut line = serde_json::to_string(message).expect("BUG: a message that is not JSON");
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
