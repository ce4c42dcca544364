//! A job that cannot be gone on with: what an earlier worker left running of it is ended, as a stop ends it, and then no
//! task of it is left open.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use executor::{Ending, Executor, Handle, Shutdown};
use job_queue::{AttemptProcess, JobRow, StopWhy, TaskRow};
use task_process::{JobDir, Lease, Paths, Running, TaskReport};
use tokio::{task::JoinSet, time::timeout};
use workflow_model::{Attempt, Cause, TaskIx, TaskName, TaskStatus};

use super::{
    Error,
    launch::chain,
    process::Worker,
    run::Clock,
    turn::{STOP_PATIENCE, marked_handle},
};
use crate::link::{Order, StopHow};

/// An attempt that may still run.
struct Left {
    task: TaskIx,
    process: Option<Running>,
    row: AttemptProcess,
    paths: Paths,
    /// What it started, as far as that can be told without its handle file.
    marked: Option<Handle>,
}

/// How it ended: its report, if it got that far.
type End = (TaskIx, Option<TaskReport>);

/// Ends the attempts that `rows` have as running, and answers the rows with which the job ends: those, cancelled unless
/// they had succeeded, and all that never started, skipped.
pub(super) async fn close(
    worker: &mut Worker,
    job: &JobRow,
    rows: &[TaskRow],
    why: &str,
    clock: &Clock,
) -> Result<Vec<TaskRow>, Error> {
    let running: Vec<TaskRow> = rows
        .iter()
        .filter(|row| row.status == TaskStatus::Running)
        .map(|row| TaskRow { stopping: Some(StopWhy::Cancel), ..row.clone() })
        .collect();
    let mut reports = HashMap::new();
    if !running.is_empty() {
        // The intent first: whatever happens to us, their ends are mapped by it.
        worker.insist(async |queue| queue.record(job.id, job.epoch, &running).await).await?;
        reports = end_all(worker, job, &running).await?;
    }
    Ok(closing(job, rows, &reports, why, clock.now_wall()))
}

async fn end_all(worker: &mut Worker, job: &JobRow, running: &[TaskRow]) -> Result<HashMap<TaskIx, TaskReport>, Error> {
    let patience = worker.setup.pool.settings.tasks.grace + STOP_PATIENCE;
    let job_files = worker.layout.job(job.id).join("files");
    let mut ends: JoinSet<End> = JoinSet::new();
    let mut processes = Vec::new();
    for left in running.iter().filter_map(|row| Left::of(worker, job, row)) {
        processes.extend(left.process.clone());
        ends.spawn(left.end(Arc::clone(&worker.executor), job_files.clone(), patience));
    }
    let mut reports = HashMap::new();
    let mut later = Vec::new();
    let result = loop {
        tokio::select! {
            biased;
            end = ends.join_next() => match end {
                Some(Ok((task, Some(report)))) => drop(reports.insert(task, report)),
                Some(_) => {}
                None => break Ok(reports),
            },
            order = worker.orders.recv() => match order.flatten() {
                // They are being stopped already; but now there is no time for grace.
                Some(Order::Stop(StopHow::Now)) => {
                    processes.iter().for_each(|process| told(process.stop_now()));
                    later.push(Order::Stop(StopHow::Now));
                }
                Some(other) => later.push(other),
                None => break Err(Error::ManagerGone),
            },
        }
    };
    later.into_iter().for_each(|order| worker.put_back(Some(order)));
    result
}

impl Left {
    /// `None`: it cannot be here (another host, an earlier boot).
    fn of(worker: &Worker, job: &JobRow, row: &TaskRow) -> Option<Self> {
        let process_row = row.attempt_process.clone()?;
        if process_row.host != worker.host || process_row.boot_id != task_process::boot_id() {
            return None;
        }
        let AttemptProcess { pid, start_time, boot_id, .. } = process_row.clone();
        let process = Running::adopt(&executor::ProcessId { pid, start_time, boot_id });
        let process = process.unwrap_or_else(|error| {
            tracing::warn!(task = %row.task, error = chain(&error), "cannot take hold of a task executor");
            None
        });
        let dir = JobDir::new(worker.layout.job(job.id), job.tasks as usize);
        // Only the logs' names have the task's in them, and those are not looked at.
        let name = TaskName::new("task").expect("BUG: a valid name");
        let paths = dir.paths(row.task, &name, row.attempt, Lease::path(worker.run_dir.path(), job.id));
        let marked = marked_handle(worker, &process_row, job.id, row.task, row.attempt);
        Some(Self { task: row.task, process, row: process_row, paths, marked })
    }

    /// The task executor is told to stop, and ends its task's tree; if it does not, it is killed, and the tree with it.
    async fn end(self, executor: Arc<dyn Executor>, job_files: std::path::PathBuf, patience: Duration) -> End {
        let Self { task, process, row, paths, marked } = self;
        if let Some(process) = process {
            told(process.stop());
            if timeout(patience, process.exited()).await.is_err() {
                tracing::warn!(%task, "a task executor does not stop, killing it");
                told(process.kill());
                process.exited().await;
            }
        }
        let report = task_process::read_report(&paths, row.nonce);
        if report.is_none()
            && let Some(handle) = task_process::read_handle(&paths).or(marked)
        {
            stop_tree(executor, handle, &job_files).await;
        }
        (task, report)
    }
}

async fn stop_tree(executor: Arc<dyn Executor>, handle: Handle, job_files: &Path) {
    let (runtime, job_files) = (tokio::runtime::Handle::current(), job_files.to_path_buf());
    // Blocks (shell's futures block in poll), so not in the worker's own thread.
    let stopped =
        tokio::task::spawn_blocking(move || runtime.block_on(executor.stop(&handle, Shutdown::Twice, &job_files)));
    if let Err(error) = stopped.await.unwrap_or_else(|error| Err(error.to_string())) {
        tracing::warn!(error, "something that a lost task executor started may live on");
    }
}

fn told(result: Result<(), task_process::Error>) {
    if let Err(error) = result {
        tracing::warn!(error = chain(&error), "cannot stop a task executor");
    }
}

/// The last rows of a job that cannot be gone on with: what is terminal stays as it is (I2).
fn closing(job: &JobRow, rows: &[TaskRow], reports: &HashMap<TaskIx, TaskReport>, why: &str, now: i64) -> Vec<TaskRow> {
    let by_task: HashMap<TaskIx, &TaskRow> = rows.iter().map(|row| (row.task, row)).collect();
    let close = |ix| {
        let task = TaskIx(ix);
        let row = by_task.get(&task).map_or_else(|| TaskRow::waiting(task, Attempt(0)), |row| (*row).clone());
        let bare = TaskRow { retry_at: None, attempt_process: None, stopping: None, ..row };
        let (status, cause) = match bare.status {
            status if status.is_terminal() => return None,
            TaskStatus::Running if succeeded(reports.get(&task)) => (TaskStatus::Succeeded, None),
            TaskStatus::Running | TaskStatus::Retrying => (TaskStatus::Cancelled, Some(Cause::Cancelled)),
            _ => (TaskStatus::Skipped, None),
        };
        let ended = if bare.status == TaskStatus::Running { Some(now) } else { bare.ended };
        let message = if status == TaskStatus::Succeeded { None } else { Some(why.to_owned()) };
        Some(TaskRow { status, cause, message, ended, ..bare })
    };
    (0..job.tasks).filter_map(close).collect()
}

/// A success stays one, whatever we wanted.
fn succeeded(report: Option<&TaskReport>) -> bool {
    report.is_some_and(|report| report.outcome.ending == (Ending::Exited { code: 0 }))
}
