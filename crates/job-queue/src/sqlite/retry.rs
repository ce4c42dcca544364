//! A new round of a terminal job.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, ErrorCode};
use workflow_model::{Attempt, JobId, TaskIx, TaskStatus};

use super::{
    codec::{self, Deltas},
    db::{Db, Durability},
};
use crate::{Error, NewRound, TaskRow};

pub(super) fn retry(db: &mut Db, job: JobId, round: &NewRound) -> Result<(), Error> {
    db.write(Durability::Full, |conn, _| {
        let brief = codec::brief(conn, job)?;
        if !brief.status.is_terminal() {
            return Err(Error::Refused(format!(
                "job {job} is {}; only a job that has ended can be retried",
                brief.status
            )));
        }
        if brief.round != round.seen {
            return Err(Error::Refused(format!(
                "job {job} has been retried meanwhile (round {}, not {}); look at it again",
                brief.round, round.seen
            )));
        }
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
    let old = codec::task_rows(conn, seq)?;
    let attempts: HashMap<TaskIx, Attempt> = old.iter().map(|row| (row.task, row.attempt)).collect();
    let rows = match &round.definition {
        None => old,
        Some((.., kept)) => moved(&old, kept),
    };
    let reset: HashSet<TaskIx> = round.reset.iter().copied().collect();
    conn.execute("DELETE FROM task WHERE job = ?1", [seq])?;
    let mut counts = Deltas::default();
    for mut row in rows {
        if reset.contains(&row.task) || !row.status.is_terminal() {
            // Reports and logs are named by index and attempt: neither this task's nor another's may come again.
            let last = attempts.get(&row.task).copied().unwrap_or_default().max(row.attempt);
            row = fresh(row.task, last);
        }
        counts.add(row.status, 1);
        codec::put_task(conn, seq, &row)?;
    }
    Ok(counts)
}

/// The old rows at the places that their tasks have in the new definition.
fn moved(old: &[TaskRow], kept: &[Option<TaskIx>]) -> Vec<TaskRow> {
    let by_task: HashMap<TaskIx, &TaskRow> = old.iter().map(|row| (row.task, row)).collect();
    let moved = (0..).zip(kept).filter_map(|(ix, from)| {
        let task = TaskIx(ix);
        match from.and_then(|from| by_task.get(&from)) {
            Some(row) => Some(TaskRow { task, ..(*row).clone() }),
            // Another task had attempts at this index: go on counting from there.
            None => by_task.get(&task).map(|row| fresh(task, row.attempt)),
        }
    });
    moved.collect()
}

fn fresh(task: TaskIx, attempt: Attempt) -> TaskRow {
    TaskRow {
        task,
        status: TaskStatus::Waiting,
        attempt,
        retries: 0,
        losses: 0,
        cause: None,
        message: None,
        code: None,
        started: None,
        ended: None,
        retry_at: None,
        attempt_process: None,
        stopping: None,
    }
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
