//! Progress while a job runs: what the callers hold.

use job_queue::{Micros, TaskRow};
use workflow_model::JobId;

use super::board::Board;
use super::live::Live;
use super::plain::Plain;
use crate::graph::Graph;
use crate::text;

/// How progress is shown.
#[derive(Debug, Clone)]
pub struct Options {
    /// Columns of the terminal.
    pub width: usize,
    /// Rows of the terminal (live only).
    pub height: usize,
    /// Colours.
    pub color: bool,
    /// ASCII characters only.
    pub ascii: bool,
    /// Redraw in place; else plain lines.
    pub live: bool,
    /// The job, once it is known.
    pub job: Option<JobId>,
    /// When the job started: what elapsed times count from.
    pub started: Micros,
    /// How many tasks may run at once, if that is to be shown.
    pub parallel: Option<usize>,
    /// Fan-outs of at least so many tasks are one row; 0 = none.
    pub fold: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 80,
            height: 24,
            color: false,
            ascii: false,
            live: false,
            job: None,
            started: 0,
            parallel: None,
            fold: 4,
        }
    }
}

/// A job's progress. Rows go in with [`update`](Self::update), text comes out of [`render`](Self::render).
#[derive(Debug)]
pub struct Progress {
    board: Board,
    options: Options,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Live(Live),
    Plain(Plain),
}

impl Progress {
    /// Progress of a job of which nothing has begun.
    #[must_use]
    pub fn new(graph: &Graph, options: Options) -> Self {
        let board = Board::new(graph, options.fold, options.ascii);
        let form = if options.live { Form::Live(Live::default()) } else { Form::Plain(Plain::new(&board)) };
        Self { board, options, form }
    }

    /// Takes in a row of a task. Rows that bring nothing new are ignored, so a caller may pass all rows of each poll.
    /// Cheap: no work grows with the size of the job.
    pub fn update(&mut self, row: &TaskRow, now: Micros) {
        let Some(change) = self.board.apply(row) else { return };
        if let Form::Plain(plain) = &mut self.form {
            plain.changed(&self.board, change, row.message.as_deref(), (&self.options, now));
        }
    }

    /// A message for the person who looks on; it stays on the screen.
    pub fn note(&mut self, note: &str) {
        for line in note.lines() {
            let line = if self.options.ascii { text::safe_ascii(line) } else { text::safe(line) }.into_owned();
            match &mut self.form {
                Form::Live(live) => live.notes.push(line),
                Form::Plain(plain) => plain.lines.push(line),
            }
        }
    }

    /// The job's id, once it is known.
    pub fn set_job(&mut self, job: JobId) {
        self.options.job = Some(job);
    }

    /// The terminal has another size now.
    pub fn resize(&mut self, width: usize, height: usize) {
        (self.options.width, self.options.height) = (width, height);
    }

    /// What is to be written now (to standard error), if anything has changed.
    pub fn render(&mut self, now: Micros) -> Option<String> {
        match &mut self.form {
            Form::Live(live) => live.frame(&self.board, &self.options, now),
            Form::Plain(plain) => plain.take(&self.board, &self.options, now),
        }
    }

    /// The last thing to be written: removes the frame, or gives the lines that are left. A summary follows.
    pub fn finish(&mut self, now: Micros) -> String {
        match &mut self.form {
            Form::Live(live) => live.clear(),
            Form::Plain(plain) => plain.take(&self.board, &self.options, now).unwrap_or_default(),
        }
    }
}
