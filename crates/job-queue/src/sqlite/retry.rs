//! A new round of a terminal job.

use rusqlite::{Connection, ErrorCode};
use workflow_model::JobId;

use super::{
    codec::{self, Deltas},
    db::{Db, Durability},
};
use crate::{Error, NewRound};

pub(super) fn retry(db: &mut Db, job: JobId, round: &NewRound) -> Result<(), Error> {
    db.write(Durability::Full, |conn, _| {
        let brief = codec::brief(conn, job)?;
        round.fits(job, brief.status, brief.round)?;
        put_definition(conn, brief.seq, round)?;
        let counts = put_rows(conn, brief.seq, round)?;
        reopen(conn, brief.seq, round, counts)
    })
}

fn put_definition(conn: &Connection, seq: i64, round: &NewRound) -> Result<(), Error> {
    if let Some((definition, hash, tasks, _)) = &round.definition {
        conn.execute("UPDATE definition SET definition = ?2 WHERE job = ?1", (seq, definition))?;
        conn.execute("UPDATE job SET hash = ?2, tasks = ?3 WHERE seq = ?1", (seq, hash, tasks))?;
    }
    if let Some(settings) = &round.settings {
        conn.execute("UPDATE definition SET settings = ?2 WHERE job = ?1", (seq, settings))?;
    }
    Ok(())
}

/// Writes the rows that the new round begins with; answers their counts.
fn put_rows(conn: &Connection, seq: i64, round: &NewRound) -> Result<Deltas, Error> {
    let rows = round.rows(codec::task_rows(conn, seq)?);
    conn.execute("DELETE FROM task WHERE job = ?1", [seq])?;
    let mut counts = Deltas::default();
    for row in rows {
        counts.add(row.status, 1);
        codec::put_task(conn, seq, &row)?;
    }
    Ok(counts)
}

fn reopen(conn: &Connection, seq: i64, round: &NewRound, counts: Deltas) -> Result<(), Error> {
    let reopened = conn.execute(
        "UPDATE job SET status = 'queued', round = round + 1, queue = coalesce(?2, queue), cause = NULL, message = NULL, \
         started = NULL, ended = NULL, cancel = NULL, n_running = ?3, n_succeeded = ?4, n_failed = ?5, n_skipped = ?6, \
         n_cancelled = ?7 WHERE seq = ?1",
        (
            seq,
            round.queue.as_ref().map(workflow_model::QueueName::as_str),
            counts.running,
            counts.succeeded,
            counts.failed,
            counts.skipped,
            counts.cancelled,
        ),
    );
    match reopened {
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) && round.queue.is_some() => {
            Err(Error::Refused("the new queue has another job with the same key".into()))
        }
        other => other.map(|_| ()).map_err(Error::from),
    }
}
