//! Why a task is in the state it is in.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use job_queue::TaskRow;
use task_process::JobDir;
use workflow_model::{Cause, JobStatus, TaskIx, TaskStatus, When};

use super::{
    Context, Reason,
    job::{NAMED, Subject},
};
use crate::{
    cut,
    exit::Error,
    output::{ago, local, now},
    settings::JobSettings,
    text::{self, safe, safe_output, shell_quote},
};

/// How many of the last lines of standard error are shown.
const LINES: usize = 5;

/// What is known of the tasks around one.
struct Around<'a> {
    subject: &'a Subject<'a>,
    by_task: HashMap<TaskIx, &'a TaskRow>,
}

impl Around<'_> {
    fn status(&self, task: TaskIx) -> TaskStatus {
        self.by_task.get(&task).map_or(TaskStatus::Waiting, |row| row.status)
    }

    /// Whether a task's end counts as a failure for those below it.
    fn is_failure(&self, task: TaskIx) -> bool {
        self.status(task) == TaskStatus::Failed && !self.subject.workflow.task(task).allow_failure
    }

    fn named(&self, tasks: &[TaskIx]) -> String {
        let name = |task: &TaskIx| format!("{:?}", safe(self.subject.workflow.task(*task).name.as_str()));
        let names: Vec<String> = tasks.iter().take(NAMED).map(name).collect();
        let more = tasks.len().saturating_sub(NAMED);
        if more > 0 { format!("{} and {more} more", names.join(", ")) } else { names.join(", ") }
    }

    /// The nearest ancestors that failed: going up stops at a failure.
    fn failed_ancestors(&self, task: TaskIx) -> Vec<TaskIx> {
        let mut seen = vec![false; self.subject.workflow.len()];
        let mut stack = self.subject.workflow.deps(task).to_vec();
        let mut failed = Vec::new();
        while let Some(above) = stack.pop() {
            if std::mem::replace(&mut seen[above.index()], true) {
                continue;
            }
            if self.is_failure(above) {
                failed.push(above);
            } else {
                stack.extend(self.subject.workflow.deps(above));
            }
        }
        failed.sort_unstable();
        failed
    }
}

pub(super) fn reasons(
    context: &Context,
    subject: &Subject<'_>,
    settings: &JobSettings,
    task: TaskIx,
) -> Result<(TaskStatus, Vec<Reason>), Error> {
    let around = Around { subject, by_task: subject.rows.iter().map(|row| (row.task, row)).collect() };
    let row = around.by_task.get(&task).copied();
    let status = around.status(task);
    let mut reasons = match (status, row) {
        (TaskStatus::Waiting, _) => waiting(&around, task),
        (TaskStatus::Skipped, _) => skipped(&around, settings, task),
        (TaskStatus::Cancelled, _) => vec![Reason::new("the job was cancelled")],
        (TaskStatus::Running, Some(row)) => running(row),
        (TaskStatus::Retrying, Some(row)) => retrying(row),
        (TaskStatus::Failed, Some(row)) => failed(context, &around, row)?,
        (TaskStatus::Succeeded, Some(row)) => succeeded(row),
        (TaskStatus::Running | TaskStatus::Retrying | TaskStatus::Failed | TaskStatus::Succeeded, None) => Vec::new(),
    };
    reasons.extend(row.and_then(|row| again(&around, row)));
    Ok((status, reasons))
}

fn waiting(around: &Around<'_>, task: TaskIx) -> Vec<Reason> {
    let subject = around.subject;
    if subject.row.status == JobStatus::Queued {
        let help = format!("`qmanager explain {}` says what the job waits for", subject.short());
        return vec![Reason::new("no worker has the job yet").help(help)];
    }
    let unmet: Vec<TaskIx> =
        subject.workflow.deps(task).iter().copied().filter(|dep| !around.status(*dep).is_terminal()).collect();
    if unmet.is_empty() {
        return vec![
            Reason::new("all it depends on has ended: it waits for a free slot of this host")
                .help("`qmanager status JOB --where` shows what runs; `--parallel` sets how much may"),
        ];
    }
    let mut states: Vec<&str> = unmet.iter().map(|dep| around.status(*dep).as_str()).collect();
    states.sort_unstable();
    states.dedup();
    let reason = Reason::new(format!("it waits for {} ({})", around.named(&unmet), states.join(", ")));
    let first = subject.workflow.task(unmet[0]).name.as_str();
    vec![reason.help(format!("`qmanager explain {} -- {}`", subject.short(), shell_quote(first)))]
}

