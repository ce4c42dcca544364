//! `qmanager run`: one job, here, in the foreground.

use std::{path::PathBuf, sync::Arc};

use job_queue::{JobQueue, JobRow, NewJob, NewRound};
use jobfiles::Area;
use serde::Serialize;
use workflow_model::{ExecutorKind, JobId, QueueName, TaskIx, Workflow};

use super::{
    closure,
    context::Context,
    engine, files,
    load::{self, Source},
    pairs,
    screen::{self, Screen},
    submit::{bare_job, base_settings, wanted_files},
};
use crate::{
    cli::RunArgs,
    exit::{Error, Exit},
    foreground::{self, Job, Observer},
    graph::Graph,
    manager::{Ended, Notice, Options},
    output::JobView,
    progress::Summary,
    select,
    settings::JobSettings,
    text::{safe, shell_quote},
};

#[derive(Serialize)]
struct View<'a> {
    #[serde(flatten)]
    job: JobView<'a>,
    summary: &'a Summary,
}

pub(super) async fn run(context: &Context, args: &RunArgs) -> Result<Exit, Error> {
    match &args.resume {
        Some(selector) => resume(context, args, selector).await,
        None => begin(context, args).await,
    }
}

/// A new round of a foreground job, as `retry` planned it.
pub(super) async fn again(
    context: &Context,
    queue: Arc<dyn JobQueue>,
    job: JobRow,
    round: NewRound,
) -> Result<Exit, Error> {
    queue.retry(job.id, round).await?;
    old_job(context, &RunArgs::default(), &*queue, &job).await
}

async fn begin(context: &Context, args: &RunArgs) -> Result<Exit, Error> {
    let Some(file) = &args.file else { return Err(Error::usage("run needs a FILE")) };
    let source = load::read(context, file)?;
    source.warn(context);
    let settings = JobSettings {
        env_override: pairs::environment(context, &args.env_file, &args.env)?,
        secrets: pairs::secrets(context, &args.secret)?,
        job_files: job_files(context, args, &source)?,
        selection: selection(&source.workflow, args)?,
        fail_fast: args.fail_fast,
        foreground: true,
        ..base_settings(&source)
    };
    let mut job = bare_job(context, &source, &settings)?;
    job.queue = foreground::reserved_queue(job.id);
    if let Some(definition) = source.job.as_deref() {
        job.name.clone_from(&definition.name);
        job.labels.clone_from(&definition.labels);
        if let Some(key) = &definition.limit_key {
            context.out.warn(format_args!(
                "limit_key {} does not hold here: a run has a queue of its own; `qmanager submit` honours it",
                shell_quote(&safe(key.as_str()))
            ));
        }
    }
    let options = options(context, args, job.queue.clone(), args.executor)?;
    options.pools.iter().try_for_each(|pool| engine::reachable(context, pool))?;
    let area = Area { job: job.id, folder: settings.job_files.clone() };
    let files = wanted_files(context, &source, &args.files)?;
    // Before anything is said of a job that could not even be kept.
    context.layout()?.create_state_dir()?;
    if !files.is_empty() {
        files::put_first(context, &area, &files).await?;
    }
    announce(context, &job, &settings)?;
    let id = job.id;
    let (ended, queue) = drive(context, options, Job::New(Box::new(job)), id, &source.workflow).await?;
    finish(context, args, &source.workflow, id, (ended, &*queue)).await
}

async fn resume(context: &Context, args: &RunArgs, selector: &str) -> Result<Exit, Error> {
    let queue = context.run_queue()?;
    let job = context.job(&*queue, selector).await?;
    if !foreground::is_reserved(&job.queue) {
        return Err(Error::refused(format!("job {} was not begun by `qmanager run`", job.id))
            .hint(format!("the daemon goes on with it; `qmanager status {}` shows how", job.id.short())));
    }
    if job.status.is_terminal() {
        return Err(Error::refused(format!("job {} has ended already: {}", job.id, job.status))
            .hint(format!("`qmanager retry {}` runs again what did not succeed", job.id.short())));
    }
    old_job(context, args, &*queue, &job).await
}

/// Goes on with a job that is in its reserved queue already.
async fn old_job(context: &Context, args: &RunArgs, queue: &dyn JobQueue, job: &JobRow) -> Result<Exit, Error> {
    let (workflow, _) = context.definition(queue, job).await?;
    let rows = queue.queues().await?;
    let recorded = rows.into_iter().find(|row| row.name == job.queue).and_then(|row| row.executor);
    let options = options(context, args, job.queue.clone(), args.executor.or(recorded))?;
    let (ended, queue) = drive(context, options, Job::Old(job.id), job.id, &workflow).await?;
    finish(context, args, &workflow, job.id, (ended, &*queue)).await
}

