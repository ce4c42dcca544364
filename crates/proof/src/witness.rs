//! W, the witness log: what the test tasks themselves write about their runs, outside of the system.
//!
//! One line is one `write` to a file that is open for append: `run job task attempt pid host mark rc t`. `t` is
//! CLOCK_MONOTONIC. The epoch is not in it, since a task is not told it; the checker takes it from the audit trail.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::clock;

/// What a line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The task begins.
    Begin,
    /// It lives.
    Tick,
    /// Something that it left in the background lives.
    Grandchild,
    /// It is about to end with this code (128 + n before it ends itself by signal n).
    End(i32),
}

/// A line of the witness log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The job's id.
    pub job: String,
    /// The task's index.
    pub task: usize,
    /// The attempt.
    pub attempt: u32,
    /// The process.
    pub pid: i32,
    /// Which QManager's host this is.
    pub host: String,
    /// What happened.
    pub mark: Mark,
    /// When.
    pub t: i64,
}

/// The pen of one task.
#[derive(Debug)]
pub struct Pen {
    file: File,
    run: String,
    line: Line,
}

impl Pen {
    /// Opens the log for one attempt.
    ///
    /// # Errors
    /// The log cannot be opened.
    pub fn open(log: &Path, run: &str, job: String, task: usize, attempt: u32, host: String) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(log)?;
        let pid = i32::try_from(std::process::id()).unwrap_or(0);
        Ok(Self { file, run: run.into(), line: Line { job, task, attempt, pid, host, mark: Mark::Begin, t: 0 } })
    }

    /// Writes one line.
    ///
    /// # Errors
    /// It cannot be written: then the run proves nothing.
    pub fn say(&mut self, mark: Mark) -> io::Result<()> {
        let Line { job, task, attempt, pid, host, .. } = &self.line;
        let (word, rc) = match mark {
            Mark::Begin => ("B", 0),
            Mark::Tick => ("T", 0),
            Mark::Grandchild => ("G", 0),
            Mark::End(rc) => ("E", rc),
        };
        let text = format!("{} {job} {task} {attempt} {pid} {host} {word} {rc} {}\n", self.run, clock::mono());
        self.file.write_all(text.as_bytes())
    }
}

/// Reads a log; lines of other runs are an error, as is any that is torn.
///
/// # Errors
/// It cannot be read, or a line is not of its form.
pub fn read(log: &Path, run: &str) -> anyhow::Result<Vec<Line>> {
    let text = match std::fs::read_to_string(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        other => other?,
    };
    let parsed = text.lines().map(|line| parse(line, run).ok_or_else(|| anyhow::anyhow!("a torn line: {line:?}")));
    parsed.collect()
}

/// Where a run keeps it.
#[must_use]
pub fn path(folder: &Path) -> PathBuf {
    folder.join("witness.log")
}

fn parse(line: &str, run: &str) -> Option<Line> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[of, job, task, attempt, pid, host, mark, rc, t] = words.as_slice() else { return None };
    if of != run {
        return None;
    }
    let mark = match mark {
        "B" => Mark::Begin,
        "T" => Mark::Tick,
        "G" => Mark::Grandchild,
        "E" => Mark::End(rc.parse().ok()?),
        _ => return None,
    };
    Some(Line {
        job: job.into(),
        task: task.parse().ok()?,
        attempt: attempt.parse().ok()?,
        pid: pid.parse().ok()?,
        host: host.into(),
        mark,
        t: t.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_not() {
        let line = "r j 3 2 77 h0 E 137 5000";
        let read = parse(line, "r").unwrap();
        assert_eq!((read.task, read.attempt, read.mark, read.t), (3, 2, Mark::End(137), 5000));
        for torn in ["r j 3 2 77 h0 E 137", "x j 3 2 77 h0 B 0 1", "r j 3 2 77 h0 Q 0 1", ""] {
            assert_eq!(parse(torn, "r"), None, "{torn:?}");
        }
    }
}