fn skipped(around: &Around<'_>, settings: &JobSettings, task: TaskIx) -> Vec<Reason> {
    let subject = around.subject;
    if settings.selection.as_ref().is_some_and(|selection| !selection.contains(&task)) {
        return vec![Reason::new("it was left out by --only or --from")];
    }
    let failed = around.failed_ancestors(task);
    match subject.workflow.task(task).when {
        When::Failure if failed.is_empty() => {
            vec![Reason::new("it is for failures (`when: failure`), and none of its ancestors failed")]
        }
        _ if failed.is_empty() => vec![Reason::new("it was skipped because of what its ancestors did")],
        _ => {
            let first = subject.workflow.task(failed[0]).name.as_str();
            let help = format!(
                "mend it, then `qmanager retry {} --from {}`; `when: always` would run it in any case",
                subject.short(),
                shell_quote(first)
            );
            vec![Reason::new(format!("it needs the success of {}, which failed", around.named(&failed))).help(help)]
        }
    }
}

fn running(row: &TaskRow) -> Vec<Reason> {
    let since = row.started.map_or_else(String::new, |at| format!(" since {} ({})", local(at), ago(at, now())));
    let place = row.attempt_process.as_ref();
    let place = place.map_or_else(String::new, |p| format!(", process {} on {}", p.pid, safe(&p.host)));
    let mut reasons = vec![Reason::new(format!("attempt {} runs{since}{place}", row.attempt))];
    if row.stopping.is_some() {
        reasons.push(Reason::new("it is being stopped"));
    }
    reasons
}

fn retrying(row: &TaskRow) -> Vec<Reason> {
    let when = row.retry_at.map_or_else(String::new, |at| format!(", {}", ago(at, now())));
    vec![Reason::new(format!("attempt {} did not succeed ({}); the next one begins{when}", row.attempt, why(row)))]
}

fn failed(context: &Context, around: &Around<'_>, row: &TaskRow) -> Result<Vec<Reason>, Error> {
    let subject = around.subject;
    let task = subject.workflow.task(row.task);
    let name = shell_quote(task.name.as_str());
    let mut reasons = vec![
        Reason::new(format!("attempt {} failed: {}", row.attempt, why(row)))
            .help(format!("`qmanager logs {} -- {name}` shows all it wrote", subject.short())),
    ];
    let folder = JobDir::new(context.layout()?.job(subject.row.id), subject.workflow.len());
    let (_, err) = folder.logs(row.task, &task.name, row.attempt);
    let tail = tail(&err);
    if !tail.is_empty() {
        reasons.push(Reason::new(format!("the last it wrote to standard error:\n    {}", tail.join("\n    "))));
    }
    if let Some(help) = row.cause.and_then(advice) {
        reasons.push(Reason::new(help));
    }
    if task.allow_failure {
        reasons.push(Reason::new("it has `allow_failure`: for others and for the job it counts as succeeded"));
    }
    Ok(reasons)
}

fn succeeded(row: &TaskRow) -> Vec<Reason> {
    let time = row.started.zip(row.ended).map(|(from, to)| text::duration(text::between(from, to)));
    let mut reasons =
        vec![Reason::new(time.map_or_else(|| "it succeeded".into(), |time| format!("it succeeded after {time}")))];
    reasons.extend(cut::of(row.message.as_deref()).map(|lacks| Reason::new(safe(lacks).into_owned())));
    reasons
}

/// Why it ran more than once.
fn again(around: &Around<'_>, row: &TaskRow) -> Option<Reason> {
    if row.attempt.0 < 2 {
        return None;
    }
    let round = around.subject.row.round;
    let mut parts = Vec::new();
    if row.retries > 0 {
        parts.push(format!("{} of its own retries", row.retries));
    }
    if row.losses > 0 {
        parts.push(format!("{} lost to the host or its workers (not its fault, not counted as retries)", row.losses));
    }
    if round > 1 {
        parts.push(format!("`qmanager retry` (round {round})"));
    }
    if parts.is_empty() {
        parts.push("a stop of the daemon, which counts for nothing".into());
    }
    Some(Reason::new(format!("it was started {} times: {}", row.attempt, parts.join(", "))))
}

fn why(row: &TaskRow) -> String {
    match (&row.message, row.cause) {
        (Some(message), _) if !message.is_empty() => safe(message).into_owned(),
        (_, Some(cause)) => row.code.map_or_else(|| cause.to_string(), |code| format!("{cause} {code}")),
        _ => "for an unknown reason".into(),
    }
}

fn advice(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Timeout => Some("it ran longer than its `timeout`: raise it, or make the task shorter"),
        Cause::Oom => Some("it used more memory than it may: raise `resources.memory`"),
        Cause::Poison => Some("it was lost too often: it seems to end whatever runs it"),
        Cause::LostExecutor => Some("its task executor ended without a word; `qmanager doctor` checks this host"),
        Cause::Invalid => Some("it cannot be run as it is written: see the words above"),
        Cause::UserExit
        | Cause::Signal
        | Cause::Cancelled
        | Cause::LostWorker
        | Cause::LostInfra
        | Cause::ImagePull
        | Cause::Upstream => None,
    }
}

/// The last lines of a file; none if it cannot be read.
fn tail(path: &std::path::Path) -> Vec<String> {
    const BYTES: u64 = 4096;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let size = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(size.saturating_sub(BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| safe_output(line)).collect()
}
