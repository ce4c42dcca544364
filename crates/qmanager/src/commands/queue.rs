//! `qmanager queue`: look at and steer queues.

use job_queue::{JobQueue, JobRow, KeyRow, QueueRow};
use serde::Serialize;
use workflow_model::{LimitKey, QueueName};

use super::{
    context::{Context, queue_name},
    holders::{self, Holder},
    pairs,
};
use crate::{
    cli::{QueueArgs, QueueVerb},
    exit::{Error, Exit},
    foreground,
    output::{JSON_VERSION, Table, now},
    select,
    text::safe,
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    #[serde(flatten)]
    row: &'a QueueRow,
    /// Its limit keys.
    keys: &'a [KeyRow],
    /// Jobs under way.
    holders: Vec<Holder<'a>>,
}

/// A queue with what its limits are taken by.
struct Shown {
    row: QueueRow,
    keys: Vec<KeyRow>,
    running: Vec<JobRow>,
}

impl Shown {
    async fn of(queue: &dyn JobQueue, row: QueueRow) -> Result<Self, Error> {
        let keys = queue.keys(&row.name, None).await?;
        let running = if row.running > 0 { holders::of(queue, &row.name, None).await? } else { Vec::new() };
        Ok(Self { row, keys, running })
    }

    fn view(&self) -> View<'_> {
        let holders = self.running.iter().map(Holder::new).collect();
        View { v: JSON_VERSION, row: &self.row, keys: &self.keys, holders }
    }
}

/// So many keys, and so many of their jobs, are shown to people.
const MOST_KEYS: usize = 20;
const MOST_HOLDERS: usize = 5;

