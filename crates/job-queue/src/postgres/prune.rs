//! Jobs that ended long ago are forgotten, in small transactions.

use std::collections::HashSet;

use workflow_model::{Epoch, JobId};

use super::{
    codec::{self, count, get},
    failure::Failure,
    lane::Lane,
    session::Session,
};
use crate::{Error, Prune};

/// A statement deletes at most so many task rows, but always one job whole.
const ROWS_AT_ONCE: u64 = 10_000;

struct Doomed {
    seq: i64,
    id: JobId,
    rows: u64,
    /// The epoch under which it goes although it has not ended.
    abandoned: Option<i64>,
}

pub(super) async fn prune(lane: &Lane, what: &Prune) -> Result<Vec<JobId>, Error> {
    let doomed = lane
        .run(|session| async move {
            let mut all = doomed(&session, what).await?;
            all.extend(abandoned(&session, &what.abandoned).await?);
            Ok(all)
        })
        .await?;
    if what.dry_run {
        return Ok(doomed.into_iter().map(|job| job.id).collect());
    }
    let mut gone = Vec::with_capacity(doomed.len());
    let mut rest = &doomed[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_length(rest));
        let left = lane.run(|session| async move { delete(&session, batch).await }).await?;
        gone.extend(batch.iter().filter(|job| !left.contains(&job.seq)).map(|job| job.id));
        rest = later;
    }
    lane.run(|session| async move { forget_run_queues(&session).await }).await?;
    Ok(gone)
}

fn batch_length(jobs: &[Doomed]) -> usize {
    let mut rows = 0;
    let fits = |job: &&Doomed| {
        rows += job.rows + 2;
        rows <= ROWS_AT_ONCE
    };
    jobs.iter().take_while(fits).count().max(1)
}

/// Newest first along the index of ended jobs.
async fn doomed(session: &Session, what: &Prune) -> Result<Vec<Doomed>, Failure> {
    const SQL: &str = "SELECT seq, id, tasks, ended, status = 'succeeded' FROM qmanager.job WHERE ended IS NOT NULL \
         ORDER BY ended DESC, seq DESC";
    let mut doomed = Vec::new();
    for (place, row) in (1_u64..).zip(session.rows(SQL, &[]).await?) {
        let ended: i64 = get(&row, 3)?;
        let ruled =
            what.ended_before.is_some_and(|moment| ended < moment) || what.keep.is_some_and(|keep| place > keep);
        let goes = match what.failed_before {
            Some(moment) if !get::<bool>(&row, 4)? => ended < moment,
            _ => ruled,
        };
        if goes {
            let (seq, id, rows) = (get(&row, 0)?, codec::job_id(get(&row, 1)?)?, count(&row, 2)?.into());
            doomed.push(Doomed { seq, id, rows, abandoned: None });
        }
    }
    Ok(doomed)
}

async fn abandoned(session: &Session, jobs: &[(JobId, Epoch)]) -> Result<Vec<Doomed>, Failure> {
    const SQL: &str = "SELECT seq, tasks FROM qmanager.job WHERE id = $1 AND epoch = $2 AND ended IS NULL";
    let mut found = Vec::new();
    for (id, epoch) in jobs {
        let epoch = codec::epoch_value(*epoch)?;
        if let Some(row) = session.row(SQL, &[&codec::key(*id), &epoch]).await? {
            found.push(Doomed { seq: get(&row, 0)?, id: *id, rows: count(&row, 1)?.into(), abandoned: Some(epoch) });
        }
    }
    Ok(found)
}

/// Answers those of the batch that are still there: they were retried, or claimed, since they were chosen.
async fn delete(session: &Session, batch: &[Doomed]) -> Result<HashSet<i64>, Failure> {
    const DELETE: &str = "DELETE FROM qmanager.job j USING unnest($1::bigint[], $2::bigint[]) AS doomed (seq, epoch) \
         WHERE j.seq = doomed.seq AND CASE WHEN doomed.epoch IS NULL THEN j.ended IS NOT NULL ELSE j.epoch = doomed.epoch END";
    let all: Vec<i64> = batch.iter().map(|job| job.seq).collect();
    let epochs: Vec<Option<i64>> = batch.iter().map(|job| job.abandoned).collect();
    session.change(DELETE, &[&all, &epochs]).await?;
    let left = session.rows("SELECT seq FROM qmanager.job WHERE seq = ANY ($1)", &[&all]).await?;
    Ok(left.iter().map(|row| get(row, 0)).collect::<Result<_, Error>>()?)
}

/// The reserved queues of `qmanager run` go with their jobs.
async fn forget_run_queues(session: &Session) -> Result<(), Failure> {
    const SQL: &str = "DELETE FROM qmanager.queue q WHERE name LIKE 'run-%' AND NOT paused AND job_limit IS NULL \
         AND NOT EXISTS (SELECT FROM qmanager.job WHERE job.queue = q.name)";
    session.change(SQL, &[]).await?;
    Ok(())
}
