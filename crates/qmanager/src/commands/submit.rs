//! `qmanager submit`: a definition becomes a durable job.

use std::{collections::BTreeMap, path::PathBuf};

use job_queue::{JobQueue, Micros, NewJob};
use jobfiles::{Area, JobFiles};
use serde::Serialize;
use workflow_model::{JobId, QueueName};

use super::{
    context::Context,
    files,
    load::{self, Source},
    logs, pairs, screen,
    serving::Serving,
    wait,
};
use crate::{
    cli::SubmitArgs,
    exit::{Error, Exit},
    output::{JSON_VERSION, now, parse_moment},
    settings::JobSettings,
    text::{counted, safe},
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    id: JobId,
    /// False: an earlier job has the key, and the same definition.
    created: bool,
    queue: &'a QueueName,
    name: Option<&'a str>,
    tasks: u32,
}

pub(super) async fn run(context: &Context, args: &SubmitArgs) -> Result<Exit, Error> {
    let source = load::read(context, &args.file)?;
    source.warn(context);
    let queue_name = context.qname_or_default()?;
    refuse_reserved(&queue_name)?;
    let mut job = new_job(context, &source, args, queue_name)?;
    let files = wanted_files(context, &source, &args.files)?;
    if !files.is_empty() {
        // They are in this store from now on: only workers that see it may have the job.
        job.store = context.place()?;
    }
    let queue = context.queue()?;
    let area = Area::own(job.id);
    if !files.is_empty() {
        files::put_first(context, &area, &files).await?;
    }
    let has_files = job.store.is_some();
    let (id, name, tasks, queue_name) = (job.id, job.name.clone(), job.tasks, job.queue.clone());
    let submitted = queue.submit(vec![job]).await;
    let is_ours = submitted.as_ref().is_ok_and(|all| all.iter().any(|one| one.id == id));
    if !is_ours && !files.is_empty() {
        // Nobody will ever look for them: the folder is that of a job that does not exist.
        files::store(context)?.forget(&area).await.map_err(files::failed)?;
    }
    let submitted = submitted?.pop().ok_or_else(|| Error::internal("the queue answered for no job"))?;
    queue.wake().await?;
    let view = View {
        v: JSON_VERSION,
        id: submitted.id,
        created: submitted.created,
        queue: &queue_name,
        name: name.as_deref(),
        tasks,
    };
    tell(context, &view)?;
    Serving::warn(context, &*queue, &queue_name).await?;
    if has_files {
        warn_of_store(context, &*queue, &queue_name).await?;
    }
    if args.follow {
        context.out.flush()?;
        return logs::follow_whole_job(context, &queue, submitted.id).await;
    }
    if args.wait {
        context.out.flush()?;
        return wait_for(context, &*queue, submitted.id).await;
    }
    Ok(Exit::Done)
}

/// A queue's workers all keep their files in one place, and see no job's that are in another.
async fn warn_of_store(context: &Context, queue: &dyn JobQueue, name: &QueueName) -> Result<(), Error> {
    let rows = queue.queues().await?;
    let theirs = rows.into_iter().find(|row| row.name == *name).and_then(|row| row.store);
    let ours = context.config()?.store();
    if let Some(theirs) = theirs.filter(|theirs| theirs != ours) {
        let (theirs, ours) = (safe(&theirs).into_owned(), safe(ours).into_owned());
        context
            .out
            .warn(format!("the files of this job are in {ours}, and the workers of queue {name} look in {theirs}"));
        context
            .out
            .note("hint: submit it on a host that sees that folder, or give jobfiles.url one that all hosts see");
    }
    Ok(())
}

/// `run-…` queues are those of foreground runs: no daemon claims them.
pub(super) fn refuse_reserved(queue: &QueueName) -> Result<(), Error> {
    if queue.as_str().starts_with("run-") {
        return Err(
            Error::usage(format!("queue {queue} is reserved for `qmanager run`")).hint("choose another --qname")
        );
    }
    Ok(())
}