fn options(
    context: &Context,
    args: &RunArgs,
    queue: QueueName,
    executor: Option<ExecutorKind>,
) -> Result<Options, Error> {
    let mut pool = engine::pool(context, queue, None, (executor, Some(1), args.parallel))?;
    // The caller's own shell is where the names come from: under `run` that is the worker's environment too.
    pool.settings.executors.shell.pass_env.extend(args.pass_env.iter().cloned());
    let layout = context.layout()?.for_run(&pool.qname);
    let db = context.run_db()?;
    engine::options(context, layout, db, vec![pool])
}

/// The folder of FILE, as make would; `None` = a fresh one.
fn job_files(context: &Context, args: &RunArgs, source: &Source) -> Result<Option<PathBuf>, Error> {
    let folder = match (&args.jobfiles, &source.file) {
        (Some(folder), _) => context.path(folder),
        // A pipe (`<(command)`) lies in no folder that could be meant: fresh, as for standard input.
        (None, Some(file)) if !args.fresh && file.is_file() => source.folder.clone(),
        _ => return Ok(None),
    };
    let shown = folder.display();
    let absolute = folder.canonicalize().map_err(|e| Error::io(format!("cannot use {shown} for the job files"), e))?;
    if !absolute.is_dir() {
        return Err(Error::usage(format!("{shown} is not a folder: it cannot hold the job files")));
    }
    Ok(Some(absolute))
}

fn selection(workflow: &Workflow, args: &RunArgs) -> Result<Option<Vec<TaskIx>>, Error> {
    if !args.only.is_empty() {
        return select::tasks(workflow, &args.only).map(Some);
    }
    if !args.from.is_empty() {
        return Ok(Some(closure::with_descendants(workflow, select::tasks(workflow, &args.from)?)));
    }
    Ok(None)
}

/// The first line names the folder in which things will happen.
fn announce(context: &Context, job: &NewJob, settings: &JobSettings) -> Result<(), Error> {
    let folder = match &settings.job_files {
        Some(folder) => folder.clone(),
        None => context.layout()?.job(job.id).join("files"),
    };
    context.out.note(format_args!("job {} in {}", job.id, safe(&folder.display().to_string())));
    Ok(())
}

async fn drive(
    context: &Context,
    options: Options,
    job: Job,
    id: JobId,
    workflow: &Workflow,
) -> Result<(Ended, Arc<dyn JobQueue>), Error> {
    let parallel = options.pools.first().map(|pool| pool.parallel);
    let mut observer = Watcher(Screen::new(context, &Graph::of(workflow), id, parallel));
    let ended = foreground::run(options, job, &mut observer).await;
    observer.0.finish();
    ended.map_err(engine::failed)
}

/// Shows what happens as it happens.
struct Watcher<'a>(Screen<'a>);

impl Observer for Watcher<'_> {
    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Took { resumed: true } => self.0.note("going on with what an earlier worker began"),
            Notice::Rows(rows) => self.0.rows(&rows),
            Notice::Degraded(Some(what)) => self.0.note(&format!("warning: {what}")),
            Notice::Degraded(None) => self.0.note("it is well again"),
            Notice::Stopping(false) => self.0.note("stopping: what runs is being ended; once more = at once"),
            Notice::Stopping(true) => self.0.note("killing what runs"),
            Notice::Took { resumed: false } | Notice::Ended(_) => {}
        }
    }

    fn frame(&mut self) {
        self.0.draw();
    }
}

async fn finish(
    context: &Context,
    args: &RunArgs,
    workflow: &Workflow,
    id: JobId,
    (ended, queue): (Ended, &dyn JobQueue),
) -> Result<Exit, Error> {
    let job = queue.get(id).await?;
    let rows = queue.tasks(id).await?;
    let summary = screen::summary(context, workflow, &job, &rows)?;
    if context.out.json {
        context.out.object(&View { job: JobView::new(&job), summary: &summary })?;
    } else if matches!(ended, Ended::Job(_)) {
        context.out.raw_note(&summary.text(&screen::look(context)));
    } else {
        context.out.note(summary.headline());
    }
    match ended {
        Ended::Job(status) => {
            files::get_all(context, queue, &job, &args.get).await?;
            Ok(Exit::of_job(status))
        }
        Ended::Signal(signal) => {
            context.out.note(format_args!("hint: `qmanager run --resume {}` goes on", id.short()));
            Ok(Exit::of_signal(signal))
        }
    }
}
