//! Steps of a job under its lease: task rows, and the end. One statement each: it locks the job if the lease is still
//! ours, and does nothing else if it is not.

use std::sync::LazyLock;

use tokio_postgres::Row;
use workflow_model::{Cause, Epoch, JobId, JobStatus};

use super::{
    claim::{self, Asked, Mark},
    codec::{self, COLUMN_NAMES, Columns, get, key, parsed},
    failure::Failure,
    keys,
    session::{Param, Session},
};
use crate::{Claimed, Error, JobEnding, TaskRow};

/// What a step begins with: the job, if it is under way under this very lease; what the rows change.
///
/// A statement sees the state before it began, also after it has waited for the job's row. That is enough: only the
/// lease's holder writes task rows, and it does so one call after the other.
const HELD: &str = "held AS (SELECT seq FROM qmanager.job WHERE id = $1 AND epoch = $2 \
       AND status IN ('running', 'cancelling') FOR NO KEY UPDATE), \
     was AS (SELECT t.ix, t.status FROM qmanager.task t, held WHERE t.job = held.seq AND t.ix = ANY ($3)), \
     wrong AS (SELECT w.ix, w.status AS old, g.status AS new FROM was w JOIN given g USING (ix) \
       WHERE w.status IN ('succeeded', 'skipped', 'cancelled', 'failed') AND w.status <> g.status ORDER BY ix LIMIT 1), \
     d AS (SELECT coalesce(sum(n) FILTER (WHERE status = 'running'), 0)::integer AS running, \
       coalesce(sum(n) FILTER (WHERE status = 'succeeded'), 0)::integer AS succeeded, \
       coalesce(sum(n) FILTER (WHERE status = 'failed'), 0)::integer AS failed, \
       coalesce(sum(n) FILTER (WHERE status = 'skipped'), 0)::integer AS skipped, \
       coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0)::integer AS cancelled \
       FROM (SELECT status, 1 AS n FROM given UNION ALL SELECT status, -1 FROM was) AS changes)";

const COUNTS: &str = "n_running = n_running + d.running, n_succeeded = n_succeeded + d.succeeded, \
     n_failed = n_failed + d.failed, n_skipped = n_skipped + d.skipped, n_cancelled = n_cancelled + d.cancelled";

const ANSWER: &str =
    "EXISTS (SELECT FROM held), (SELECT ix FROM wrong), (SELECT old FROM wrong), (SELECT new FROM wrong)";

/// Writes given rows of job `held`, unless one of them is wrong.
fn put() -> String {
    let updates: Vec<String> =
        COLUMN_NAMES.split(", ").skip(1).map(|name| format!("{name} = excluded.{name}")).collect();
    format!(
        "put AS (INSERT INTO qmanager.task (job, {COLUMN_NAMES}) SELECT held.seq, g.* FROM held, given g \
         WHERE NOT EXISTS (SELECT FROM wrong) ON CONFLICT (job, ix) DO UPDATE SET {})",
        updates.join(", ")
    )
}

static RECORD: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH given AS (SELECT * FROM {}), {HELD}, {}, \
         stepped AS (UPDATE qmanager.job j SET {COUNTS} FROM held, d WHERE j.seq = held.seq \
           AND NOT EXISTS (SELECT FROM wrong) \
           AND (d.running, d.succeeded, d.failed, d.skipped, d.cancelled) <> (0, 0, 0, 0, 0)) \
         SELECT {ANSWER}",
        codec::unnest(3),
        put()
    )
});

/// Whoever was told that the job is being cancelled must not read later that it ended otherwise (F88, I15).
static FINISH: LazyLock<String> = LazyLock::new(|| {
    const OVERRULED: &str = "j.cancel IS NOT NULL AND $20 <> 'cancelled'";
    format!(
        "WITH given AS (SELECT * FROM {}), {HELD}, {}, \
         done AS (UPDATE qmanager.job j SET {COUNTS}, \
           status = CASE WHEN {OVERRULED} THEN 'cancelled' ELSE $20 END, \
           cause = CASE WHEN {OVERRULED} THEN 'cancelled' ELSE $21 END, \
           message = CASE WHEN {OVERRULED} THEN 'cancelled' ELSE $22 END, \
           ended = qmanager.now_micros(), later = NULL, owner_host = NULL, owner_run_dir = NULL, owner_slot = NULL \
           FROM held, d WHERE j.seq = held.seq AND NOT EXISTS (SELECT FROM wrong) RETURNING j.status, j.queue, j.limit_key), \
         freed AS (DELETE FROM qmanager.lease WHERE job = $1 AND EXISTS (SELECT FROM done)) \
         SELECT {ANSWER}, (SELECT status FROM done), (SELECT queue FROM done WHERE limit_key IS NOT NULL)",
        codec::unnest(3),
        put()
    )
});