fn tell(context: &Context, view: &View<'_>) -> Result<(), Error> {
    let out = &context.out;
    if out.json {
        out.object(view)?;
    } else {
        out.line(view.id)?;
    }
    let name = view.name.map_or_else(String::new, |name| format!(" {}", safe(name)));
    if view.created {
        out.note(format_args!("submitted{name} to queue {}: {}", view.queue, counted(view.tasks as usize, "task")));
    } else {
        out.note(format_args!("not submitted again: the key belongs to this job, which has the same tasks"));
    }
    Ok(())
}

async fn wait_for(context: &Context, queue: &dyn JobQueue, id: JobId) -> Result<Exit, Error> {
    let ended = screen::follow(context, queue, id, None).await?;
    let job = ended.ok_or_else(|| Error::internal("a wait without a deadline ran out"))?;
    if context.out.json {
        wait::show(&context.out, &job)?;
    } else {
        context.out.note(format_args!("job {} {}", id.short(), job.status));
    }
    Ok(Exit::of_job(job.status))
}

fn new_job(context: &Context, source: &Source, args: &SubmitArgs, queue: QueueName) -> Result<NewJob, Error> {
    let job = source.job.as_deref();
    let at = args.at.as_deref().map(|text| parse_moment(text, now()).map_err(|e| Error::usage(format!("--at: {e}"))));
    let mut labels: BTreeMap<String, String> = job.map(|job| job.labels.clone()).unwrap_or_default();
    labels.extend(pairs::labels(&args.label)?);
    let settings =
        JobSettings { env_override: pairs::environment(context, &args.env_file, &args.env)?, ..base_settings(source) };
    let run_at: Option<Micros> = at.transpose()?.or(job.and_then(|job| job.run_at));
    Ok(NewJob {
        queue,
        name: checked("--name", args.name.clone().or_else(|| job?.name.clone()))?,
        labels,
        key: checked("--key", args.key.clone().or_else(|| job?.key.clone()))?,
        limit_key: match &args.limit_key {
            Some(text) => Some(pairs::limit_key("--limit-key", text)?),
            None => job.and_then(|job| job.limit_key.clone()),
        },
        priority: args.priority.or(job.map(|job| job.priority)).unwrap_or(0),
        run_at,
        ..bare_job(context, source, &settings)?
    })
}

/// A job of a definition with all the rest empty.
pub(super) fn bare_job(context: &Context, source: &Source, settings: &JobSettings) -> Result<NewJob, Error> {
    let workflow = &source.workflow;
    let settings = serde_json::to_string(settings).map_err(|e| Error::internal("cannot write settings").because(e))?;
    Ok(NewJob {
        id: JobId::generate(),
        queue: QueueName::default(),
        name: None,
        definition: workflow.to_canonical_json(),
        hash: workflow.hash(),
        tasks: u32::try_from(workflow.len()).map_err(|_| Error::usage("too many tasks"))?,
        labels: BTreeMap::new(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: context.submitter()?,
        settings,
        store: None,
    })
}

/// What the definition itself says to the worker.
pub(super) fn base_settings(source: &Source) -> JobSettings {
    let mut settings =
        JobSettings { source: source.file.as_ref().map(|file| file.display().to_string()), ..JobSettings::default() };
    let Some(job) = source.job.as_deref() else { return settings };
    settings.timeout = job.timeout;
    settings.env.clone_from(&job.env);
    settings
}

/// Files to put in: the definition's, then the command line's.
pub(super) fn wanted_files(
    context: &Context,
    source: &Source,
    flags: &[String],
) -> Result<Vec<(PathBuf, Option<String>)>, Error> {
    let flags = flags.iter().map(|text| pairs::source(context, text));
    let files = source.files().map(Ok).chain(flags).collect::<Result<Vec<_>, _>>()?;
    files::refuse_one_place_for_two(&files)?;
    Ok(files)
}

/// A name or key, as a job definition may have it.
fn checked(flag: &str, text: Option<String>) -> Result<Option<String>, Error> {
    if let Some(text) = &text {
        pairs::words(flag, text)?;
    }
    Ok(text)
}
