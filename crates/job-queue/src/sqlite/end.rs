//! A worker gives a job away: it has ended, or it goes back to the queue.

use rusqlite::{Connection, OptionalExtension};
use workflow_model::{Cause, Epoch, JobId, JobStatus, TaskStatus};

use super::{
    claim::{self, Taken},
    codec::{self, Deltas},
    db::{Db, Durability},
    record::put_rows,
};
use crate::{Claim, Error, JobEnding, Micros, TaskRow};

/// Ends a job, and takes the next one if one is wanted.
pub(super) fn finish(
    db: &mut Db,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
    end: &JobEnding,
    next: Option<&Claim>,
) -> Result<(JobStatus, Taken), Error> {
    if !end.status.is_terminal() {
        return Err(Error::Refused(format!("a job cannot end as {}", end.status)));
    }
    db.write(Durability::Full, |conn, now| {
        let (status, has_key) = end_job(conn, now, (job, epoch), rows, end)?;
        let next = next.map(|next| claim::take_one(conn, now, next));
        let mut taken = match next {
            Some(Err(Error::Mismatch(_))) | None => Taken::default(),
            Some(taken) => taken?,
        };
        // Nobody has looked yet who gets the place of this one.
        taken.more |= has_key && taken.job.is_none();
        Ok((status, taken))
    })
}

/// Answers the status that stands, and whether the job has a limit key.
fn end_job(
    conn: &Connection,
    now: Micros,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
    end: &JobEnding,
) -> Result<(JobStatus, bool), Error> {
    let brief = match codec::fenced(conn, job, epoch) {
        Err(Error::Fenced) => {
            let left = left_as(conn, job, epoch)?.filter(|status| status.is_terminal());
            // Whose place became free was looked at the first time, or is looked at by the next poll.
            return Ok((left.ok_or(Error::Fenced)?, true));
        }
        held => held?,
    };
    let deltas = put_rows(conn, brief.seq, rows)?;
    // Whoever was told that the job is being cancelled must not read later that it ended otherwise (F88, I15).
    if brief.cancel && end.status != JobStatus::Cancelled {
        close(conn, brief.seq, now, &cancelled("cancelled"), deltas)?;
        return Ok((JobStatus::Cancelled, brief.has_key));
    }
    close(conn, brief.seq, now, end, deltas)?;
    Ok((end.status, brief.has_key))
}

pub(super) fn release(db: &mut Db, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error> {
    // FULL since a released job may end here, and a release is rare.
    db.write(Durability::Full, |conn, now| {
        let brief = match codec::fenced(conn, job, epoch) {
            Err(Error::Fenced) => return left_as(conn, job, epoch)?.ok_or(Error::Fenced),
            held => held?,
        };
        let mut deltas = put_rows(conn, brief.seq, rows)?;
        if brief.cancel {
            cancel_open_tasks(conn, brief.seq, &mut deltas)?;
            close(conn, brief.seq, now, &cancelled("cancelled; the worker was stopped meanwhile"), deltas)?;
            return Ok(JobStatus::Cancelled);
        }
        deltas.apply(conn, brief.seq)?;
        conn.prepare_cached(
            "UPDATE job SET status = 'queued', owner_host = NULL, owner_run_dir = NULL, owner_slot = NULL, \
             lease_until = NULL WHERE seq = ?1",
        )?
        .execute([brief.seq])?;
        Ok(JobStatus::Queued)
    })
}

/// How the holder of this lease left its job, if it did and nobody has taken it since: each claim takes a new epoch, so it
/// asks again because the answer was lost (a failed sync whose commit stands, F32).
fn left_as(conn: &Connection, job: JobId, epoch: Epoch) -> Result<Option<JobStatus>, Error> {
    conn.prepare_cached("SELECT status FROM job WHERE id = ?1 AND epoch = ?2 AND owner_slot IS NULL")?
        .query_row((job.to_string(), epoch.0), |row| Ok(codec::parsed(row, 0)))
        .optional()?
        .transpose()
}

pub(super) fn cancelled(message: &str) -> JobEnding {
    JobEnding { status: JobStatus::Cancelled, cause: Some(Cause::Cancelled), message: Some(message.into()) }
}

/// The job is terminal from here on. `cancel` stays: it says what was asked for.
pub(super) fn close(conn: &Connection, seq: i64, now: Micros, end: &JobEnding, counts: Deltas) -> Result<(), Error> {
    conn.prepare_cached(
        "UPDATE job SET status = ?2, cause = ?3, message = ?4, ended = ?5, later = NULL, owner_host = NULL, \
         owner_run_dir = NULL, owner_slot = NULL, lease_until = NULL, n_running = n_running + ?6, \
         n_succeeded = n_succeeded + ?7, n_failed = n_failed + ?8, n_skipped = n_skipped + ?9, \
         n_cancelled = n_cancelled + ?10 WHERE seq = ?1",
    )?
    .execute((
        seq,
        end.status.as_str(),
        end.cause.map(Cause::as_str),
        &end.message,
        now,
        counts.running,
        counts.succeeded,
        counts.failed,
        counts.skipped,
        counts.cancelled,
    ))?;
    Ok(())
}

/// Task rows of a job that nobody will run any more.
pub(super) fn cancel_open_tasks(conn: &Connection, seq: i64, deltas: &mut Deltas) -> Result<(), Error> {
    let mut statement = conn.prepare_cached(
        "SELECT status, count(*) FROM task WHERE job = ?1 AND status IN ('waiting', 'running', 'retrying') GROUP BY status",
    )?;
    let mut rows = statement.query([seq])?;
    while let Some(row) = rows.next()? {
        let (status, tasks): (_, i64) = (codec::parsed(row, 0)?, row.get(1)?);
        deltas.add(status, -tasks);
        deltas.add(TaskStatus::Cancelled, tasks);
    }
    conn.prepare_cached(
        "UPDATE task SET status = 'cancelled', cause = 'cancelled', retry_at = NULL, pid = NULL, start_time = NULL, \
         boot_id = NULL, host = NULL, nonce = NULL, stopping = NULL \
         WHERE job = ?1 AND status IN ('waiting', 'running', 'retrying')",
    )?
    .execute([seq])?;
    Ok(())
}
