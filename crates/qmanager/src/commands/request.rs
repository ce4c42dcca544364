//! `qmanager request`: the request that a worker would send for one task, for `task-executor run`.

use std::path::PathBuf;

use job_queue::JobRow;
use task_process::{JobDir, Lease, TaskRequest, VERSION, debug::Answer};
use workflow_model::{Attempt, JobId, Nonce, QueueName, TaskIx, Workflow};

use super::{
    context::Context,
    engine,
    load::{self, Source},
    pairs,
    submit::base_settings,
};
use crate::{
    cli::RequestArgs,
    exit::{Error, Exit},
    foreground, select,
    settings::JobSettings,
    spec::{Host, Shared},
};

/// Whose task it is.
struct Subject {
    id: JobId,
    queue: QueueName,
    workflow: Workflow,
    settings: JobSettings,
    row: Option<JobRow>,
}

pub(super) async fn run(context: &Context, args: &RequestArgs) -> Result<Exit, Error> {
    let mut subject = match (&args.job, &args.file) {
        (Some(job), _) => of_job(context, job).await?,
        (None, Some(file)) => of_file(context, args, &load::read(context, file)?)?,
        (None, None) => return Err(Error::usage("a FILE or --job")),
    };
    subject.settings.env_override.extend(pairs::environment(context, &[], &args.env)?);
    subject.settings.secrets.extend(pairs::secrets(context, &args.secret)?);
    let task = select::task(&subject.workflow, &args.task)?;
    if subject.workflow.task(task).params.is_none() {
        return Err(Error::refused("this task is a join: it has no `params`, and nothing to run"));
    }
    let attempt = attempt(context, args, &subject, task).await?;
    let answer = answer(context, args, subject, task, attempt)?;
    context
        .out
        .line(serde_json::to_string(&answer).map_err(|e| Error::internal("cannot write the request").because(e))?)?;
    Ok(Exit::Done)
}

async fn of_job(context: &Context, selector: &str) -> Result<Subject, Error> {
    let queue = context.queue_with(&[selector])?;
    let row = context.job(&*queue, selector).await?;
    let (workflow, settings) = context.definition(&*queue, &row).await?;
    Ok(Subject { id: row.id, queue: row.queue.clone(), workflow, settings, row: Some(row) })
}

fn of_file(context: &Context, args: &RequestArgs, source: &Source) -> Result<Subject, Error> {
    source.warn(context);
    let mut settings = base_settings(source);
    // A pipe (`<(command)`) lies in no folder that could be meant.
    let beside = source.file.as_ref().filter(|file| file.is_file()).map_or(&context.directory, |_| &source.folder);
    let folder: PathBuf = args.jobfiles.as_ref().map_or_else(|| beside.clone(), |folder| context.path(folder));
    let shown = folder.display().to_string();
    let folder = folder.canonicalize().map_err(|e| Error::io(format!("cannot use {shown} for the job files"), e))?;
    settings.job_files = Some(folder);
    let id = JobId::generate();
    // As under `run`: the caller may use what it can read.
    Ok(Subject { id, queue: foreground::reserved_queue(id), workflow: source.workflow.clone(), settings, row: None })
}

/// The one asked for, else the next.
async fn attempt(context: &Context, args: &RequestArgs, subject: &Subject, task: TaskIx) -> Result<Attempt, Error> {
    if let Some(attempt) = args.attempt {
        return Ok(Attempt(attempt));
    }
    let Some(row) = &subject.row else { return Ok(Attempt(1)) };
    let rows = context.queue_with::<&str>(&[])?.tasks(row.id).await?;
    Ok(Attempt(rows.iter().find(|row| row.task == task).map_or(1, |row| row.attempt.0 + 1)))
}

fn answer(
    context: &Context,
    args: &RequestArgs,
    subject: Subject,
    task: TaskIx,
    attempt: Attempt,
) -> Result<Answer, Error> {
    let config = context.config()?;
    let configured = config.workers.iter().find(|pool| pool.qname == subject.queue);
    let pool = engine::pool(context, subject.queue.clone(), configured, (args.executor, None, None))?;
    let layout = context.layout()?;
    let own = layout.job(subject.id);
    // Debugging a job changes nothing of it, nor of the folder that `run` used for it.
    let copy = subject.row.is_some();
    let job_files = subject.settings.job_files.clone().unwrap_or_else(|| own.join("files"));
    let name = subject.workflow.task(task).name.clone();
    let dir = JobDir::new(own, subject.workflow.len());
    let mut paths = dir.paths(task, &name, attempt, Lease::path(layout.run_dir(), subject.id));
    // Not in the job's folder: nothing of the debugging is the job's.
    paths.tmp = context.environment.temp.join(format!("qmanager-{}", Nonce::generate()));
    let ambient = engine::ambient(context);
    let host = Host { executor: pool.executor, settings: &pool.settings, ambient: &ambient };
    let shared = Shared {
        job: subject.id,
        queue: &subject.queue,
        workflow: &subject.workflow,
        settings: &subject.settings,
        job_files,
    };
    let spec = host.spec(&shared, task, attempt, &paths.tmp);
    let spec =
        spec.map_err(|problem| Error::new(Exit::InvalidWorkflow, format!("task {:?}: {problem}", name.as_str())))?;
    let request = TaskRequest {
        v: VERSION,
        job: subject.id,
        task,
        name,
        attempt,
        epoch: subject.row.map_or_else(Default::default, |row| row.epoch),
        nonce: Nonce::generate(),
        executor: pool.executor,
        spec,
        paths,
        reply: None,
        deadline: None,
        umask: Some(engine::caller_umask()),
        attach: false,
    };
    Ok(Answer { v: 1, request, copy })
}
