//! A new round of a terminal job.

use tokio_postgres::error::SqlState;
use workflow_model::{JobId, JobStatus, QueueName, TaskStatus};

use super::{
    codec::{self, COLUMN_NAMES, Columns, count, get, key, narrow, parsed, task_rows},
    failure::Failure,
    session::{Param, Session},
};
use crate::{Error, NewRound, TaskRow};

/// `unsure`: an earlier try may have been done. Then the round that it was to open is open.
pub(super) async fn retry(session: &Session, job: JobId, round: &NewRound, unsure: bool) -> Result<(), Failure> {
    const LOCK: &str = "SELECT seq, status, round FROM qmanager.job WHERE id = $1 FOR NO KEY UPDATE";
    session.begin().await?;
    let row = session.row(LOCK, &[&key(job)]).await?.ok_or(Error::NotFound(job))?;
    let (seq, status, now): (i64, JobStatus, u32) = (get(&row, 0)?, parsed(&row, 1)?, count(&row, 2)?);
    if unsure && now == round.seen + 1 {
        return session.rollback().await;
    }
    round.fits(job, status, now)?;
    put_definition(session, seq, round).await?;
    let rows = round.rows(task_rows(session, seq).await?);
    put_rows(session, seq, &rows).await?;
    reopen(session, seq, round, &rows).await?;
    session.commit().await
}

async fn put_definition(session: &Session, seq: i64, round: &NewRound) -> Result<(), Failure> {
    if let Some((definition, hash, tasks, _)) = &round.definition {
        const TEXT: &str = "UPDATE qmanager.definition SET definition = $2 WHERE job = $1";
        const HASH: &str = "UPDATE qmanager.job SET hash = $2, tasks = $3 WHERE seq = $1";
        session.change(TEXT, &[&seq, definition]).await?;
        session.change(HASH, &[&seq, hash, &narrow(*tasks)?]).await?;
    }
    if let Some(settings) = &round.settings {
        session.change("UPDATE qmanager.definition SET settings = $2 WHERE job = $1", &[&seq, settings]).await?;
    }
    Ok(())
}

async fn put_rows(session: &Session, seq: i64, rows: &[TaskRow]) -> Result<(), Failure> {
    session.change("DELETE FROM qmanager.task WHERE job = $1", &[&seq]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let columns = Columns::new(rows)?;
    let sql = format!("INSERT INTO qmanager.task (job, {COLUMN_NAMES}) SELECT $1, g.* FROM {}", codec::unnest(2));
    let mut values: Vec<Param<'_>> = vec![&seq];
    values.extend(columns.values());
    session.change(&sql, &values).await?;
    Ok(())
}

async fn reopen(session: &Session, seq: i64, round: &NewRound, rows: &[TaskRow]) -> Result<(), Failure> {
    const SQL: &str = "UPDATE qmanager.job SET status = 'queued', round = round + 1, queue = coalesce($2, queue), \
         cause = NULL, message = NULL, started = NULL, ended = NULL, cancel = NULL, n_running = $3, n_succeeded = $4, \
         n_failed = $5, n_skipped = $6, n_cancelled = $7 WHERE seq = $1";
    let counted = |status: TaskStatus| i32::try_from(rows.iter().filter(|row| row.status == status).count());
    let counts =
        [TaskStatus::Running, TaskStatus::Succeeded, TaskStatus::Failed, TaskStatus::Skipped, TaskStatus::Cancelled]
            .map(|status| counted(status).unwrap_or(i32::MAX));
    let queue = round.queue.as_ref().map(QueueName::as_str);
    let [running, succeeded, failed, skipped, cancelled] = &counts;
    match session.change(SQL, &[&seq, &queue, running, succeeded, failed, skipped, cancelled]).await {
        Err(failure) if failure.is(&SqlState::UNIQUE_VIOLATION) && queue.is_some() => {
            Err(Error::Refused("the new queue has another job with the same key".into()).into())
        }
        other => other.map(|_| ()),
    }
}
