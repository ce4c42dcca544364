//! `qmanager list`: jobs, newest first.

use job_queue::{Filter, JobRow, Micros};

use super::{context::Context, pairs};
use crate::{
    cli::ListArgs,
    exit::{Error, Exit},
    output::{JobView, Output, Table, ago, now},
    text::{self, Tone, paint, safe},
};

/// How many are shown when nothing is said.
const LIMIT: u32 = 50;

pub(super) async fn run(context: &Context, args: &ListArgs) -> Result<Exit, Error> {
    let limit = args.limit.unwrap_or(LIMIT);
    let mut filter = pairs::filter(context, &args.filter)?;
    filter.submitter = if args.mine { Some(context.submitter()?) } else { None };
    // One more, to know whether there are more.
    filter.limit = (limit > 0).then(|| limit.saturating_add(1));
    let mut jobs = match context.queue_if_any()? {
        Some(queue) => queue.list(&filter).await?,
        None => Vec::new(),
    };
    let more = limit > 0 && jobs.len() > limit as usize;
    if more {
        jobs.truncate(limit as usize);
    }
    print(&context.out, &jobs, now())?;
    if more {
        context.out.note(format_args!("the newest {limit}; --limit 0 shows all"));
    } else if jobs.is_empty() && !context.out.json {
        context.out.note(nothing(&filter));
    }
    Ok(Exit::Done)
}

fn nothing(filter: &Filter) -> &'static str {
    let all = filter.queue.is_none() && filter.name.is_none() && filter.labels.is_empty() && filter.states.is_empty();
    let all = all && filter.limit_key.is_none();
    if all && filter.submitter.is_none() { "no jobs yet" } else { "no job matches" }
}

fn print(out: &Output, jobs: &[JobRow], now: Micros) -> Result<(), Error> {
    if out.json {
        return jobs.iter().try_for_each(|job| out.object(&JobView::new(job)));
    }
    if jobs.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["JOB", "STATUS", "TASKS", "SUBMITTED", "TIME", "QUEUE", "NAME"]);
    for job in jobs {
        table.row(vec![
            job.id.short(),
            job.status.to_string(),
            format!("{}/{}", ended_tasks(job), job.tasks),
            ago(job.created, now),
            time(job, now),
            job.queue.to_string(),
            job.name.as_deref().map(|name| text::cut(&safe(name), 40).into_owned()).unwrap_or_default(),
        ]);
    }
    let mut lines = table.lines().into_iter();
    if let Some(heading) = lines.next() {
        out.line(paint(&heading, Tone::Dim, out.color))?;
    }
    for (line, job) in lines.zip(jobs) {
        out.line(paint(&line, Tone::of_job(job.status), out.color))?;
    }
    Ok(())
}

/// Tasks that have come to an end.
pub(super) fn ended_tasks(job: &JobRow) -> u32 {
    job.counts.succeeded + job.counts.failed + job.counts.skipped + job.counts.cancelled
}

/// How long a job has run.
pub(super) fn time(job: &JobRow, now: Micros) -> String {
    job.started.map(|started| text::duration(text::between(started, job.ended.unwrap_or(now)))).unwrap_or_default()
}
