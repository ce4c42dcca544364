//! One job: its state, its tasks, and where they run.

use std::{collections::HashMap, sync::Arc};

use job_queue::{JobQueue, JobRow, Micros, TaskRow};
use serde::Serialize;
use workflow_model::{JobStatus, TaskIx, TaskStatus, Workflow};

use super::Context;
use crate::{
    cli::StatusArgs,
    commands::{list, pulse::Pulse, screen, serving::Serving},
    cut,
    exit::{Error, Exit},
    foreground,
    output::{JobView, Output, Table, TaskView, ago, local, now},
    text::{self, Tone, paint, safe},
};

/// How many tasks are shown when not all are wanted.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct View<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    /// With `--tasks` all, with `--where` those that run.
    #[serde(skip_serializing_if = "Option::is_none")]
    task_list: Option<Vec<TaskView<'a>>>,
}

pub(super) async fn run(context: &Context, args: &StatusArgs, selector: &str) -> Result<Exit, Error> {
    let queue = context.queue_with(&[selector])?;
    let job = context.job(&*queue, selector).await?;
    if args.follow {
        return follow(context, args, &queue, job).await;
    }
    show(context, args, &*queue, &job).await?;
    // A daemon's job that runs has a worker, or gets one back; a foreground run that has gone does not come again.
    if job.status == JobStatus::Queued || !job.status.is_terminal() && foreground::is_reserved(&job.queue) {
        Serving::warn(context, &*queue, &job.queue).await?;
    }
    Ok(Exit::Done)
}

async fn show(context: &Context, args: &StatusArgs, queue: &dyn JobQueue, job: &JobRow) -> Result<(), Error> {
    let out = &context.out;
    let wants_tasks = args.tasks || args.r#where || !out.json;
    if !wants_tasks {
        return out.object(&View { job: JobView::new(job), task_list: None });
    }
    let rows = queue.tasks(job.id).await?;
    let (workflow, _) = context.definition(queue, job).await?;
    if out.json {
        let tasks = tasks(&workflow, &rows).filter(|(_, _, row)| args.tasks || is_running(*row));
        let tasks = tasks.map(|(task, name, row)| TaskView::new(task, name, row)).collect();
        return out.object(&View { job: JobView::new(job), task_list: Some(tasks) });
    }
    head(out, job, now())?;
    table(out, args, &workflow, &rows, now())
}

fn tasks<'a>(
    workflow: &'a Workflow,
    rows: &'a [TaskRow],
) -> impl Iterator<Item = (TaskIx, &'a str, Option<&'a TaskRow>)> {
    let by_task: HashMap<TaskIx, &TaskRow> = rows.iter().map(|row| (row.task, row)).collect();
    workflow.iter().map(move |(ix, task)| (ix, task.name.as_str(), by_task.get(&ix).copied()))
}

fn is_running(row: Option<&TaskRow>) -> bool {
    row.is_some_and(|row| row.status == TaskStatus::Running)
}

fn head(out: &Output, job: &JobRow, now: Micros) -> Result<(), Error> {
    let name = job.name.as_deref().map_or_else(String::new, |name| format!(" {}", safe(name)));
    let status = paint(job.status.as_str(), Tone::of_job(job.status), out.color);
    out.line(format_args!("job {}{name}: {status}", job.id))?;
    if let Some(cause) = job.cause {
        let message = job.message.as_deref().map_or_else(String::new, |message| format!(": {}", safe(message)));
        out.line(format_args!("  cause      {cause}{message}"))?;
    }
    let priority = if job.priority == 0 { String::new() } else { format!(", priority {}", job.priority) };
    let key = job.limit_key.as_deref().map_or_else(String::new, |key| format!(", limit key {}", safe(key)));
    out.line(format_args!("  queue      {}, round {}{priority}{key}", job.queue, job.round))?;
    out.line(format_args!("  submitted  {} ({})", local(job.created), ago(job.created, now)))?;
    if let Some(at) = job.run_at.filter(|_| job.status == JobStatus::Queued) {
        out.line(format_args!("  not before {} ({})", local(at), ago(at, now)))?;
    }
    if job.started.is_some() {
        out.line(format_args!("  ran        {}", list::time(job, now)))?;
    }
    if !job.labels.is_empty() {
        let labels: Vec<String> = job.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        out.line(format_args!("  labels     {}", safe(&labels.join(" "))))?;
    }
    if let Some(owner) = &job.owner {
        out.line(format_args!("  worker     {} on {}", owner.slot, safe(&owner.host)))?;
    }
    let counts = job.counts;
    let waiting = job.tasks.saturating_sub(list::ended_tasks(job) + counts.running);
    let parts = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.running, "running"),
        (waiting, "waiting"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    out.line(format_args!("  tasks      {} of {}", parts.join(", "), job.tasks))
}

