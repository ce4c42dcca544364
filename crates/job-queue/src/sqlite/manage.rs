//! Queues: what there is of them, pause and limit.

use rusqlite::{Connection, Row};
use workflow_model::QueueName;

use super::{
    codec::parsed,
    db::{Db, Durability},
};
use crate::{Error, QueueRow};

pub(super) fn queues(db: &mut Db) -> Result<Vec<QueueRow>, Error> {
    db.read(|conn| {
        // Names by a walk along the index of each partial table, one step per queue.
        let mut names: Vec<String> = list(conn, "SELECT name FROM queue")?;
        names.extend(list(conn, NAMES)?);
        names.sort_unstable();
        names.dedup();
        names.iter().map(|name| conn.prepare_cached(QUEUE)?.query_row([name], |row| Ok(queue_row(row)))?).collect()
    })
}

/// The queues of jobs that wait or are under way; those of terminal jobs have a row since a worker served them, or
/// the job was cancelled before any did.
pub(super) const NAMES: &str = "WITH RECURSIVE \
     ready (q) AS (SELECT min(queue) FROM job WHERE status = 'queued' AND later IS NULL UNION ALL \
       SELECT (SELECT min(queue) FROM job WHERE status = 'queued' AND later IS NULL AND queue > q) FROM ready \
       WHERE q IS NOT NULL), \
     later (q) AS (SELECT min(queue) FROM job WHERE later IS NOT NULL UNION ALL \
       SELECT (SELECT min(queue) FROM job WHERE later IS NOT NULL AND queue > q) FROM later WHERE q IS NOT NULL) \
     SELECT q FROM ready WHERE q IS NOT NULL UNION SELECT q FROM later WHERE q IS NOT NULL \
     UNION SELECT queue FROM job WHERE owner_slot IS NOT NULL";

pub(super) const QUEUE: &str = "SELECT ?1, coalesce(paused, FALSE), job_limit, executor, store, key_limit, \
     (SELECT count(*) FROM job WHERE queue = ?1 AND status = 'queued' AND later IS NULL) + \
     (SELECT count(*) FROM job WHERE queue = ?1 AND later IS NOT NULL), \
     (SELECT count(*) FROM job WHERE owner_slot IS NOT NULL AND queue = ?1) \
     FROM (SELECT 1) LEFT JOIN queue ON name = ?1";

fn list(conn: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare_cached(sql)?;
    let names = statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

fn queue_row(row: &Row<'_>) -> Result<QueueRow, Error> {
    let executor: Option<String> = row.get(3)?;
    Ok(QueueRow {
        name: parsed(row, 0)?,
        paused: row.get(1)?,
        limit: row.get(2)?,
        executor: executor.as_deref().map(str::parse).transpose()?,
        store: row.get(4)?,
        key_limit: row.get(5)?,
        queued: row.get(6)?,
        running: row.get(7)?,
    })
}

pub(super) fn pause(db: &mut Db, queue: &QueueName, paused: bool) -> Result<(), Error> {
    db.write(Durability::Full, |conn, _| {
        conn.execute(
            "INSERT INTO queue (name, paused) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET paused = ?2",
            (queue.as_str(), paused),
        )?;
        Ok(())
    })
}

pub(super) fn limit(db: &mut Db, queue: &QueueName, limit: Option<u32>) -> Result<(), Error> {
    db.write(Durability::Full, |conn, _| {
        conn.execute(
            "INSERT INTO queue (name, job_limit) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET job_limit = ?2",
            (queue.as_str(), limit),
        )?;
        Ok(())
    })
}
