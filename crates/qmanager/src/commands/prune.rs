//! `qmanager prune`: forget ended jobs, and runs that were interrupted and never gone on with, and remove their folders; never a folder of the user's.

use job_queue::{Filter, JobQueue, JobRow, Micros, Prune};
use jobfiles::{Area, JobFiles};
use workflow_model::{JobId, JobStatus};

use super::{context::Context, files, pairs};
use crate::{
    cli::PruneArgs,
    config::Keep,
    exit::{Error, Exit},
    foreground,
    manager::Interrupted,
    output::{JSON_VERSION, now},
    text::counted,
};

/// Microseconds of a day.
const DAY: Micros = 86_400_000_000;

pub(super) async fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Error> {
    let what = rules(args, context.config()?.jobfiles.keep, now())?;
    let Some(queue) = context.queue_if_any()? else {
        context.out.note("no jobs yet");
        return Ok(Exit::Done);
    };
    let store = files::store(context)?;
    let interrupted = interrupted(context, &*queue, &what).await?;
    let what = Prune { abandoned: interrupted.iter().map(|run| (run.job, run.epoch)).collect(), ..what };
    let forgotten = queue.prune(&what).await?;
    let mut kept_folders = 0;
    for run in interrupted.into_iter().filter(|run| forgotten.contains(&run.job) && !args.dry_run) {
        if let Err(error) = run.forget() {
            kept_folders += 1;
            context.out.warn(format_args!("cannot remove the run-dir of a forgotten run: {error}"));
        }
    }
    for job in &forgotten {
        tell(context, *job, args.dry_run)?;
        if args.dry_run {
            continue;
        }
        // The area without a folder of the user's: what is removed is what the store itself has.
        if let Err(error) = store.forget(&Area::own(*job)).await {
            kept_folders += 1;
            let error = files::failed(error);
            context.out.warn(format_args!("{error}: {}", error.causes().join(": ")));
        }
    }
    let count = counted(forgotten.len(), "job");
    let verb = if args.dry_run { "would be forgotten" } else { "forgotten" };
    context.out.note(format_args!("{count} {verb}"));
    if kept_folders > 0 {
        return Err(Error::usage(format!("{} could not be removed", counted(kept_folders, "folder"))));
    }
    Ok(Exit::Done)
}

/// Foreground runs that were killed or stopped so long ago, and that nobody went on with. They count by the age for what
/// did not succeed.
async fn interrupted(context: &Context, queue: &dyn JobQueue, what: &Prune) -> Result<Vec<Interrupted>, Error> {
    let Some(before) = what.failed_before.or(what.ended_before) else { return Ok(Vec::new()) };
    let layout = context.layout()?;
    let states = vec![JobStatus::Queued, JobStatus::Running, JobStatus::Cancelling];
    let open = queue.list(&Filter { states, ..Filter::default() }).await?;
    let old = open.iter().filter(|job| foreground::is_reserved(&job.queue) && last_sign(job) < before);
    Ok(old.filter_map(|job| Interrupted::take(&layout, job)).collect())
}

/// When a job was last known to be somebody's.
fn last_sign(job: &JobRow) -> Micros {
    job.created.max(job.started.unwrap_or_default()).max(job.lease_until.unwrap_or_default())
}

fn tell(context: &Context, job: JobId, dry_run: bool) -> Result<(), Error> {
    if context.out.json {
        return context.out.object(&serde_json::json!({ "v": JSON_VERSION, "id": job, "dry_run": dry_run }));
    }
    context.out.line(job)
}

/// What the flags say; without any the configuration's `jobfiles.keep`.
fn rules(args: &PruneArgs, keep: Keep, now: Micros) -> Result<Prune, Error> {
    if args.older_than.is_none() && args.keep.is_none() {
        return Ok(Prune {
            ended_before: keep.days.map(|days| now - Micros::from(days) * DAY),
            failed_before: keep.failed_days.map(|days| now - Micros::from(days) * DAY),
            keep: keep.jobs,
            dry_run: args.dry_run,
            ..Prune::default()
        });
    }
    let age = args.older_than.as_deref().map(|text| pairs::duration("--older-than", text)).transpose()?;
    let ended_before = age.map(|age| now.saturating_sub(Micros::try_from(age.as_micros()).unwrap_or(Micros::MAX)));
    Ok(Prune { ended_before, keep: args.keep, dry_run: args.dry_run, ..Prune::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_replace_the_configured_rules() {
        let keep = Keep { days: Some(30), jobs: Some(10), failed_days: Some(90) };
        let now = 1000 * DAY;
        let rules = |older_than: Option<&str>, keep_flag| {
            let args = PruneArgs { older_than: older_than.map(Into::into), keep: keep_flag, dry_run: false };
            let rules = super::rules(&args, keep, now).unwrap();
            (rules.ended_before, rules.failed_before, rules.keep)
        };
        assert_eq!(rules(None, None), (Some(970 * DAY), Some(910 * DAY), Some(10)));
        assert_eq!(rules(Some("2d"), None), (Some(998 * DAY), None, None));
        assert_eq!(rules(None, Some(3)), (None, None, Some(3)));
    }
}
