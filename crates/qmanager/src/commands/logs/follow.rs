//! `logs -f`: across retries and new tasks, until the job has ended.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use job_queue::{JobQueue, TaskRow};
use tokio::time::Instant;
use workflow_model::{Attempt, JobStatus, TaskIx, TaskStatus};

use super::{
    Job, Stream,
    choose::Choice,
    print::{Printer, Writer, last_lines},
};
use crate::{
    commands::{context::Context, pulse::Pulse, serving::Serving},
    exit::Error,
};

/// How often the files of running attempts are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The most that is taken from one file before the others have their turn.
const TURN: usize = 1 << 20;
/// A line without end is shown in pieces of this many bytes.
const LINE: usize = 64 * 1024;

/// One log file that grows.
struct Tail {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The attempt ended: what is there now is all.
    last: bool,
}

pub(super) struct Follow<'a> {
    context: &'a Context,
    queue: &'a Arc<dyn JobQueue>,
    job: &'a Job,
    choice: &'a Choice,
    /// The newest attempt of each task that has been taken up.
    seen: BTreeMap<TaskIx, Attempt>,
    tails: BTreeMap<(TaskIx, Attempt, Stream), Tail>,
}

impl<'a> Follow<'a> {
    pub(super) fn new(context: &'a Context, queue: &'a Arc<dyn JobQueue>, job: &'a Job, choice: &'a Choice) -> Self {
        Self { context, queue, job, choice, seen: BTreeMap::new(), tails: BTreeMap::new() }
    }

    /// Prints until the job has ended; answers how it did.
    pub(super) async fn run(mut self, printer: &mut Printer<'_>) -> Result<JobStatus, Error> {
        let database = self.context.database_file()?;
        let mut pulse = Pulse::of(database.as_deref());
        if !self.job.row.status.is_terminal() {
            Serving::warn(self.context, &**self.queue, &self.job.row.queue).await?;
        }
        let mut first = true;
        loop {
            // The state before the rows: rows of an ended job are complete.
            let status = self.queue.get(self.job.row.id).await?.status;
            let rows = self.queue.tasks(self.job.row.id).await?;
            self.take_up(&rows, first);
            first = false;
            self.pump(printer)?;
            if status.is_terminal() {
                while !self.tails.is_empty() {
                    self.tails.values_mut().for_each(|tail| tail.last = true);
                    self.pump(printer)?;
                }
                return Ok(status);
            }
            self.look_until(&mut pulse, printer).await?;
        }
    }

    /// Looks at the files until the queue has changed.
    async fn look_until(&mut self, pulse: &mut Pulse, printer: &mut Printer<'_>) -> Result<(), Error> {
        let changed = pulse.next(None);
        tokio::pin!(changed);
        loop {
            let again = Instant::now() + LOOK;
            tokio::select! {
                () = &mut changed => return Ok(()),
                () = tokio::time::sleep_until(again) => self.pump(printer)?,
            }
        }
    }

    /// Takes up attempts that are new, and notes which have ended.
    fn take_up(&mut self, rows: &[TaskRow], first: bool) {
        for row in rows.iter().filter(|row| self.choice.has_task(row.task)) {
            let known = self.seen.get(&row.task).copied().unwrap_or(Attempt(0));
            // What ended before we came is history, unless its last lines were asked for.
            let old = first && row.status != TaskStatus::Running && self.choice.tail.is_none() && self.is_large();
            let from = if first { row.attempt.0.max(1) } else { known.0 + 1 };
            for attempt in (from..=row.attempt.0).map(Attempt).filter(|_| !old) {
                for stream in &self.choice.streams {
                    let path = self.job.path(row.task, attempt, *stream);
                    let tail = Tail::new(path, if first { self.choice.tail } else { None });
                    self.tails.insert((row.task, attempt, *stream), tail);
                }
            }
            self.seen.insert(row.task, row.attempt.max(known));
            let running = row.status == TaskStatus::Running;
            let of_task = (row.task, Attempt(0), Stream::Out)..=(row.task, Attempt(u32::MAX), Stream::Err);
            for ((_, attempt, _), tail) in self.tails.range_mut(of_task) {
                tail.last |= *attempt < row.attempt || !running;
            }
        }
    }

    fn is_large(&self) -> bool {
        self.job.workflow.len() > 50
    }

    /// Prints what has come; drops files whose attempt has ended.
    fn pump(&mut self, printer: &mut Printer<'_>) -> Result<(), Error> {
        let mut done = Vec::new();
        for (key, tail) in &mut self.tails {
            let (task, attempt, stream) = *key;
            let writer = Writer { task, name: self.job.name(task), attempt, stream };
            if tail.pump(printer, writer)? {
                done.push(*key);
            }
        }
        for key in done {
            self.tails.remove(&key);
        }
        printer.flush()
    }
}

impl Tail {
    fn new(path: PathBuf, tail: Option<usize>) -> Self {
        let mut new = Self { path, file: None, offset: 0, partial: Vec::new(), last: false };
        if let (Some(lines), Ok(mut file)) = (tail, File::open(&new.path)) {
            new.offset = last_lines(&mut file, lines).unwrap_or(0);
        }
        new
    }

    /// Prints what has come; true when nothing can come any more.
    fn pump(&mut self, printer: &mut Printer<'_>, writer: Writer<'_>) -> Result<bool, Error> {
        let bytes = self.read().map_err(|e| Error::io(format!("cannot read {}", self.path.display()), e))?;
        let count = bytes.len();
        self.partial.extend_from_slice(&bytes);
        let mut start = 0;
        while let Some(at) = self.partial[start..].iter().position(|byte| *byte == b'\n') {
            printer.line(writer, &self.partial[start..=start + at])?;
            start += at + 1;
        }
        self.partial.drain(..start);
        let ended = self.last && count == 0;
        if self.partial.len() > LINE || (ended && !self.partial.is_empty()) {
            printer.line(writer, &self.partial)?;
            self.partial.clear();
        }
        Ok(ended)
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let size = file.metadata()?.len();
        // A log at its limit loses its middle and is shorter then: go on with what is new from here.
        self.offset = self.offset.min(size);
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(TURN as u64).read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        Ok(bytes)
    }
}
