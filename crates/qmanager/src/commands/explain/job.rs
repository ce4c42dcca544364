//! Why a job is in the state it is in.

use job_queue::{Filter, JobQueue, JobRow, QueueRow, TaskRow};
use workflow_model::{Cause, JobStatus, TaskStatus, Workflow};

use super::{Context, Reason};
use crate::{
    commands::{holders, serving::Serving},
    exit::Error,
    foreground,
    manager::ManagerState,
    output::{ago, local, now},
    text::{counted, safe, shell_quote},
};

/// How many tasks are named in one sentence.
pub(super) const NAMED: usize = 5;

/// A job with its tasks.
pub(super) struct Subject<'a> {
    pub(super) row: &'a JobRow,
    pub(super) workflow: &'a Workflow,
    pub(super) rows: &'a [TaskRow],
}

impl Subject<'_> {
    pub(super) fn short(&self) -> String {
        self.row.id.short()
    }

    /// Names of tasks in a state, cut to a few.
    fn names(&self, status: TaskStatus) -> Option<String> {
        let all: Vec<&TaskRow> = self.rows.iter().filter(|row| row.status == status).collect();
        if all.is_empty() {
            return None;
        }
        let names = all.iter().take(NAMED).filter_map(|row| self.workflow.get(row.task));
        let names: Vec<String> = names.map(|task| safe(task.name.as_str()).into_owned()).collect();
        let more = all.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("{}{more}", names.join(", ")))
    }
}

pub(super) async fn reasons(
    context: &Context,
    queue: &dyn JobQueue,
    subject: &Subject<'_>,
) -> Result<Vec<Reason>, Error> {
    let row = subject.row;
    if !row.status.is_terminal()
        && foreground::is_reserved(&row.queue)
        && let Some((what, help)) = Serving::of(context, queue, &row.queue).await?.problem(&row.queue)
    {
        return Ok(vec![Reason::new(what).help(help.replace("JOB", &subject.short()))]);
    }
    Ok(match subject.row.status {
        JobStatus::Queued => queued(context, queue, subject.row).await?,
        JobStatus::Running => running(context, subject),
        JobStatus::Cancelling => cancelling(subject),
        JobStatus::Succeeded => vec![Reason::new("every task that counts succeeded")],
        JobStatus::Failed => failed(subject),
        JobStatus::Cancelled => {
            let retry = format!("`qmanager retry {}` runs what did not succeed", subject.short());
            vec![Reason::new(message(subject.row, "a person cancelled it")).help(retry)]
        }
    })
}

async fn queued(context: &Context, queue: &dyn JobQueue, job: &JobRow) -> Result<Vec<Reason>, Error> {
    let mut reasons = Vec::new();
    if foreground::is_reserved(&job.queue) {
        reasons.push(
            Reason::new("it belongs to a `qmanager run` that is not there any more")
                .help(format!("`qmanager run --resume {}` goes on with it", job.id.short())),
        );
        return Ok(reasons);
    }
    if let Some(at) = job.run_at.filter(|at| *at > now()) {
        reasons.push(Reason::new(format!("it may not start before {} ({})", local(at), ago(at, now()))));
    }
    let name = &job.queue;
    let row = queue.queues().await?.into_iter().find(|row| row.name == *name);
    if let Some(row) = &row {
        if row.paused {
            reasons
                .push(Reason::new(format!("queue {name} is paused")).help(format!("`qmanager queue resume {name}`")));
        }
        if let Some(limit) = row.limit.filter(|_| at_its_limit(row)) {
            let holders = holders::listed(&holders::of(queue, name, None).await?, now(), NAMED);
            reasons.push(
                Reason::new(format!("queue {name} runs at most {limit} at once, and they are taken by {holders}"))
                    .help(format!("wait for one of them, or `qmanager queue limit {} {name}`", limit + 1)),
            );
        }
        if let Some(store) =
            row.store.as_deref().filter(|store| *store != context.config().map_or("", |config| config.store()))
        {
            // A folder of one host binds a queue's jobs to workers that see it.
            reasons.push(Reason::new(format!(
                "queue {name} keeps its job files in {}: only workers that see it take its jobs",
                safe(store)
            )));
        }
    }
    let key = key(queue, job).await?;
    let is_limited = key.is_some() || row.as_ref().is_some_and(at_its_limit);
    reasons.extend(key);
    if let Some(reason) = elsewhere(context, job)? {
        reasons.push(reason);
        return Ok(reasons);
    }
    match Serving::of(context, queue, name).await?.problem(name) {
        Some((what, help)) => reasons.push(Reason::new(what).help(help)),
        // Whoever waits for a place does not wait for a worker.
        None if is_limited => {}
        None => reasons.extend(busy(context, queue, job).await?),
    }
    if reasons.is_empty() {
        reasons.push(Reason::new("nothing holds it: a worker takes it at once"));
    }
    if job.round > 1 {
        reasons.push(Reason::new(format!("it was retried: this is round {}", job.round)));
    }
    Ok(reasons)
}

