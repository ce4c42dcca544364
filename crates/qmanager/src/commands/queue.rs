//! `qmanager queue`: look at and steer queues.

use job_queue::{JobQueue, QueueRow};
use serde::Serialize;
use workflow_model::QueueName;

use super::context::{Context, queue_name};
use crate::{
    cli::{QueueArgs, QueueVerb},
    exit::{Error, Exit},
    foreground,
    output::{JSON_VERSION, Table},
    select,
    text::safe,
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    #[serde(flatten)]
    row: &'a QueueRow,
}

pub(super) async fn run(context: &Context, args: &QueueArgs) -> Result<Exit, Error> {
    match &args.verb {
        QueueVerb::Ls { queue } => list(context, named(context, queue.as_ref())?).await,
        QueueVerb::Pause { queue } => pause(context, &target(context, queue.as_ref())?, true).await,
        QueueVerb::Resume { queue } => pause(context, &target(context, queue.as_ref())?, false).await,
        QueueVerb::Limit { limit, queue } => set_limit(context, &target(context, queue.as_ref())?, limit).await,
        QueueVerb::Migrate => migrate(context).await,
    }
}

fn named(context: &Context, queue: Option<&String>) -> Result<Option<QueueName>, Error> {
    match queue {
        Some(name) => queue_name(name).map(Some),
        None => context.qname(),
    }
}

fn target(context: &Context, queue: Option<&String>) -> Result<QueueName, Error> {
    Ok(named(context, queue)?.unwrap_or_default())
}

async fn list(context: &Context, only: Option<QueueName>) -> Result<Exit, Error> {
    let mut rows = match context.queue_if_any()? {
        Some(queue) => queue.queues().await?,
        None => Vec::new(),
    };
    // Each foreground run has a queue of its own; once it has ended nobody looks for it here.
    let is_idle_run = |row: &QueueRow| foreground::is_reserved(&row.name) && row.queued + row.running == 0;
    rows.retain(|row| only.as_ref().map_or_else(|| !is_idle_run(row), |only| row.name == *only));
    if let (Some(only), true) = (&only, rows.is_empty()) {
        return Err(Error::not_found(format!("there is no queue {only}"))
            .hint("a queue exists from its first job, pause or limit on"));
    }
    let out = &context.out;
    if out.json {
        rows.iter().try_for_each(|row| out.object(&View { v: JSON_VERSION, row }))?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        out.note("no queues yet");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["QUEUE", "QUEUED", "RUNNING", "LIMIT", "STATE", "EXECUTOR", "STORE"]);
    for row in &rows {
        table.row(vec![
            row.name.to_string(),
            row.queued.to_string(),
            row.running.to_string(),
            row.limit.map_or_else(|| "-".into(), |limit| limit.to_string()),
            if row.paused { "paused".into() } else { "open".into() },
            row.executor.map_or_else(|| "-".into(), |executor| executor.to_string()),
            row.store.as_deref().map_or_else(|| "-".into(), |store| safe(store).into_owned()),
        ]);
    }
    table.lines().iter().try_for_each(|line| out.line(line))?;
    Ok(Exit::Done)
}

/// What is set for a queue that does not exist is kept for its first job (so it can be paused before anything is
/// submitted to it); but that it is new is said, since a slip of the fingers would leave the queue that is meant alone.
/// `default` is there by its name.
async fn warn_if_new(context: &Context, queue: &dyn JobQueue, name: &QueueName) -> Result<(), Error> {
    if let Some(error) = missing(queue, name).await? {
        context.out.warn(format_args!("{error}; this is kept for its first job"));
        error.hints.iter().for_each(|hint| context.out.note(format_args!("hint: {hint}")));
    }
    Ok(())
}

async fn missing(queue: &dyn JobQueue, name: &QueueName) -> Result<Option<Error>, Error> {
    let rows = queue.queues().await?;
    if *name == QueueName::default() || rows.iter().any(|row| row.name == *name) {
        return Ok(None);
    }
    let others = rows.iter().map(|row| &row.name).filter(|other| !foreground::is_reserved(other));
    let others = others.map(QueueName::as_str).chain([QueueName::DEFAULT]);
    let error = Error::not_found(format!("there is no queue {name} yet"));
    Ok(Some(match select::nearest(name.as_str(), others) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None => error,
    }))
}

async fn pause(context: &Context, name: &QueueName, paused: bool) -> Result<Exit, Error> {
    let queue = context.queue()?;
    if paused {
        warn_if_new(context, &*queue, name).await?;
    } else if let Some(error) = missing(&*queue, name).await? {
        return Err(error.hint("`qmanager queue ls` shows them all"));
    }
    queue.pause(name, paused).await?;
    queue.wake().await?;
    show(context, name).await?;
    let what = if paused { "paused: no job of it starts; those that run go on" } else { "open again" };
    context.out.note(format_args!("queue {name} is {what}"));
    Ok(Exit::Done)
}

async fn set_limit(context: &Context, name: &QueueName, text: &str) -> Result<Exit, Error> {
    let limit = match text {
        "none" => None,
        number => Some(number.parse::<u32>().ok().filter(|limit| *limit > 0).ok_or_else(|| {
            Error::usage(format!("{:?} is not a limit", safe(number)))
                .hint("write how many jobs may run at once, or none; `queue pause` holds a queue")
        })?),
    };
    let queue = context.queue()?;
    warn_if_new(context, &*queue, name).await?;
    queue.limit(name, limit).await?;
    queue.wake().await?;
    show(context, name).await?;
    match limit {
        Some(limit) => context.out.note(format_args!("queue {name} runs at most {limit} at once")),
        None => context.out.note(format_args!("queue {name} has no limit")),
    }
    Ok(Exit::Done)
}

/// With `--json`, the queue as it is now.
async fn show(context: &Context, name: &QueueName) -> Result<(), Error> {
    if context.out.json {
        let rows = context.queue()?.queues().await?;
        if let Some(row) = rows.iter().find(|row| row.name == *name) {
            context.out.object(&View { v: JSON_VERSION, row })?;
        }
    }
    Ok(())
}

async fn migrate(context: &Context) -> Result<Exit, Error> {
    context.layout()?.create_state_dir()?;
    let url = context.config()?.db_url();
    let done = job_queue::migrate(url, &context.open_options()?).await?;
    if context.out.json {
        context.out.object(&serde_json::json!({ "v": JSON_VERSION, "db": job_queue::shown_url(url) }))?;
    }
    context.out.note(safe(&done));
    Ok(Exit::Done)
}