/// The tasks that matter first: what runs, what failed; with `--tasks` all of them.
fn table(out: &Output, args: &StatusArgs, workflow: &Workflow, rows: &[TaskRow], now: Micros) -> Result<(), Error> {
    let mut chosen: Vec<(TaskIx, &str, Option<&TaskRow>)> = tasks(workflow, rows).collect();
    if args.r#where && !args.tasks {
        chosen.retain(|(_, _, row)| is_running(*row));
    }
    let limited = !args.tasks && chosen.len() > SHOWN;
    if limited {
        chosen.sort_by_key(|(task, _, row)| (rank(*row), *task));
        chosen.truncate(SHOWN);
    }
    if chosen.is_empty() {
        return Ok(());
    }
    let mut heading = vec!["", "TASK", "STATUS", "ATTEMPT", "TIME"];
    if args.r#where {
        heading.extend(["HOST", "PID", "SINCE"]);
    }
    heading.push("CAUSE");
    let mut lines = Table::new(&heading);
    for (task, name, row) in &chosen {
        let status = row.map_or(TaskStatus::Waiting, |row| row.status);
        let mut cells = vec![
            format!("#{task}"),
            text::cut_middle(&safe(name), 48, false).into_owned(),
            status.to_string(),
            row.filter(|row| row.attempt.0 > 0).map_or_else(|| "-".into(), |row| row.attempt.to_string()),
            row.and_then(|row| time(row, now)).unwrap_or_default(),
        ];
        if args.r#where {
            cells.extend(place(*row));
        }
        cells.push(row.and_then(cause).unwrap_or_default());
        lines.row(cells);
    }
    let mut lines = lines.lines().into_iter();
    if let Some(heading) = lines.next() {
        out.line(paint(&heading, Tone::Dim, out.color))?;
    }
    for (line, (_, _, row)) in lines.zip(&chosen) {
        let tone = Tone::of_task(row.map_or(TaskStatus::Waiting, |row| row.status));
        out.line(paint(&line, tone, out.color))?;
    }
    if limited {
        out.note(format_args!("{SHOWN} of {} tasks; --tasks shows all", workflow.len()));
    }
    Ok(())
}

fn rank(row: Option<&TaskRow>) -> u8 {
    match row.map(|row| row.status) {
        Some(TaskStatus::Running) => 0,
        Some(TaskStatus::Retrying) => 1,
        Some(TaskStatus::Failed) => 2,
        Some(TaskStatus::Cancelled) => 3,
        Some(TaskStatus::Skipped) => 4,
        Some(TaskStatus::Waiting) | None => 5,
        Some(TaskStatus::Succeeded) => 6,
    }
}

fn time(row: &TaskRow, now: Micros) -> Option<String> {
    let started = row.started?;
    let ended = if row.status == TaskStatus::Running { now } else { row.ended? };
    Some(text::duration(text::between(started, ended)))
}

fn place(row: Option<&TaskRow>) -> [String; 3] {
    let process = row.filter(|row| row.status == TaskStatus::Running).and_then(|row| row.attempt_process.as_ref());
    match process {
        Some(process) => [
            safe(&process.host).into_owned(),
            process.pid.to_string(),
            row.and_then(|row| row.started).map(local).unwrap_or_default(),
        ],
        None => ["-".into(), "-".into(), "-".into()],
    }
}

fn cause(row: &TaskRow) -> Option<String> {
    let Some(cause) = row.cause else {
        return cut::of(row.message.as_deref()).map(|lacks| text::cut(&safe(lacks), 100).into_owned());
    };
    let code = row.code.map_or_else(String::new, |code| format!(" {code}"));
    let message = row.message.as_deref().map_or_else(String::new, |message| format!(": {}", safe(message)));
    Some(text::cut(&format!("{cause}{code}{message}"), 100).into_owned())
}

/// A line whenever something has changed, until the job has ended.
async fn follow(
    context: &Context,
    args: &StatusArgs,
    queue: &Arc<dyn JobQueue>,
    mut job: JobRow,
) -> Result<Exit, Error> {
    if !job.status.is_terminal() {
        Serving::warn(context, &**queue, &job.queue).await?;
    }
    if context.out.progress && !context.out.json {
        if let Some(ended) = screen::follow(context, &**queue, job.id, None).await? {
            show(context, args, &**queue, &ended).await?;
        }
        return Ok(Exit::Done);
    }
    let database = context.database_file()?;
    let mut pulse = Pulse::of(database.as_deref());
    let mut last = None;
    loop {
        let state = (job.status, job.counts, job.round);
        if last != Some(state) {
            last = Some(state);
            line(&context.out, &job)?;
            context.out.flush()?;
        }
        if job.status.is_terminal() {
            break;
        }
        pulse.next(None).await;
        job = queue.get(job.id).await?;
    }
    if !context.out.json {
        show(context, args, &**queue, &job).await?;
    }
    Ok(Exit::Done)
}

fn line(out: &Output, job: &JobRow) -> Result<(), Error> {
    if out.json {
        return out.object(&JobView::new(job));
    }
    let status = paint(job.status.as_str(), Tone::of_job(job.status), out.color);
    let (ended, all, running, failed) = (list::ended_tasks(job), job.tasks, job.counts.running, job.counts.failed);
    let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    out.line(format_args!("{status} {ended}/{all} tasks, {running} running{failed}, {}", list::time(job, now())))
}
