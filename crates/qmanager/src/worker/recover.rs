//! Opening a job: a new one, or one that an earlier worker left in any state.
//!
//! What the earlier worker knew is in the task rows and the report files. For each attempt that is recorded as running:
//! its report is there (it ended), or its task executor lives (it is adopted), or it is lost; then its tree is ended
//! before it runs again.

use dag_scheduler::{Cause, Limits, Plan, Rules, Scheduler};
use failpoint::Bug;
use job_queue::{AttemptProcess, Checked, Claimed, JobEnding, JobRow, TaskRow};
use task_process::{JobDir, Lease, Running};
use workflow_model::{Cause as JobCause, ExecutorKind, JobStatus, TaskIx, TaskStatus, Workflow};

use super::{
    Error, aftermath,
    attempt::Live,
    launch::chain,
    process::Worker,
    record,
    run::{Clock, Run},
};
use crate::{manager::Pool, settings::JobSettings, unchecked};

/// A claimed job, looked at.
#[derive(Debug)]
pub(super) enum Opened {
    /// To be driven.
    Run(Box<Run>),
    /// It cannot run here; nothing of it runs any more.
    Invalid(JobEnding, Vec<TaskRow>),
}

/// Opens a claimed job.
pub(super) async fn open(worker: &mut Worker, claimed: Claimed) -> Result<Opened, Error> {
    let Claimed { job, definition, settings, tasks, resumed } = claimed;
    let clock = Clock::start();
    let read = if job.is_unchecked() {
        check_in(worker, &job, &definition).await?
    } else {
        stored(&definition, &settings).map_err(|error| format!("the stored definition cannot be read: {error}"))
    };
    let (workflow, settings) = match read {
        Ok(read) => read,
        Err(message) => return invalid(worker, &job, &tasks, message, &clock).await,
    };
    drop(definition);
    let dir = JobDir::new(worker.layout.job(job.id), workflow.len());
    // The executor enforces `timeout` itself, with the grace period; the scheduler's timer only backs it up.
    let slack = Rules::default().timeout_slack + backed_up_after(&worker.setup.pool);
    let plan = if failpoint::has(Bug::EdgeIgnored) { edgeless(&workflow) } else { Plan::from(&workflow) };
    let plan = plan.with_rules(Rules { timeout_slack: slack, ..Rules::default() });
    let fresh = tasks.is_empty();
    let rows = if fresh { unselected(&workflow, &settings, &clock) } else { tasks };
    let scheduler = match restore(&plan, (&workflow, worker.slots.count()), &rows, &clock) {
        Ok(scheduler) => scheduler,
        Err(error) => {
            let message = format!("the stored task states do not fit the definition: {error}");
            return invalid(worker, &job, &rows, message, &clock).await;
        }
    };
    drop(plan);
    let mut run = Run::new(job, workflow, settings, dir, scheduler, clock);
    if !resumed && let Err(problems) = worker.check(&run) {
        return invalid(worker, &run.job, &rows, problems, &run.clock).await;
    }
    // Only now: a job that cannot run leaves no folders behind.
    let untouched = rows.iter().all(|row| row.attempt.0 == 0);
    run.is_first_claim = untouched && !resumed;
    if let Some(places) = run.dir.create(worker.leftover.take())? {
        run.places = places;
    }
    worker.prepare_job_files(&run, untouched)?;
    if fresh && !rows.is_empty() {
        let (job, epoch) = (run.job.id, run.job.epoch);
        worker.insist(async |queue| queue.record(job, epoch, &rows).await).await?;
    }
    for row in rows.iter().filter(|row| row.status == TaskStatus::Running) {
        reconcile(worker, &mut run, row);
    }
    if let Some(how) = run.job.cancel {
        let now = run.now();
        run.cancel(how, now);
    }
    Ok(Opened::Run(Box::new(run)))
}

fn stored(definition: &str, settings: &str) -> Result<(Workflow, JobSettings), String> {
    if failpoint::has(Bug::RetriesUnbounded) {
        let definition = definition.replace("\"max\":", "\"max\":1");
        let workflow = Workflow::from_canonical_json(&definition).map_err(|error| chain(&error))?;
        return Ok((workflow, serde_json::from_str(settings).map_err(|error| error.to_string())?));
    }
    let workflow = Workflow::from_canonical_json(definition).map_err(|error| chain(&error))?;
    let settings = serde_json::from_str(settings).map_err(|error| error.to_string())?;
    Ok((workflow, settings))
}

