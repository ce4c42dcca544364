//! `qmanager retry`: a new round of an ended job. Prints what it will run first.

use std::collections::BTreeMap;

use job_queue::{JobRow, NewRound, TaskRow};
use serde::Serialize;
use workflow_model::{JobId, TaskIx, Workflow};

use super::{closure, context::Context, load, pairs, run, serving::Serving};
use crate::{
    cli::RetryArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    select,
    settings::JobSettings,
    text::{counted, safe, shell_quote},
};

/// How many names are listed for people.
const SHOWN: usize = 20;

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    id: JobId,
    /// The new round.
    round: u32,
    dry_run: bool,
    /// What will run.
    tasks: Vec<TaskRef<'a>>,
}

#[derive(Serialize)]
struct TaskRef<'a> {
    task: TaskIx,
    name: &'a str,
}

/// What a round will be.
struct Plan {
    workflow: Workflow,
    tasks: Vec<TaskIx>,
    round: NewRound,
    obstacles: Vec<TaskIx>,
}

pub(super) async fn run(context: &Context, args: &RetryArgs) -> Result<Exit, Error> {
    let queue = context.queue_with(&[&args.job])?;
    let job = context.job(&*queue, &args.job).await?;
    if !job.status.is_terminal() {
        return Err(Error::refused(format!(
            "job {} is {}; only a job that has ended can be retried",
            job.id, job.status
        ))
        .hint(format!("`qmanager wait {0}` or `qmanager cancel {0}` first", job.id.short())));
    }
    let (workflow, settings) = context.definition(&*queue, &job).await?;
    let rows = queue.tasks(job.id).await?;
    let plan = plan(context, args, &job, workflow, settings.clone(), &rows)?;
    show(context, args, &job, &plan)?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    context.out.flush()?;
    if settings.foreground {
        return run::again(context, queue, job, plan.round).await;
    }
    queue.retry(job.id, plan.round).await?;
    queue.wake().await?;
    Serving::warn(context, &*queue, &job.queue).await?;
    Ok(Exit::Done)
}

fn plan(
    context: &Context,
    args: &RetryArgs,
    job: &JobRow,
    old: Workflow,
    mut settings: JobSettings,
    rows: &[TaskRow],
) -> Result<Plan, Error> {
    let before = settings.clone();
    let mut round = NewRound { seen: job.round, ..NewRound::default() };
    let mut changed = Vec::new();
    let mut rows = rows.to_vec();
    let workflow = match &args.with {
        None => old,
        Some(file) => {
            let source = load::read(context, file)?;
            source.warn(context);
            let correction = closure::correction(&old, &source.workflow);
            rows = TaskRow::moved(&rows, &correction.from);
            changed = correction.changed;
            let new = source.workflow;
            let count = u32::try_from(new.len()).map_err(|_| Error::usage("too many tasks"))?;
            round.definition = Some((new.to_canonical_json(), new.hash(), count, correction.from));
            // The selection of `run --only` is by index: it means nothing in another definition.
            settings.selection = None;
            new
        }
    };
    let mut tasks = chosen(args, &workflow, &rows)?;
    let asked = args.all || !args.from.is_empty() || !args.only.is_empty();
    match &settings.selection {
        // `run --only` left the others out: that holds until something else is asked for.
        Some(selection) if !asked => tasks.retain(|task| selection.contains(task)),
        _ => settings.selection = None,
    }
    if !args.only.is_empty() {
        changed.retain(|task| tasks.contains(task));
    }
    tasks.extend(changed);
    tasks.sort_unstable();
    tasks.dedup();
    if tasks.is_empty() {
        return Err(nothing(job, args));
    }
    settings.env_override.extend(pairs::environment(context, &[], &args.env)?);
    settings.secrets.extend(secrets(context, args, &before)?);
    if settings != before {
        let text = serde_json::to_string(&settings).map_err(|e| Error::internal("cannot write settings").because(e))?;
        round.settings = Some(text);
    }
    round.reset.clone_from(&tasks);
    let obstacles = closure::obstacles(&workflow, &rows, &tasks);
    Ok(Plan { workflow, tasks, round, obstacles })
}

/// Where this round finds secrets: beside, or instead of, what `run --secret` said.
fn secrets(context: &Context, args: &RetryArgs, settings: &JobSettings) -> Result<BTreeMap<String, String>, Error> {
    if !args.secret.is_empty() && !settings.foreground {
        return Err(Error::usage(
            "--secret is for jobs of `qmanager run`: the workers of a queue take no secret's source from a job",
        )
        .hint("name it in the configuration of the workers: [secrets], and its `allow` for this queue"));
    }
    pairs::secrets(context, &args.secret)
}

fn chosen(args: &RetryArgs, workflow: &Workflow, rows: &[TaskRow]) -> Result<Vec<TaskIx>, Error> {
    if args.all {
        return Ok(workflow.iter().map(|(task, _)| task).collect());
    }
    if !args.only.is_empty() {
        return select::tasks(workflow, &args.only);
    }
    if !args.from.is_empty() {
        return Ok(closure::with_descendants(workflow, select::tasks(workflow, &args.from)?));
    }
    Ok(closure::with_descendants(workflow, closure::unsuccessful(workflow, rows)))
}

fn nothing(job: &JobRow, args: &RetryArgs) -> Error {
    let id = job.id.short();
    let what = if args.with.is_some() { "and nothing differs from its definition" } else { "nothing of it failed" };
    Error::refused(format!("job {} {}: {what}", job.id, job.status))
        .hint(format!("`qmanager retry {id} --all` runs everything again, `--from TASK` a part"))
}

fn show(context: &Context, args: &RetryArgs, job: &JobRow, plan: &Plan) -> Result<(), Error> {
    let out = &context.out;
    let name = |task: &TaskIx| plan.workflow.task(*task).name.as_str();
    if out.json {
        let tasks = plan.tasks.iter().map(|task| TaskRef { task: *task, name: name(task) }).collect();
        let view = View { v: JSON_VERSION, id: job.id, round: job.round + 1, dry_run: args.dry_run, tasks };
        return out.object(&view);
    }
    let verb = if args.dry_run { "would run" } else { "runs" };
    let all = plan.workflow.len();
    out.line(format_args!(
        "{} round {} {verb} {} of {}:",
        job.id,
        job.round + 1,
        counted(plan.tasks.len(), "task"),
        all
    ))?;
    for task in plan.tasks.iter().take(SHOWN) {
        out.line(format_args!("  {}", safe(name(task))))?;
    }
    if plan.tasks.len() > SHOWN {
        out.line(format_args!("  … and {} more (--json lists them)", plan.tasks.len() - SHOWN))?;
    }
    for task in plan.obstacles.iter().take(SHOWN) {
        let task = safe(name(task));
        out.warn(format_args!("{task} did not succeed and is not run again: what needs it will be skipped"));
        out.note(format_args!("hint: `qmanager retry {} --from {}`", job.id.short(), shell_quote(&task)));
    }
    Ok(())
}
