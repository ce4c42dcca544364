//! A job's progress on standard error: redrawn in place on a terminal, else a line for each thing that happens; and the
//! summary at its end.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use job_queue::{JobQueue, JobRow, TaskRow};
use task_process::JobDir;
use tokio::time::{Duration, Instant};
use workflow_model::{JobId, Workflow};

use super::{context::Context, pulse::Pulse};
use crate::{
    exit::Error,
    graph::Graph,
    output::{Output, now},
    progress::{Look, Options, Progress, Summary},
};

/// How often a live view is drawn anew.
const FRAME: Duration = Duration::from_millis(100);
/// The end of a failed task's output, in bytes.
const TAIL: u64 = 4096;

/// Shows a job.
pub(super) struct Screen<'a> {
    out: &'a Output,
    progress: Progress,
}

impl<'a> Screen<'a> {
    pub(super) fn new(context: &'a Context, graph: &Graph, job: JobId, parallel: Option<u32>) -> Self {
        let (width, height) = context.error_size();
        let options = Options {
            width,
            height,
            color: context.out.color_notes,
            ascii: context.is_ascii(),
            live: context.out.progress,
            job: Some(job),
            started: now(),
            parallel: parallel.map(|parallel| parallel as usize),
            ..Options::default()
        };
        Self { out: &context.out, progress: Progress::new(graph, options) }
    }

    /// Rows as they are now; those that bring nothing new are passed over.
    pub(super) fn rows(&mut self, rows: &[TaskRow]) {
        let now = now();
        rows.iter().for_each(|row| self.progress.update(row, now));
    }

    /// A sentence that stays.
    pub(super) fn note(&mut self, note: &str) {
        self.progress.note(note);
    }

    /// Writes what has changed.
    pub(super) fn draw(&mut self) {
        if let Some(text) = self.progress.render(now()) {
            self.out.raw_note(&text);
        }
    }

    /// Removes a live view, or writes the lines that are left.
    pub(super) fn finish(mut self) {
        let text = self.progress.finish(now());
        self.out.raw_note(&text);
    }
}

/// Follows a job that others run until it has ended; `None` at the deadline.
pub(super) async fn follow(
    context: &Context,
    queue: &dyn JobQueue,
    id: JobId,
    deadline: Option<Instant>,
) -> Result<Option<JobRow>, Error> {
    let database = context.database_file()?;
    // The watch begins before the first look, so that no change falls between.
    let mut pulse = Pulse::of(database.as_deref());
    let mut job = queue.get(id).await?;
    if context.out.quiet || job.status.is_terminal() {
        return wait(context, queue, job, &mut pulse, deadline).await;
    }
    let (workflow, _) = context.definition(queue, &job).await?;
    let mut screen = Screen::new(context, &Graph::of(&workflow), id, None);
    let ended = loop {
        screen.rows(&queue.tasks(id).await?);
        screen.draw();
        if job.status.is_terminal() {
            break Some(job);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            break None;
        }
        draw_until_changed(context, &mut screen, &mut pulse, deadline).await;
        // The state before the rows: those of an ended job are complete.
        job = again(context, queue, job).await?;
    };
    screen.finish();
    Ok(ended)
}

/// Without a word, until the end.
async fn wait(
    context: &Context,
    queue: &dyn JobQueue,
    mut job: JobRow,
    pulse: &mut Pulse,
    deadline: Option<Instant>,
) -> Result<Option<JobRow>, Error> {
    while !job.status.is_terminal() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
        pulse.next(deadline).await;
        job = again(context, queue, job).await?;
    }
    Ok(Some(job))
}

/// The job as it is now; as it was, if the database is busy.
async fn again(context: &Context, queue: &dyn JobQueue, job: JobRow) -> Result<JobRow, Error> {
    match queue.get(job.id).await {
        Err(error) if error.is_transient() => {
            context.out.note(format_args!("{error}; trying again"));
            Ok(job)
        }
        other => Ok(other?),
    }
}

async fn draw_until_changed(context: &Context, screen: &mut Screen<'_>, pulse: &mut Pulse, deadline: Option<Instant>) {
    let changed = pulse.next(deadline);
    tokio::pin!(changed);
    loop {
        tokio::select! {
            () = &mut changed => return,
            () = tokio::time::sleep(FRAME), if context.out.progress => screen.draw(),
        }
    }
}

/// How a job ended, with the ends of what its failed tasks wrote.
pub(super) fn summary(
    context: &Context,
    workflow: &Workflow,
    job: &JobRow,
    rows: &[TaskRow],
) -> Result<Summary, Error> {
    let folder = JobDir::new(context.layout()?.job(job.id), workflow.len());
    let tail = |task, attempt| {
        let (out, err) = folder.logs(task, &workflow.get(task)?.name, attempt);
        end_of(&err).or_else(|| end_of(&out))
    };
    Ok(Summary::new(&Graph::of(workflow), job, rows, tail))
}

/// How a summary looks on standard error.
pub(super) fn look(context: &Context) -> Look {
    let mut flags = Vec::new();
    if let Some(dir) = &context.global.state_dir {
        flags.extend(["--state-dir".to_owned(), dir.display().to_string()]);
    }
    if let Some(db) = &context.global.db {
        flags.extend(["--db".to_owned(), job_queue::shown_url(db)]);
    }
    Look { width: context.error_size().0, color: context.out.color_notes, ascii: context.is_ascii(), flags }
}

fn end_of(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let size = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
