//! A worker gives a job back, or marks it as being stopped.

use workflow_model::{Epoch, JobId, JobStatus};

use super::{
    codec::{self, get, key},
    failure::Failure,
    session::Session,
    step,
};
use crate::{Error, TaskRow};

/// Once more after a lost reply: as for [`step::finish`].
pub(super) async fn release(
    session: &Session,
    (job, epoch): (JobId, Epoch),
    rows: &[TaskRow],
) -> Result<JobStatus, Failure> {
    const LOOK: &str = "SELECT seq, cancel IS NOT NULL FROM qmanager.job WHERE id = $1";
    const QUEUED: &str = "UPDATE qmanager.job SET status = 'queued', owner_host = NULL, owner_run_dir = NULL, \
         owner_slot = NULL WHERE seq = $1";
    session.begin().await?;
    // It locks the job, or finds it fenced.
    match step::record(session, job, epoch, rows).await {
        Err(Failure::Ours(Error::Fenced)) => {
            let left = step::left_as(session, job, epoch).await?;
            session.rollback().await?;
            return left.ok_or_else(|| Error::Fenced.into());
        }
        done => done?,
    }
    let row = session.row(LOOK, &[&key(job)]).await?.ok_or(Error::Fenced)?;
    let (seq, cancel): (i64, bool) = (get(&row, 0)?, get(&row, 1)?);
    let status = if cancel {
        close_cancelled(session, seq, "cancelled; the worker was stopped meanwhile").await?;
        JobStatus::Cancelled
    } else {
        session.change(QUEUED, &[&seq]).await?;
        JobStatus::Queued
    };
    session.change("DELETE FROM qmanager.lease WHERE job = $1", &[&key(job)]).await?;
    if status == JobStatus::Queued {
        session.rows("SELECT pg_notify('qmanager', queue) FROM qmanager.job WHERE seq = $1", &[&seq]).await?;
    }
    session.commit().await?;
    Ok(status)
}

pub(super) async fn cancelling(session: &Session, job: JobId, epoch: Epoch) -> Result<(), Failure> {
    const SQL: &str = "UPDATE qmanager.job SET status = 'cancelling' WHERE id = $1 AND epoch = $2 \
         AND status IN ('running', 'cancelling')";
    let changed = session.change(SQL, &[&key(job), &codec::epoch_value(epoch)?]).await?;
    if changed == 0 { Err(Error::Fenced.into()) } else { Ok(()) }
}

/// Ends a job that nobody will run any more, with its open tasks. The caller has locked it.
pub(super) async fn close_cancelled(session: &Session, seq: i64, message: &str) -> Result<(), Failure> {
    const SQL: &str = "WITH open AS (SELECT status, count(*)::integer AS n FROM qmanager.task \
           WHERE job = $1 AND status IN ('waiting', 'running', 'retrying') GROUP BY status), \
         done AS (UPDATE qmanager.task SET status = 'cancelled', cause = 'cancelled', retry_at = NULL, pid = NULL, \
           start_time = NULL, boot_id = NULL, host = NULL, nonce = NULL, stopping = NULL \
           WHERE job = $1 AND status IN ('waiting', 'running', 'retrying')) \
         UPDATE qmanager.job SET status = 'cancelled', cause = 'cancelled', message = $2, \
           ended = qmanager.now_micros(), later = NULL, owner_host = NULL, owner_run_dir = NULL, owner_slot = NULL, \
           n_running = n_running - coalesce((SELECT n FROM open WHERE status = 'running'), 0), \
           n_cancelled = n_cancelled + coalesce((SELECT sum(n) FROM open), 0) WHERE seq = $1";
    session.change(SQL, &[&seq, &message]).await?;
    Ok(())
}
