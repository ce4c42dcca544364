//! A log file that holds at most so many bytes: the beginning and the end of what was written, and between them a line
//! that says how many bytes are missing. At any moment, also after a crash, the file is readable as that.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::PathBuf,
};

use crate::capture::describe;

/// The length of the line that stands for what was cut out: fixed, so that it can be rewritten in place.
const MARKER: usize = 96;

/// A log file, made when the first byte comes.
///
/// The first half of the limit stays as it is. When the file is full, the last quarter is moved down to the middle
/// and writing goes on behind it: each byte is moved at most once, and nothing but the file is needed.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: Option<File>,
    limit: u64,
    /// Where the next byte goes.
    end: u64,
    /// Bytes cut out between the beginning and the end.
    cut: u64,
    /// Bytes that could not be written, in all.
    failed: u64,
    /// Those of them that no line in the file tells of yet.
    unsaid: u64,
    problem: Option<String>,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf, limit: u64) -> Self {
        // Below this the marker would be larger than what it stands for.
        let limit = limit.max(16 * MARKER as u64);
        Self { path, file: None, limit, end: 0, cut: 0, failed: 0, unsaid: 0, problem: None }
    }

    /// Stores the bytes, or counts them as lost.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        if self.unsaid > 0 && self.say_what_failed().is_err() {
            return self.fail(bytes.len(), None);
        }
        while !bytes.is_empty() {
            let capacity = self.limit + if self.cut > 0 { MARKER as u64 } else { 0 };
            if self.end >= capacity
                && let Err(error) = self.compact()
            {
                return self.fail(bytes.len(), Some(&error));
            }
            let room = usize::try_from(capacity.saturating_sub(self.end)).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if let Err(error) = self.append(now) {
                return self.fail(later.len(), Some(&error));
            }
            bytes = later;
        }
    }

    /// Bytes that the file does not hold, and why if something failed.
    pub(crate) fn finish(mut self) -> (u64, Option<String>) {
        if self.unsaid > 0 {
            // If this fails too, the counters still tell of it.
            drop(self.say_what_failed());
        }
        (self.cut + self.failed, self.problem)
    }

    /// Appends; what of it cannot be written is counted here.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = self.end;
            let written = self.open().and_then(|file| file.write_at(rest, end));
            match written {
                Ok(0) => return self.short(rest, io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.end += n as u64;
                    rest = &rest[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.short(rest, error),
            }
        }
        Ok(())
    }

    fn short(&mut self, rest: &[u8], error: io::Error) -> io::Result<()> {
        self.fail(rest.len(), None);
        Err(error)
    }

    fn fail(&mut self, bytes: usize, error: Option<&io::Error>) {
        self.failed += bytes as u64;
        self.unsaid += bytes as u64;
        if let (None, Some(error)) = (&self.problem, error) {
            self.problem = Some(format!("cannot write {}: {}", self.path.display(), describe(error)));
        }
    }

    fn say_what_failed(&mut self) -> io::Result<()> {
        let line = format!("\n[qmanager: {} bytes lost here: the log could not be written]\n", self.unsaid);
        let end = self.end;
        let file = self.open()?;
        file.write_all_at(line.as_bytes(), end)?;
        self.end += line.len() as u64;
        self.unsaid = 0;
        Ok(())
    }

    /// Moves the last quarter down to the middle, behind the line that counts what is missing.
    fn compact(&mut self) -> io::Result<()> {
        let (head, keep) = (self.limit / 2, self.limit / 4);
        let first = self.cut == 0;
        let begin = head + if first { 0 } else { MARKER as u64 };
        let gone = self.end - keep - begin;
        let text = format!("[qmanager: {} bytes left out here, log_limit is {}", self.cut + gone, self.limit);
        let line = format!("\n{text:<width$}]\n", width = MARKER - 3);
        let (mut from, mut to, until) = (self.end - keep, head + MARKER as u64, self.end);
        let file = self.open()?;
        let mut buffer = vec![0; 64 << 10];
        while from < until {
            let want = buffer.len().min(usize::try_from(until - from).unwrap_or(usize::MAX));
            file.read_exact_at(&mut buffer[..want], from)?;
            file.write_all_at(&buffer[..want], to)?;
            from += want as u64;
            to += want as u64;
        }
        file.write_all_at(line.as_bytes(), head)?;
        file.set_len(to)?;
        self.cut += gone;
        self.end = to;
        Ok(())
    }

    fn open(&mut self) -> io::Result<&File> {
        match &mut self.file {
            Some(file) => Ok(file),
            none => {
                let mut options = OpenOptions::new();
                // Truncated: an attempt's number is never used twice, so what stands there is of a launch that failed.
                options.read(true).write(true).create(true).truncate(true).mode(0o600);
                let opened = match options.open(&self.path) {
                    // The first output of the job, or somebody has tidied its folder.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        if let Some(folder) = self.path.parent() {
                            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                        }
                        options.open(&self.path)
                    }
                    opened => opened,
                };
                Ok(none.insert(opened?))
            }
        }
    }
}