/// A definition that came by SQL is checked now, and written down in its checked form; or it is wrong.
async fn check_in(
    worker: &mut Worker,
    job: &JobRow,
    text: &str,
) -> Result<Result<(Workflow, JobSettings), String>, Error> {
    let (workflow, settings) = match unchecked::read(text) {
        Ok(read) => read,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let checked = Checked {
        definition: workflow.to_canonical_json(),
        hash: workflow.hash(),
        tasks: u32::try_from(workflow.len()).unwrap_or(u32::MAX),
        settings: serde_json::to_string(&settings).expect("BUG: settings are always JSON"),
    };
    worker.insist(async |queue| queue.define(job.id, job.epoch, checked.clone()).await).await?;
    Ok(Ok((workflow, settings)))
}

/// What has become of an attempt that an earlier worker recorded as running.
fn reconcile(worker: &mut Worker, run: &mut Run, row: &TaskRow) {
    let now = run.now();
    let (task, attempt) = (row.task, row.attempt);
    let name = run.workflow.task(task).name.clone();
    let paths = run.dir.paths(task, &name, attempt, Lease::path(worker.run_dir.path(), run.job.id));
    let Some(process_row) = row.attempt_process.clone() else {
        let event = dag_scheduler::Event::Lost { task: task.into(), attempt: attempt.into(), cause: Cause::LostWorker };
        return run.apply(event, now);
    };
    let AttemptProcess { pid, start_time, boot_id, host, nonce } = process_row.clone();
    let here = host == worker.host;
    let id = executor::ProcessId { pid, start_time, boot_id };
    let started = row.started.unwrap_or(run.clock.origin_wall);
    let live = Live {
        attempt,
        nonce,
        paths,
        process: None,
        slots: None,
        process_row: Some(process_row),
        attaches: 0,
        started,
    };
    let paths = live.paths.clone();
    run.live.insert(task, live);
    if failpoint::has(Bug::NotAdopted) {
        return run.lost(task, Cause::LostWorker, "not looked for".into(), now);
    }
    if let Some(report) = task_process::read_report(&paths, nonce) {
        return run.reported(&report, now);
    }
    let adopted = if here { Running::adopt(&id) } else { Ok(None) };
    match adopted {
        Ok(Some(running)) => {
            tracing::info!(job = %run.job.id, %task, pid, "adopted a task executor");
            worker.watch(run.job.id, task, attempt, &running);
            if let Some(live) = run.live.get_mut(&task) {
                live.process = Some(running);
            }
            let (task, attempt) = (task.into(), attempt.into());
            run.apply(dag_scheduler::Event::Started { task, attempt }, now);
        }
        // It ended between the look at its report and now, or long ago: as if it had been watched (report, else the
        // tree is ended and the attempt lost).
        Ok(None) if here && id.boot_id == task_process::boot_id() => worker.watch_ended(run.job.id, task, attempt),
        Ok(None) => {
            let message = "the host that ran it was restarted, or is not this one".to_owned();
            run.lost(task, Cause::LostWorker, message, now);
        }
        Err(error) => {
            tracing::warn!(%task, error = chain(&error), "cannot adopt a task executor");
            worker.watch_ended(run.job.id, task, attempt);
        }
    }
}

/// How long a task executor may be at work beyond its task's timeout: the timeout counts from the launch.
fn backed_up_after(pool: &Pool) -> std::time::Duration {
    let pull = match pool.executor {
        ExecutorKind::Docker => pool.settings.executors.docker.pull_timeout,
        _ => std::time::Duration::ZERO,
    };
    pool.settings.tasks.grace + pull
}

/// What a worker that is wrong takes for the workflow ([`Bug::EdgeIgnored`]).
fn edgeless(workflow: &Workflow) -> Plan {
    let policies = Plan::from(workflow);
    let tasks = workflow.iter().map(|(task, _)| *policies.policy(task.into()));
    Plan::from_edges(tasks, []).unwrap_or_default()
}

fn restore(
    plan: &Plan,
    (workflow, slots): (&Workflow, usize),
    rows: &[TaskRow],
    clock: &Clock,
) -> Result<Scheduler, dag_scheduler::IllegalRow> {
    // What really runs at once is decided by the host's slots, which other workers use too.
    let limits = Limits { parallel: u32::try_from(slots).unwrap_or(u32::MAX) };
    let retry = |row: &TaskRow| workflow.get(row.task).map(|task| task.retry).unwrap_or_default();
    let rows = rows.iter().map(|row| (row.task.into(), record::restored(row, retry(row), clock)));
    Scheduler::restore(plan, limits, rows)
}

/// `--only`, `--from`: tasks that are not selected are skipped from the start.
fn unselected(workflow: &Workflow, settings: &JobSettings, clock: &Clock) -> Vec<TaskRow> {
    let Some(selection) = &settings.selection else { return Vec::new() };
    let selected: std::collections::HashSet<TaskIx> = selection.iter().copied().collect();
    skipped(workflow, |task| !selected.contains(&task), "not selected", clock)
}

fn skipped(workflow: &Workflow, which: impl Fn(TaskIx) -> bool, why: &str, clock: &Clock) -> Vec<TaskRow> {
    let row = dag_scheduler::Row { state: dag_scheduler::TaskState::Skipped, ..dag_scheduler::Row::default() };
    let tasks = workflow.iter().map(|(task, _)| task).filter(|task| which(*task));
    tasks.map(|task| TaskRow { message: Some(why.into()), ..record::row(task, &row, clock) }).collect()
}

/// No task of it will ever start: what does not end by itself is skipped (design §4).
async fn invalid(
    worker: &mut Worker,
    job: &JobRow,
    rows: &[TaskRow],
    message: String,
    clock: &Clock,
) -> Result<Opened, Error> {
    let rows = aftermath::close(worker, job, rows, "the job cannot run here", clock).await?;
    let ending = JobEnding { status: JobStatus::Failed, cause: Some(JobCause::Invalid), message: Some(message) };
    Ok(Opened::Invalid(ending, rows))
}
