//! The end of a job, for people and as JSON: each task or fan-out with its status and time; of failures the cause, the
//! last lines of their output, and the commands to look further.

use job_queue::{JobRow, Micros, TaskRow};
use serde::Serialize;
use workflow_model::{Attempt, Cause, JobId, JobStatus, TaskIx, TaskStatus};

use crate::graph::{Graph, folds};
use crate::text::{self, between};

/// Failures that are shown in full: of one row, and in all.
const FAILURES_OF_ROW: usize = 3;
const MOST_FAILURES: usize = 10;
/// The last lines of a failed task's output.
const TAIL_LINES: usize = 10;

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The version of this form; fields are added, never changed.
    pub v: u32,
    /// The job.
    pub job: JobId,
    /// Its name for people.
    pub name: Option<String>,
    /// How it ended.
    pub status: JobStatus,
    /// Why it did not succeed.
    pub cause: Option<Cause>,
    /// In words.
    pub message: Option<String>,
    /// From its start to its end.
    pub seconds: Option<f64>,
    /// How many tasks it has.
    pub tasks: usize,
    /// Of them: succeeded.
    pub succeeded: usize,
    /// Failed.
    pub failed: usize,
    /// Cancelled.
    pub cancelled: usize,
    /// Skipped.
    pub skipped: usize,
    /// Every task or fan-out, in the order of the workflow.
    pub rows: Vec<SummaryRow>,
    /// The failures, in the order of the workflow, at most ten (three of one fan-out).
    pub failures: Vec<Failure>,
}

/// A task or a fan-out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SummaryRow {
    /// The task's name, or what the names of the fan-out have in common.
    pub name: String,
    /// The task, of a fan-out the first.
    pub task: TaskIx,
    /// How many tasks.
    pub tasks: usize,
    /// The worst status.
    pub status: TaskStatus,
    /// Of the tasks: succeeded.
    pub succeeded: usize,
    /// Failed.
    pub failed: usize,
    /// Cancelled.
    pub cancelled: usize,
    /// Skipped.
    pub skipped: usize,
    /// Attempts of all of them.
    pub attempts: u64,
    /// From the beginning of the first task's newest attempt to the last end.
    pub seconds: Option<f64>,
}

/// A task that failed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The task.
    pub task: TaskIx,
    /// Its name.
    pub name: String,
    /// The attempt that failed.
    pub attempt: Attempt,
    /// Why.
    pub cause: Option<Cause>,
    /// In words.
    pub message: Option<String>,
    /// The program's return code or 128 + signal.
    pub code: Option<i32>,
    /// The attempt's time.
    pub seconds: Option<f64>,
    /// The last lines of its output, safe to print.
    pub tail: Vec<String>,
}

impl Summary {
    /// Of a job's rows. `tail` gives the end of what an attempt wrote (its standard error, or its output if that is
    /// empty), and is asked for at most ten failures.
    #[must_use]
    pub fn new(
        graph: &Graph,
        job: &JobRow,
        rows: &[TaskRow],
        mut tail: impl FnMut(TaskIx, Attempt) -> Option<String>,
    ) -> Self {
        let mut of_task: Vec<Option<&TaskRow>> = vec![None; graph.nodes().len()];
        for row in rows {
            if let Some(slot) = of_task.get_mut(row.task.index()) {
                *slot = Some(row);
            }
        }
        let mut failures = Vec::new();
        let mut table = Vec::new();
        for fold in folds(graph, 4) {
            let mut shown = 0;
            for &task in &fold.members {
                let Some(row) = of_task[task as usize].filter(|row| row.status == TaskStatus::Failed) else { continue };
                if shown < FAILURES_OF_ROW && failures.len() < MOST_FAILURES {
                    shown += 1;
                    let text = tail(row.task, row.attempt).unwrap_or_default();
                    failures.push(failure(&graph.nodes()[task as usize].label, row, &text));
                }
            }
            table.push(table_row(fold.label, &fold.members, &of_task));
        }
        let all = |of: fn(&SummaryRow) -> usize| table.iter().map(of).sum::<usize>();
        let ended = job.ended.or_else(|| rows.iter().filter_map(|row| row.ended).max());
        Self {
            v: 1,
            job: job.id,
            name: job.name.clone(),
            status: job.status,
            cause: job.cause,
            message: job.message.clone(),
            seconds: seconds(job.started, ended),
            tasks: graph.nodes().len(),
            succeeded: all(|row| row.succeeded),
            failed: all(|row| row.failed),
            cancelled: all(|row| row.cancelled),
            skipped: all(|row| row.skipped),
            rows: table,
            failures,
        }
    }
}

fn table_row(name: String, members: &[u32], of_task: &[Option<&TaskRow>]) -> SummaryRow {
    let rows = || members.iter().filter_map(|&task| of_task[task as usize]);
    let count = |status| rows().filter(|row| row.status == status).count();
    let (succeeded, failed) = (count(TaskStatus::Succeeded), count(TaskStatus::Failed));
    let (cancelled, skipped) = (count(TaskStatus::Cancelled), count(TaskStatus::Skipped));
    let worst = rows().map(|row| row.status).max().unwrap_or(TaskStatus::Waiting);
    // Of tasks that have not ended, the row says so; `succeeded` would be a lie.
    let ended = succeeded + failed + cancelled + skipped == members.len();
    let status = match worst {
        TaskStatus::Skipped if succeeded > 0 => TaskStatus::Succeeded,
        worst if ended || worst == TaskStatus::Failed => worst,
        _ => rows().map(|row| row.status).filter(|s| !s.is_terminal()).max().unwrap_or(TaskStatus::Waiting),
    };
    SummaryRow {
        name,
        task: TaskIx(members[0]),
        tasks: members.len(),
        status,
        succeeded,
        failed,
        cancelled,
        skipped,
        attempts: rows().map(|row| u64::from(row.attempt.0)).sum(),
        seconds: seconds(rows().filter_map(|row| row.started).min(), rows().filter_map(|row| row.ended).max()),
    }
}

fn failure(name: &str, row: &TaskRow, output: &str) -> Failure {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| text::safe_output(line)).collect();
    Failure {
        task: row.task,
        name: name.to_owned(),
        attempt: row.attempt,
        cause: row.cause,
        message: row.message.clone(),
        code: row.code,
        seconds: seconds(row.started, row.ended),
        tail,
    }
}

fn seconds(from: Option<Micros>, to: Option<Micros>) -> Option<f64> {
    Some(between(from?, to?).as_secs_f64())
}