pub(super) async fn run(context: &Context, args: &QueueArgs) -> Result<Exit, Error> {
    match &args.verb {
        QueueVerb::Ls { queue } => list(context, named(context, queue.as_ref())?).await,
        QueueVerb::Pause { queue } => pause(context, &target(context, queue.as_ref())?, true).await,
        QueueVerb::Resume { queue } => pause(context, &target(context, queue.as_ref())?, false).await,
        QueueVerb::Limit { limit, key, per_key, queue } => {
            let name = target(context, queue.as_ref())?;
            let of = match (key, per_key) {
                (Some(key), _) => Of::Key(pairs::limit_key("--key", key)?),
                (None, true) => Of::EachKey,
                (None, false) => Of::Queue,
            };
            set_limit(context, &name, limit, &of).await
        }
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
    let mut all = Vec::with_capacity(rows.len());
    if let Some(queue) = context.queue_if_any()? {
        for row in rows {
            all.push(Shown::of(&*queue, row).await?);
        }
    }
    print(context, &all)
}

fn print(context: &Context, all: &[Shown]) -> Result<Exit, Error> {
    let out = &context.out;
    if out.json {
        all.iter().try_for_each(|shown| out.object(&shown.view()))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        out.note("no queues yet");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["QUEUE", "QUEUED", "RUNNING", "LIMIT", "STATE", "EXECUTOR", "STORE"]);
    for Shown { row, .. } in all {
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
    all.iter().try_for_each(|shown| print_limits(context, shown))?;
    Ok(Exit::Done)
}

/// Who takes up the limits of a queue that has any.
fn print_limits(context: &Context, shown: &Shown) -> Result<(), Error> {
    let (out, now, name) = (&context.out, now(), &shown.row.name);
    if shown.row.limit.is_some() && !shown.running.is_empty() {
        out.line(format_args!("\n{name} is taken by"))?;
        for job in shown.running.iter().take(MOST_HOLDERS) {
            out.line(format_args!("  {}", holders::described(job, now)))?;
        }
        if shown.running.len() > MOST_HOLDERS {
            out.line(format_args!("  and {} more", shown.running.len() - MOST_HOLDERS))?;
        }
    }
    if shown.keys.is_empty() {
        return Ok(());
    }
    out.line(format_args!(
        "\nlimit keys of {name} ({} each, if nothing else is said)",
        shown.row.key_limit.unwrap_or(1)
    ))?;
    // Those that keep somebody waiting first.
    let mut keys: Vec<&KeyRow> = shown.keys.iter().collect();
    keys.sort_by_key(|key| (key.queued == 0, key.running == 0));
    let mut table = Table::new(&["KEY", "LIMIT", "RUNNING", "QUEUED", "TAKEN BY"]);
    for key in keys.iter().take(MOST_KEYS) {
        let of_key = |job: &&JobRow| job.limit_key.as_deref() == Some(key.key.as_str());
        let taken: Vec<JobRow> = shown.running.iter().filter(of_key).cloned().collect();
        table.row(vec![
            safe(&key.key).into_owned(),
            if key.own { key.limit.to_string() } else { format!("({})", key.limit) },
            key.running.to_string(),
            key.queued.to_string(),
            if taken.is_empty() { "-".into() } else { holders::listed(&taken, now, MOST_HOLDERS) },
        ]);
    }
    table.lines().iter().try_for_each(|line| out.line(line))?;
    if keys.len() > MOST_KEYS {
        out.note(format_args!("and {} more keys; --json shows all", keys.len() - MOST_KEYS));
    }
    Ok(())
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

/// What a limit is for.
enum Of {
    Queue,
    EachKey,
    Key(LimitKey),
}

async fn set_limit(context: &Context, name: &QueueName, text: &str, of: &Of) -> Result<Exit, Error> {
    let limit = parse_limit(text, of)?;
    let queue = context.queue()?;
    warn_if_new(context, &*queue, name).await?;
    match of {
        Of::Queue => queue.limit(name, limit).await?,
        Of::EachKey => queue.limit_key(name, None, limit).await?,
        Of::Key(key) => queue.limit_key(name, Some(key), limit).await?,
    }
    queue.wake().await?;
    show(context, name).await?;
    let out = &context.out;
    match (of, limit) {
        (Of::Queue, Some(limit)) => out.note(format_args!("queue {name} runs at most {limit} at once")),
        (Of::Queue, None) => out.note(format_args!("queue {name} has no limit")),
        (Of::EachKey, limit) => {
            let limit = limit.unwrap_or(1);
            out.note(format_args!(
                "queue {name} runs at most {limit} of each limit key at once, if nothing else is said of it"
            ));
        }
        (Of::Key(key), Some(0)) => {
            out.note(format_args!("jobs with limit key {} of queue {name} are held", safe(key.as_str())));
        }
        (Of::Key(key), Some(limit)) => {
            out.note(format_args!("queue {name} runs at most {limit} with limit key {} at once", safe(key.as_str())));
        }
        (Of::Key(key), None) => {
            out.note(format_args!("limit key {} of queue {name} has no limit of its own", safe(key.as_str())));
        }
    }
    Ok(Exit::Done)
}

fn parse_limit(text: &str, of: &Of) -> Result<Option<u32>, Error> {
    if text == "none" {
        return Ok(None);
    }
    let least = if matches!(of, Of::Key(_)) { 0 } else { 1 };
    // What the database's columns hold.
    let most = i32::MAX.unsigned_abs();
    text.parse::<u32>().ok().filter(|limit| (least..=most).contains(limit)).map(Some).ok_or_else(|| {
        Error::usage(format!("{:?} is not a limit", safe(text))).hint(
            "write how many jobs may run at once, or none; `queue pause` holds a queue, `queue limit 0 --key` a key",
        )
    })
}

/// With `--json`, the queue as it is now.
async fn show(context: &Context, name: &QueueName) -> Result<(), Error> {
    if context.out.json {
        let queue = context.queue()?;
        if let Some(row) = queue.queues().await?.into_iter().find(|row| row.name == *name) {
            context.out.object(&Shown::of(&*queue, row).await?.view())?;
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
