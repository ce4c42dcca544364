//! `qmanager explain JOB [TASK]`: why it waits, was skipped, failed or ran again, and what would help.

mod job;
mod task;

use serde::Serialize;
use workflow_model::{JobId, TaskIx};

use super::context::Context;
use crate::{
    cli::ExplainArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    select,
    text::{Tone, paint},
};

/// One thing that is so, and what would change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reason {
    /// A sentence.
    what: String,
    /// What to do.
    help: Option<String>,
}

impl Reason {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    id: JobId,
    task: Option<TaskIx>,
    name: Option<&'a str>,
    status: &'a str,
    reasons: &'a [Reason],
}

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> Result<Exit, Error> {
    let queue = context.queue_with(&[&args.job])?;
    let row = context.job(&*queue, &args.job).await?;
    let (workflow, settings) = context.definition(&*queue, &row).await?;
    let rows = queue.tasks(row.id).await?;
    let subject = job::Subject { row: &row, workflow: &workflow, rows: &rows };
    match &args.task {
        None => {
            let reasons = job::reasons(context, &*queue, &subject).await?;
            show(
                context,
                &View {
                    v: JSON_VERSION,
                    id: row.id,
                    task: None,
                    name: row.name.as_deref(),
                    status: row.status.as_str(),
                    reasons: &reasons,
                },
            )?;
        }
        Some(name) => {
            let task = select::task(&workflow, name)?;
            let (status, reasons) = task::reasons(context, &subject, &settings, task)?;
            let name = workflow.task(task).name.as_str();
            show(
                context,
                &View {
                    v: JSON_VERSION,
                    id: row.id,
                    task: Some(task),
                    name: Some(name),
                    status: status.as_str(),
                    reasons: &reasons,
                },
            )?;
        }
    }
    Ok(Exit::Done)
}

fn show(context: &Context, view: &View<'_>) -> Result<(), Error> {
    let out = &context.out;
    if out.json {
        return out.object(view);
    }
    let name = view.name.map_or_else(String::new, |name| format!(" {:?}", crate::text::safe(name)));
    let subject = match view.task {
        Some(task) => format!("task #{task}{name} of job {}", view.id),
        None => format!("job {}{name}", view.id),
    };
    let verb = match view.status {
        "succeeded" | "failed" => "has",
        "skipped" | "cancelled" => "was",
        _ => "is",
    };
    out.line(format_args!("{subject} {verb} {}", paint(view.status, Tone::Bold, out.color)))?;
    for reason in view.reasons {
        out.line(format_args!("- {}", reason.what))?;
        if let Some(help) = &reason.help {
            out.line(format_args!("  {} {help}", paint("help:", Tone::Bold, out.color)))?;
        }
    }
    Ok(())
}