fn at_its_limit(row: &QueueRow) -> bool {
    row.limit.is_some_and(|limit| row.running >= u64::from(limit))
}

/// On a shared queue a job whose files are in a folder of one host waits for that host.
fn elsewhere(context: &Context, job: &JobRow) -> Result<Option<Reason>, Error> {
    let Some((host, shown)) = context.elsewhere(job)? else { return Ok(None) };
    Ok(Some(
        Reason::new(format!("its files are in a folder of host {host} ({shown}), so only workers there can take it"))
            .help(format!(
                "start the daemon on {host}; a store that all hosts see (jobfiles.url) would bind no job to one"
            )),
    ))
}

/// What the job's limit key has to do with it.
async fn key(queue: &dyn JobQueue, job: &JobRow) -> Result<Option<Reason>, Error> {
    let Some(key) = &job.limit_key else { return Ok(None) };
    let Some(row) = queue.keys(&job.queue, Some(key)).await?.pop() else { return Ok(None) };
    let (name, shown) = (&job.queue, shell_quote(&safe(key)).into_owned());
    let more = |limit: u32| format!("`qmanager queue limit {limit} {name} --key {shown}`");
    if row.limit == 0 {
        let what = format!("limit key {shown} of queue {name} is held: none of its jobs may run");
        return Ok(Some(Reason::new(what).help(more(1))));
    }
    if row.running >= u64::from(row.limit) {
        let holders = holders::listed(&holders::of(queue, name, Some(key)).await?, now(), NAMED);
        let limit = row.limit;
        let what = format!("of limit key {shown} at most {limit} may run at once, and they are taken by {holders}");
        let help = format!("wait for one of them, or {}", more(limit.saturating_add(1)));
        return Ok(Some(Reason::new(what).help(help)));
    }
    Ok(row.next.filter(|next| *next != job.id).map(|next| {
        let (limit, next) = (row.limit, next.short());
        Reason::new(format!("of limit key {shown} at most {limit} may run at once, and job {next} comes before it"))
            .help(format!("`qmanager explain {next}` says what that one waits for"))
    }))
}

/// All workers have a job: what is before this one.
async fn busy(context: &Context, queue: &dyn JobQueue, job: &JobRow) -> Result<Option<Reason>, Error> {
    let Some(state) = ManagerState::read(&context.layout()?) else { return Ok(None) };
    let workers = state.workers.iter().filter(|worker| worker.queue == job.queue);
    let (all, alive) =
        workers.fold((0, 0), |(all, alive), worker| (all + 1, alive + usize::from(worker.pid.is_some())));
    if alive == 0 {
        let why = state.workers.iter().find_map(|worker| worker.degraded.clone()).or(state.degraded);
        let why = why.map_or_else(String::new, |why| format!(": {}", safe(&why)));
        return Ok(Some(
            Reason::new(format!("none of the {} of queue {} is up{why}", counted(all, "worker"), job.queue))
                .help("`qmanager status` shows them; the daemon starts them again"),
        ));
    }
    let filter = Filter { queue: Some(job.queue.clone()), states: vec![JobStatus::Queued], ..Filter::default() };
    let ahead = queue.list(&filter).await?;
    let before = |other: &&JobRow| {
        other.id != job.id
            && (other.priority > job.priority
                || (other.priority == job.priority && (other.created, other.id) < (job.created, job.id)))
            && other.run_at.is_none_or(|at| at <= now())
    };
    let ahead = ahead.iter().filter(before).count();
    let all = counted(all, "worker");
    Ok(Some(match ahead {
        0 => Reason::new(format!("it is the next of queue {}, whose {all} may all have a job", job.queue))
            .help("`qmanager status` shows what they run"),
        ahead => {
            let come = if ahead == 1 { "comes" } else { "come" };
            Reason::new(format!("{} of queue {} {come} before it; {all} take them", counted(ahead, "job"), job.queue))
                .help("`qmanager submit --priority` and `qmanager start --workers` change that")
        }
    }))
}

