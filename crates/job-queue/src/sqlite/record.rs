//! Steps of tasks: whole rows, and the job's counts from what they change.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use workflow_model::{Epoch, JobId, TaskIx, TaskStatus};

use super::{
    codec::{self, Deltas},
    db::{Db, Durability},
};
use crate::{Checked, Error, TaskRow};

pub(super) fn record(db: &mut Db, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error> {
    db.write(Durability::Normal, |conn, _| {
        let brief = codec::fenced(conn, job, epoch)?;
        let deltas = put_rows(conn, brief.seq, rows)?;
        if failpoint::has(failpoint::Bug::CountsWrong) { Ok(()) } else { deltas.apply(conn, brief.seq) }
    })
}

pub(super) fn cancelling(db: &mut Db, job: JobId, epoch: Epoch) -> Result<(), Error> {
    db.write(Durability::Normal, |conn, _| {
        let brief = codec::fenced(conn, job, epoch)?;
        conn.prepare_cached("UPDATE job SET status = 'cancelling' WHERE seq = ?1")?.execute([brief.seq])?;
        Ok(())
    })
}

pub(super) fn define(db: &mut Db, job: JobId, epoch: Epoch, checked: &Checked) -> Result<(), Error> {
    db.write(Durability::Normal, |conn, _| {
        let brief = codec::fenced(conn, job, epoch)?;
        let Checked { definition, hash, tasks, settings } = checked;
        let text = "UPDATE definition SET definition = ?2, settings = ?3 WHERE job = ?1";
        conn.execute(text, (brief.seq, definition, settings))?;
        conn.execute("UPDATE job SET hash = ?2, tasks = ?3 WHERE seq = ?1", (brief.seq, hash, tasks))?;
        Ok(())
    })
}

/// More rows than this in one call: the statuses of all tasks between the first and the last are read at once.
const MANY: usize = 64;

/// Writes the rows; answers what that changes in the job's counts.
pub(super) fn put_rows(conn: &Connection, seq: i64, rows: &[TaskRow]) -> Result<Deltas, Error> {
    let mut deltas = Deltas::default();
    let mut all = if rows.len() > MANY { Some(statuses(conn, seq, rows)?) } else { None };
    for row in rows {
        let old = match &mut all {
            Some(all) => all.insert(row.task, row.status),
            None => status(conn, seq, row.task)?,
        };
        if let Some(old) = old {
            // Terminal states are absorbing (I2); only a new round opens them again.
            if old.is_terminal() && old != row.status {
                return Err(Error::Refused(format!("task #{} is {old} and cannot become {}", row.task, row.status)));
            }
            deltas.add(old, -1);
        }
        deltas.add(row.status, 1);
        codec::put_task(conn, seq, row)?;
    }
    Ok(deltas)
}

fn status(conn: &Connection, seq: i64, task: TaskIx) -> Result<Option<TaskStatus>, Error> {
    conn.prepare_cached("SELECT status FROM task WHERE job = ?1 AND ix = ?2")?
        .query_row((seq, task.0), |row| Ok(codec::parsed(row, 0)))
        .optional()?
        .transpose()
}

fn statuses(conn: &Connection, seq: i64, rows: &[TaskRow]) -> Result<HashMap<TaskIx, TaskStatus>, Error> {
    let tasks = || rows.iter().map(|row| row.task.0);
    conn.prepare_cached("SELECT ix, status FROM task WHERE job = ?1 AND ix BETWEEN ?2 AND ?3")?
        .query_and_then((seq, tasks().min(), tasks().max()), |row| Ok((TaskIx(row.get(0)?), codec::parsed(row, 1)?)))?
        .collect()
}
