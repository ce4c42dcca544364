//! What a foreground run shows, one line an event.

use job_queue::TaskRow;
use workflow_model::{JobId, JobStatus, TaskStatus, Workflow};

use crate::{
    commands::context::Context,
    foreground::Observer,
    manager::Notice,
    output::Output,
    text::{self, Tone, counted, paint, safe},
};

/// Prints lines on standard error.
pub(super) struct Lines<'a> {
    out: &'a Output,
    id: JobId,
    workflow: &'a Workflow,
    ascii: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(context: &'a Context, id: JobId, workflow: &'a Workflow) -> Self {
        Self { out: &context.out, id, workflow, ascii: context.is_ascii() }
    }

    fn row(&self, row: &TaskRow) {
        if matches!(row.status, TaskStatus::Waiting | TaskStatus::Running) {
            return;
        }
        let Some(task) = self.workflow.get(row.task) else { return };
        let mark = paint(text::mark(row.status, self.ascii), Tone::of_task(row.status), self.out.color_notes);
        let time = match (row.started, row.ended) {
            (Some(started), Some(ended)) => format!("  {}", text::duration(text::between(started, ended))),
            _ => String::new(),
        };
        let cause = row.cause.map_or_else(String::new, |cause| format!("  {cause}"));
        let message = row.message.as_deref().map_or_else(String::new, |message| format!(": {}", safe(message)));
        self.out.note(format_args!("{mark} {}{time}{cause}{message}", safe(task.name.as_str())));
    }

    fn ended(&self, status: JobStatus) {
        let status_text = paint(status.as_str(), Tone::of_job(status), self.out.color_notes);
        self.out.note(format_args!("job {} {status_text}: {}", self.id.short(), counted(self.workflow.len(), "task")));
    }
}

impl Observer for Lines<'_> {
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Took { resumed: true } => self.out.note("going on with what an earlier worker began"),
            Notice::Took { resumed: false } => {}
            Notice::Rows(rows) => rows.iter().for_each(|row| self.row(row)),
            Notice::Ended(status) => self.ended(status),
            Notice::Degraded(Some(what)) => self.out.warn(safe(&what)),
            Notice::Degraded(None) => self.out.note("it is well again"),
            Notice::Stopping(false) => self.out.note("stopping: tasks are being ended; once more = at once"),
            Notice::Stopping(true) => self.out.note("killing what runs"),
        }
    }

    fn frame(&mut self) {}
}
