//! This host: its daemon, its workers, what they run, and the queues.

use job_queue::{Filter, JobRow, Micros, Owner, QueueRow};
use serde::Serialize;
use workflow_model::{ExecutorKind, JobId, JobStatus, QueueName};

use super::Context;
use crate::{
    exit::{Error, Exit},
    manager::{ManagerState, WorkerState},
    output::{JSON_VERSION, JobView, Table, ago, now},
    text::{Tone, paint, safe},
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    /// `null`: no daemon serves this state-dir.
    daemon: Option<DaemonView<'a>>,
    /// Those of the daemon; empty without one.
    workers: Vec<WorkerView<'a>>,
    queues: &'a [QueueRow],
    /// Jobs under way, wherever their workers are.
    running: Vec<JobView<'a>>,
}

#[derive(Serialize)]
struct DaemonView<'a> {
    pid: i32,
    version: &'a str,
    host: &'a str,
    since: String,
    degraded: Option<&'a str>,
    workers: Vec<WorkerView<'a>>,
}

#[derive(Serialize)]
struct WorkerView<'a> {
    slot: &'a str,
    queue: &'a QueueName,
    executor: ExecutorKind,
    /// `null`: it is being started again.
    pid: Option<u32>,
    job: Option<JobId>,
    degraded: Option<&'a str>,
    restarts: u32,
}

pub(super) async fn run(context: &Context) -> Result<Exit, Error> {
    let layout = context.layout()?;
    let state = ManagerState::read(&layout);
    let (queues, running) = match context.queue_if_any()? {
        Some(queue) => {
            let filter = Filter {
                queue: context.qname()?,
                states: vec![JobStatus::Running, JobStatus::Cancelling],
                ..Filter::default()
            };
            (queue.queues().await?, queue.list(&filter).await?)
        }
        None => (Vec::new(), Vec::new()),
    };
    // Daemons that share a database may have slots of the same name.
    let is_here = |owner: &Owner| {
        layout.is_run_dir_id(&owner.run_dir) && state.as_ref().is_some_and(|state| state.host == owner.host)
    };
    let is_ours = |job: &JobRow| job.owner.as_ref().is_some_and(is_here);
    let (ours, others): (Vec<JobRow>, Vec<JobRow>) = running.iter().cloned().partition(is_ours);
    if context.out.json {
        let daemon = state.as_ref().map(|state| daemon_view(state, &ours));
        let workers = state.as_ref().map_or_else(Vec::new, |state| worker_views(state, &ours));
        let running = running.iter().map(JobView::new).collect();
        context.out.object(&View { v: JSON_VERSION, daemon, workers, queues: &queues, running })?;
        return Ok(Exit::Done);
    }
    show_daemon(context, state.as_ref(), &ours, others)?;
    show_queues(context, &queues)?;
    Ok(Exit::Done)
}

fn worker_views<'a>(state: &'a ManagerState, running: &[JobRow]) -> Vec<WorkerView<'a>> {
    let view = |worker: &'a WorkerState| WorkerView {
        slot: &worker.slot,
        queue: &worker.queue,
        executor: worker.executor,
        pid: worker.pid,
        job: job_of(worker, running).map(|job| job.id),
        degraded: worker.degraded.as_deref(),
        restarts: worker.restarts,
    };
    state.workers.iter().map(view).collect()
}

fn daemon_view<'a>(state: &'a ManagerState, running: &[JobRow]) -> DaemonView<'a> {
    DaemonView {
        pid: state.process.pid,
        version: &state.version,
        host: &state.host,
        since: crate::output::rfc3339(micros(state.since)),
        degraded: state.degraded.as_deref(),
        workers: worker_views(state, running),
    }
}

fn show_daemon(
    context: &Context,
    state: Option<&ManagerState>,
    ours: &[JobRow],
    mut others: Vec<JobRow>,
) -> Result<(), Error> {
    let (out, now) = (&context.out, now());
    let Some(state) = state else {
        out.line("no daemon runs here")?;
        out.note("hint: `qmanager start -d` starts one; `qmanager run FILE` needs none");
        return jobs(context, &others, now);
    };
    out.line(format_args!(
        "daemon {} (version {}) since {}, {}",
        state.process.pid,
        safe(&state.version),
        ago(micros(state.since), now),
        crate::text::counted(state.workers.len(), "worker")
    ))?;
    if let Some(problem) = &state.degraded {
        out.line(paint(&format!("degraded: {}", safe(problem)), Tone::Bad, out.color))?;
    }
    let mut table = Table::new(&["WORKER", "PID", "EXECUTOR", "JOB", "NOTE"]);
    for worker in &state.workers {
        let job = job_of(worker, ours);
        let note = match (&worker.degraded, worker.pid) {
            (Some(problem), _) => format!("degraded: {}", safe(problem)),
            (None, None) => format!("restarting ({} times)", worker.restarts),
            (None, Some(_)) => job.map(|job| describe(job, now)).unwrap_or_default(),
        };
        table.row(vec![
            worker.slot.clone(),
            worker.pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
            worker.executor.to_string(),
            job.map_or_else(|| "-".into(), |job| job.id.short()),
            note,
        ]);
    }
    table.lines().iter().try_for_each(|line| out.line(line))?;
    let slots: Vec<&str> = state.workers.iter().map(|worker| worker.slot.as_str()).collect();
    let placeless = |job: &&JobRow| job.owner.as_ref().is_none_or(|owner| !slots.contains(&owner.slot.as_str()));
    others.extend(ours.iter().filter(placeless).cloned());
    jobs(context, &others, now)
}

/// Jobs under way that no worker of the daemon has: foreground runs, other hosts.
fn jobs(context: &Context, jobs: &[JobRow], now: Micros) -> Result<(), Error> {
    for job in jobs {
        let slot = job.owner.as_ref().map_or("?", |owner| owner.slot.as_str());
        context.out.line(format_args!("{slot}: job {} {}", job.id.short(), describe(job, now)))?;
    }
    Ok(())
}

/// The queue is the record of who has what; the daemon's file may be a moment old.
fn job_of<'a>(worker: &WorkerState, ours: &'a [JobRow]) -> Option<&'a JobRow> {
    ours.iter().find(|job| job.owner.as_ref().is_some_and(|owner| owner.slot == worker.slot))
}

fn describe(job: &JobRow, now: Micros) -> String {
    let name = job.name.as_deref().map_or_else(String::new, |name| format!("{} ", safe(name)));
    let ended = super::super::list::ended_tasks(job);
    format!("{name}{ended}/{} tasks, {} running, {}", job.tasks, job.counts.running, super::super::list::time(job, now))
}

fn show_queues(context: &Context, queues: &[QueueRow]) -> Result<(), Error> {
    for queue in queues.iter().filter(|queue| queue.queued > 0 || queue.paused) {
        let paused = if queue.paused { " (paused)" } else { "" };
        let (name, queued) = (&queue.name, queue.queued);
        context.out.line(format_args!("queue {name}{paused}: {queued} waiting, {} running", queue.running))?;
    }
    Ok(())
}

fn micros(moment: u64) -> Micros {
    Micros::try_from(moment).unwrap_or(Micros::MAX)
}
