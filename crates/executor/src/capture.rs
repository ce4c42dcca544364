//! What becomes of the bytes that a task writes: a log file with a cap, a tail for reports, perhaps a job file and the
//! terminal. A task that writes nothing costs no system call here.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::OwnedFd,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{Sink, log_file::LogFile, publish::Publish, redact::Redactor};

/// Bytes of a stream's end that go into reports and messages.
const TAIL: usize = 2048;

/// Takes one stream of a task. Made with [`Capture::new`], ended with [`Capture::finish`].
#[derive(Debug)]
pub struct Capture {
    log: Option<LogFile>,
    redactor: Redactor,
    publish: Option<Publish>,
    echo: Option<File>,
    bytes: u64,
    tail: Vec<u8>,
}

/// What is known of a stream after its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Bytes that the task wrote.
    pub bytes: u64,
    /// Bytes that the log does not hold: cut out by the cap, or not storable (a full disk).
    pub lost: u64,
    /// The last lines, at most 2 kB, decoded with replacement characters, secrets removed.
    pub tail: String,
    /// Why the log is incomplete, if something failed (the cap is no failure).
    pub log_problem: Option<String>,
    /// Why the stream could not be published as a job file. The attempt must not count as a success then.
    pub publish_problem: Option<String>,
}

impl Capture {
    /// Logs to `path`, which is made when the first byte comes; at most `limit` bytes are kept, of the beginning and
    /// of the end.
    #[must_use]
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self { log: Some(LogFile::new(path, limit)), ..Self::nowhere() }
    }

    /// Keeps only the counters and the tail.
    #[must_use]
    pub fn nowhere() -> Self {
        let redactor = Redactor::default();
        Self { log: None, redactor, publish: None, echo: None, bytes: 0, tail: Vec::new() }
    }

    /// Masks these values in everything but the published file.
    #[must_use]
    pub fn redact<S: AsRef<str>>(mut self, values: &[S]) -> Self {
        self.redactor = Redactor::new(values);
        self
    }

    /// Copies the stream, byte for byte and without a cap, to the job file `relative` under `job_files`; it appears
    /// there when [`Capture::finish`] is told of success.
    #[must_use]
    pub fn publish(mut self, job_files: PathBuf, relative: &str) -> Self {
        self.publish = Some(Publish::new(job_files, relative));
        self
    }

    /// The published file and the folders made for it are made with this umask and belong to this uid and gid, as if
    /// the task itself had made them.
    #[must_use]
    pub fn publish_as(mut self, umask: Option<u32>, owner: Option<(u32, u32)>) -> Self {
        if let Some(publish) = &mut self.publish {
            publish.give_to(umask, owner);
        }
        self
    }

    /// Copies the stream to `to` as it comes, until that cannot be written.
    #[must_use]
    pub fn echo(mut self, to: OwnedFd) -> Self {
        self.echo = Some(File::from(to));
        self
    }

    /// Ends the stream. A published file appears only on `success`.
    #[must_use]
    pub fn finish(mut self, success: bool) -> Captured {
        if !self.redactor.is_idle() {
            let mut rest = Vec::new();
            self.redactor.finish(&mut rest);
            self.store(&rest);
        }
        let (lost, log_problem) = self.log.map_or((0, None), LogFile::finish);
        let publish_problem = self.publish.and_then(|publish| publish.finish(success).err());
        Captured { bytes: self.bytes, lost, tail: last_lines(&self.tail), log_problem, publish_problem }
    }

    /// Takes bytes whose secrets are masked.
    fn store(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(log) = &mut self.log {
            log.write(bytes);
        }
        if self.echo.as_mut().is_some_and(|echo| echo.write_all(bytes).is_err()) {
            self.echo = None;
        }
        let keep = bytes.len().min(TAIL);
        let old = self.tail.len().saturating_sub(TAIL - keep);
        self.tail.drain(..old);
        self.tail.extend_from_slice(&bytes[bytes.len() - keep..]);
    }
}

impl Sink for Capture {
    fn write(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if let Some(publish) = &mut self.publish {
            publish.write(bytes);
        }
        if self.redactor.is_idle() {
            self.store(bytes);
        } else {
            let mut shown = Vec::with_capacity(bytes.len());
            self.redactor.push(bytes, &mut shown);
            self.store(&shown);
        }
    }
}

/// The end of a stream as text of at most [`TAIL`] bytes; begins at a line's beginning if one is in reach.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut from = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let cut = bytes.len() == TAIL || from > 0;
    let text = &text[from..];
    match text.find('\n') {
        Some(end) if cut && end + 1 < text.len() => text[end + 1..].to_owned(),
        _ => text.to_owned(),
    }
}

/// What an input or output error means to the person who reads it: the system's words without Rust's.
pub(crate) fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