pub(super) async fn record(session: &Session, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Failure> {
    let (id, epoch, columns) = (key(job), codec::epoch_value(epoch)?, Columns::new(rows)?);
    let mut values: Vec<Param<'_>> = vec![&id, &epoch];
    values.extend(columns.values());
    let answer = session.row(&RECORD, &values).await?;
    judge(answer.as_ref())?;
    Ok(())
}

/// An earlier try may have been done, its reply lost (F38). Only the holder of this lease can have ended the job under it,
/// so an end under it is ours.
pub(super) async fn finish(
    session: &Session,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
    end: &JobEnding,
) -> Result<JobStatus, Failure> {
    let (status, keyed) = end_job(session, (job, epoch), rows, end).await?;
    if let Some(queue) = keyed {
        keys::wake(session, &queue).await?;
    }
    Ok(status)
}

/// Answers the status that stands, and the queue where a limit key has a place now.
async fn end_job(
    session: &Session,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
    end: &JobEnding,
) -> Result<(JobStatus, Option<String>), Failure> {
    if !end.status.is_terminal() {
        return Err(Error::Refused(format!("a job cannot end as {}", end.status)).into());
    }
    let (id, number, columns) = (key(job), codec::epoch_value(epoch)?, Columns::new(rows)?);
    let (status, cause) = (end.status.as_str(), end.cause.map(Cause::as_str));
    let message = end.message.as_deref().map(codec::text);
    let mut values: Vec<Param<'_>> = vec![&id, &number];
    values.extend(columns.values());
    values.extend([&status as Param<'_>, &cause, &message]);
    let answer = session.row(&FINISH, &values).await?;
    match judge(answer.as_ref()) {
        Ok(row) => Ok((parsed(row, 4)?, get(row, 5)?)),
        Err(Error::Fenced) => {
            let stands = left_as(session, job, epoch).await?;
            stands
                .filter(|status| status.is_terminal())
                .map(|status| (status, None))
                .ok_or_else(|| Error::Fenced.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// The end of a job and the claim of the next, in one transaction.
pub(super) async fn finish_and_claim(
    session: &Session,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
    end: &JobEnding,
    asked: &Asked<'_>,
    mark: &mut Mark,
) -> Result<(JobStatus, Option<Claimed>), Failure> {
    session.begin().await?;
    let (status, keyed) = end_job(session, (job, epoch), rows, end).await?;
    let next = match claim::claim(session, asked, mark).await {
        Err(Failure::Ours(Error::Mismatch(_))) => None,
        other => other?,
    };
    if let Some(queue) = keyed.filter(|_| next.is_none()) {
        keys::wake(session, &queue).await?;
    }
    session.commit().await?;
    Ok((status, next))
}

/// How the holder of a lease left its job, if it did, and nobody has taken it since.
pub(super) async fn left_as(session: &Session, job: JobId, epoch: Epoch) -> Result<Option<JobStatus>, Failure> {
    const SQL: &str = "SELECT status FROM qmanager.job WHERE id = $1 AND epoch = $2 AND owner_slot IS NULL";
    let row = session.row(SQL, &[&key(job), &codec::epoch_value(epoch)?]).await?;
    Ok(row.map(|row| parsed(&row, 0)).transpose()?)
}

/// Whether a step was done, by what its statement answered.
pub(super) fn judge(answer: Option<&Row>) -> Result<&Row, Error> {
    let row = answer.ok_or_else(|| Error::Damaged("an answer without a row".into()))?;
    if !get::<bool>(row, 0)? {
        return Err(Error::Fenced);
    }
    if get::<Option<i32>>(row, 1)?.is_some() {
        return Err(codec::refused(workflow_model::TaskIx(codec::count(row, 1)?), get(row, 2)?, get(row, 3)?));
    }
    Ok(row)
}
