//! Who takes up a limit: the jobs under way, told from their leases. There is no counter that could be wrong.

use job_queue::{Filter, JobQueue, JobRow, Micros};
use serde::Serialize;
use workflow_model::{JobId, JobStatus, QueueName};

use crate::{
    exit::Error,
    output::{ago, rfc3339},
    text::safe,
};

/// A job that has a place, as `--json` shows it.
#[derive(Debug, Serialize)]
pub(super) struct Holder<'a> {
    id: JobId,
    name: Option<&'a str>,
    limit_key: Option<&'a str>,
    host: Option<&'a str>,
    slot: Option<&'a str>,
    since: Option<String>,
    lease_until: Option<String>,
}

impl<'a> Holder<'a> {
    pub(super) fn new(job: &'a JobRow) -> Self {
        Self {
            id: job.id,
            name: job.name.as_deref(),
            limit_key: job.limit_key.as_deref(),
            host: job.owner.as_ref().map(|owner| owner.host.as_str()),
            slot: job.owner.as_ref().map(|owner| owner.slot.as_str()),
            since: job.started.map(rfc3339),
            lease_until: job.lease_until.map(rfc3339),
        }
    }
}

/// The jobs of a queue under way, or those with a limit key; the oldest first.
pub(super) async fn of(queue: &dyn JobQueue, name: &QueueName, key: Option<&str>) -> Result<Vec<JobRow>, Error> {
    let filter = Filter {
        queue: Some(name.clone()),
        limit_key: key.map(str::to_owned),
        states: vec![JobStatus::Running, JobStatus::Cancelling],
        ..Filter::default()
    };
    let mut jobs = queue.list(&filter).await?;
    jobs.sort_by_key(|job| job.started);
    Ok(jobs)
}

/// A job in words: id, name, who has it, since when, and until when its lease is good.
pub(super) fn described(job: &JobRow, now: Micros) -> String {
    let name = job.name.as_deref().map_or_else(String::new, |name| format!(" {:?}", safe(name)));
    let owner = job
        .owner
        .as_ref()
        .map_or_else(String::new, |owner| format!("worker {} on {}, ", owner.slot, safe(&owner.host)));
    let since = job.started.map_or_else(String::new, |started| format!("since {}, ", ago(started, now)));
    let lease = match job.lease_until {
        Some(until) if until > now => format!("lease ends {}", ago(until, now)),
        Some(until) => format!("its lease ended {}: whoever goes on with it has its place", ago(until, now)),
        None => "without a lease".into(),
    };
    format!("{}{name} ({owner}{since}{lease})", job.id.short())
}

/// Several of them, cut to a few.
pub(super) fn listed(jobs: &[JobRow], now: Micros, most: usize) -> String {
    let mut all: Vec<String> = jobs.iter().take(most).map(|job| described(job, now)).collect();
    if jobs.len() > most {
        all.push(format!("and {} more", jobs.len() - most));
    }
    all.join(", ")
}
