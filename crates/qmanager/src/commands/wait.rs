//! `qmanager wait`: until jobs have ended; the exit code is that of the worst.

use std::time::Duration;

use job_queue::JobRow;
use tokio::time::Instant;
use workflow_model::JobId;

use super::{context::Context, pairs, screen, serving::Serving};
use crate::{
    cli::WaitArgs,
    exit::{Error, Exit},
    output::{JobView, Output, now},
    text::{self, Tone, paint, safe},
};

pub(super) async fn run(context: &Context, args: &WaitArgs) -> Result<Exit, Error> {
    let timeout = args.timeout.as_deref().map(|text| pairs::duration("--timeout", text)).transpose()?;
    let queue = context.queue_with(&args.jobs)?;
    let mut jobs: Vec<JobId> = Vec::new();
    for selector in &args.jobs {
        let job = context.job(&*queue, selector).await?;
        if !job.status.is_terminal() {
            Serving::warn(context, &*queue, &job.queue).await?;
        }
        if !jobs.contains(&job.id) {
            jobs.push(job.id);
        }
    }
    let mut worst = Exit::Done;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    for id in jobs {
        let Some(job) = screen::follow(context, &*queue, id, deadline).await? else {
            let waited = text::duration(timeout.unwrap_or(Duration::ZERO));
            return Err(Error::new(Exit::WaitTimedOut, format!("job {id} has not ended within {waited}"))
                .hint(format!("`qmanager explain {}` says what it waits for", id.short())));
        };
        show(&context.out, &job)?;
        context.out.flush()?;
        worst = worse(worst, Exit::of_job(job.status));
        super::files::get_all(context, &*queue, &job, &args.get).await?;
    }
    Ok(worst)
}

/// A job that ended, as one line of data.
pub(super) fn show(out: &Output, job: &JobRow) -> Result<(), Error> {
    if out.json {
        return out.object(&JobView::new(job));
    }
    let name = job.name.as_deref().map_or_else(String::new, |name| format!(" {}", safe(name)));
    let time = super::list::time(job, now());
    let status = paint(job.status.as_str(), Tone::of_job(job.status), out.color);
    out.line(format_args!("{}{name} {status} {time}", job.id).to_string().trim_end())
}

/// A failed job outweighs a cancelled one.
fn worse(a: Exit, b: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::JobCancelled => 1,
        _ => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}