fn running(context: &Context, subject: &Subject<'_>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(owner) = &subject.row.owner {
        let lost = subject.row.lease_until.filter(|until| *until < now());
        let known = context.layout().ok().and_then(|layout| ManagerState::read(&layout));
        let reason = Reason::new(format!("worker {} on {} has it", owner.slot, safe(&owner.host)));
        let shared = context.is_shared().unwrap_or(false);
        reasons.push(match lost {
            Some(until) if shared => {
                let what = format!(
                    "worker {} on {} had it; its lease ended {}: that host is gone or cut off",
                    owner.slot,
                    safe(&owner.host),
                    ago(until, now())
                );
                match elsewhere(context, subject.row) {
                    Ok(Some(bound)) => Reason { what: format!("{what}; {}", bound.what), ..bound },
                    _ => Reason::new(what).help("any host with a worker of its queue goes on with it"),
                }
            }
            Some(until) if known.is_none() => Reason::new(format!(
                "worker {} on {} had it; its lease ended {} and no daemon runs here",
                owner.slot,
                safe(&owner.host),
                ago(until, now())
            ))
            .help("`qmanager start` (or `run --resume`) with the same state-dir goes on with it"),
            _ => reason,
        });
    }
    if let Some(names) = subject.names(TaskStatus::Running) {
        reasons.push(Reason::new(format!("running: {names}")));
    }
    if let Some(names) = subject.names(TaskStatus::Retrying) {
        reasons.push(Reason::new(format!("waiting for their next attempt: {names}")));
    }
    if let Some(names) = subject.names(TaskStatus::Failed) {
        let logs = format!("`qmanager logs {} --state failed`", subject.short());
        reasons.push(Reason::new(format!("failed so far: {names}; what does not need them goes on")).help(logs));
    }
    if reasons.is_empty() {
        reasons.push(Reason::new("a worker has it and is about to start its first tasks"));
    }
    reasons
}

fn cancelling(subject: &Subject<'_>) -> Vec<Reason> {
    let names = subject.names(TaskStatus::Running).unwrap_or_else(|| "nothing any more".into());
    let now_flag = format!("`qmanager cancel {} --now` does not wait for cleanups", subject.short());
    vec![Reason::new(format!("a person cancelled it; still running: {names}")).help(now_flag)]
}

fn failed(subject: &Subject<'_>) -> Vec<Reason> {
    let short = subject.short();
    let mut reasons = Vec::new();
    let guilty: Vec<&TaskRow> = subject
        .rows
        .iter()
        .filter(|row| row.status == TaskStatus::Failed)
        .filter(|row| subject.workflow.get(row.task).is_some_and(|task| !task.allow_failure))
        .collect();
    if guilty.is_empty() {
        reasons.push(Reason::new(message(subject.row, "it could not be run")));
    }
    for row in guilty.iter().take(NAMED) {
        let name = subject.workflow.task(row.task).name.as_str();
        let cause = row.cause.unwrap_or(Cause::LostInfra);
        let what = row.message.as_deref().map_or_else(|| cause.to_string(), |message| safe(message).into_owned());
        reasons.push(
            Reason::new(format!("task {:?} failed: {what}", safe(name)))
                .help(format!("`qmanager logs {short} -- {}`", shell_quote(name))),
        );
    }
    if guilty.len() > NAMED {
        reasons.push(Reason::new(format!("and {} more failed", guilty.len() - NAMED)));
    }
    let skipped = subject.row.counts.skipped as usize;
    if skipped > 0 {
        reasons.push(Reason::new(format!("{} skipped because of that", counted(skipped, "task"))));
    }
    if let Some(last) = reasons.last_mut()
        && last.help.is_none()
    {
        last.help =
            Some(format!("`qmanager retry {short}` runs what did not succeed; --with FILE takes a corrected one"));
    }
    reasons
}

fn message(job: &JobRow, otherwise: &str) -> String {
    job.message.as_deref().map_or_else(|| otherwise.to_owned(), |message| safe(message).into_owned())
}
