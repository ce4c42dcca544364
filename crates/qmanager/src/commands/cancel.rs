//! `qmanager cancel`: jobs by name, or all that a filter finds.

use job_queue::{CancelHow, JobQueue, JobRow};
use serde::Serialize;
use workflow_model::{JobId, JobStatus};

use super::{context::Context, pairs, serving::Serving};
use crate::{
    cli::CancelArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    text::{counted, safe},
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    id: JobId,
    name: Option<&'a str>,
    before: JobStatus,
    status: JobStatus,
}

pub(super) async fn run(context: &Context, args: &CancelArgs) -> Result<Exit, Error> {
    let queue = context.queue_with(&args.jobs)?;
    let jobs = chosen(context, &*queue, args).await?;
    let how = if args.now { CancelHow::Now } else { CancelHow::Cancel };
    let mut refused = false;
    for job in &jobs {
        let status = queue.cancel(job.id, how).await?;
        tell(context, &*queue, job, status).await?;
        refused |= job.status.is_terminal() && job.status != JobStatus::Cancelled;
    }
    queue.wake().await?;
    // A filter finds what it finds; but whoever names a job that had ended otherwise did not get it cancelled. (A second
    // cancel is as good as the first, F88.)
    if refused && !args.jobs.is_empty() {
        context.out.note("a job that has ended stays as it is");
        return Ok(Exit::Refused);
    }
    Ok(Exit::Done)
}

async fn chosen(context: &Context, queue: &dyn JobQueue, args: &CancelArgs) -> Result<Vec<JobRow>, Error> {
    if !args.jobs.is_empty() {
        let mut jobs: Vec<JobRow> = Vec::new();
        for selector in &args.jobs {
            let job = context.job(queue, selector).await?;
            if jobs.iter().all(|other| other.id != job.id) {
                jobs.push(job);
            }
        }
        return Ok(jobs);
    }
    let mut filter = pairs::filter(context, &args.filter)?;
    if filter.states.is_empty() {
        filter.states = vec![JobStatus::Queued, JobStatus::Running, JobStatus::Cancelling];
    }
    let jobs = queue.list(&filter).await?;
    let jobs: Vec<JobRow> = jobs.into_iter().filter(|job| !job.status.is_terminal()).collect();
    if jobs.is_empty() {
        context.out.note("no job matches");
    } else if !args.yes {
        let found = counted(jobs.len(), "job");
        return Err(Error::usage(format!("the filter finds {found}; nothing was cancelled"))
            .hint("add --yes to cancel them; `qmanager list` with the same filter shows them"));
    }
    Ok(jobs)
}

async fn tell(context: &Context, queue: &dyn JobQueue, job: &JobRow, status: JobStatus) -> Result<(), Error> {
    if context.out.json {
        let name = job.name.as_deref();
        return context.out.object(&View { v: JSON_VERSION, id: job.id, name, before: job.status, status });
    }
    let name = job.name.as_deref().map_or_else(String::new, |name| format!(" {}", safe(name)));
    let what = match (job.status, status) {
        (before, _) if before.is_terminal() => format!("had ended already: {before}"),
        (_, JobStatus::Cancelled) => "cancelled".into(),
        _ => "is being cancelled".into(),
    };
    context.out.line(format_args!("{}{name} {what}", job.id))?;
    if !status.is_terminal() {
        Serving::warn(context, queue, &job.queue).await?;
    }
    Ok(())
}
