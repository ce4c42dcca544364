//! Queues: what there is of them, pause and limit.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use workflow_model::QueueName;

use super::{
    codec::{count, get, narrow, parsed},
    failure::Failure,
    session::Session,
};
use crate::{Error, QueueRow};

/// The queues with a row, and those of jobs that wait or are under way: by a walk along the index of each partial table,
/// one step per queue.
const NAMES: &str = "WITH RECURSIVE \
     ready (q) AS ((SELECT min(queue) FROM qmanager.job WHERE status = 'queued' AND later IS NULL) UNION ALL \
       SELECT (SELECT min(queue) FROM qmanager.job WHERE status = 'queued' AND later IS NULL AND queue > q) FROM ready \
       WHERE q IS NOT NULL), \
     later (q) AS ((SELECT min(queue) FROM qmanager.job WHERE later IS NOT NULL) UNION ALL \
       SELECT (SELECT min(queue) FROM qmanager.job WHERE later IS NOT NULL AND queue > q) FROM later WHERE q IS NOT NULL) \
     SELECT name FROM qmanager.queue UNION SELECT q FROM ready WHERE q IS NOT NULL \
     UNION SELECT q FROM later WHERE q IS NOT NULL UNION SELECT queue FROM qmanager.job WHERE owner_slot IS NOT NULL";

const QUEUE: &str = "SELECT $1::text, coalesce(paused, false), job_limit, executor, q.store, key_limit, \
     (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND status = 'queued' AND later IS NULL) + \
     (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND later IS NOT NULL), \
     (SELECT count(*) FROM qmanager.job WHERE owner_slot IS NOT NULL AND queue = $1) \
     FROM (SELECT 1) AS one LEFT JOIN qmanager.queue q ON name = $1";

pub(super) async fn queues(session: &Session) -> Result<Vec<QueueRow>, Failure> {
    let rows = session.rows(NAMES, &[]).await?;
    let names = rows.iter().map(|row| get(row, 0)).collect::<Result<BTreeSet<String>, Error>>()?;
    let mut queues = Vec::with_capacity(names.len());
    for name in names {
        if let Some(row) = session.row(QUEUE, &[&name]).await? {
            queues.push(queue_row(&row)?);
        }
    }
    Ok(queues)
}

fn queue_row(row: &Row) -> Result<QueueRow, Error> {
    let executor: Option<&str> = get(row, 3)?;
    Ok(QueueRow {
        name: parsed(row, 0)?,
        paused: get(row, 1)?,
        limit: get::<Option<i32>>(row, 2)?.map(|_| count(row, 2)).transpose()?,
        executor: executor.map(str::parse).transpose()?,
        store: get(row, 4)?,
        key_limit: get::<Option<i32>>(row, 5)?.map(|_| count(row, 5)).transpose()?,
        queued: u64::try_from(get::<i64>(row, 6)?).unwrap_or(0),
        running: u64::try_from(get::<i64>(row, 7)?).unwrap_or(0),
    })
}

pub(super) async fn pause(session: &Session, queue: &QueueName, paused: bool) -> Result<(), Failure> {
    const SQL: &str =
        "INSERT INTO qmanager.queue (name, paused) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET paused = $2";
    session.change(SQL, &[&queue.as_str(), &paused]).await?;
    Ok(())
}

pub(super) async fn limit(session: &Session, queue: &QueueName, limit: Option<u32>) -> Result<(), Failure> {
    const SQL: &str =
        "INSERT INTO qmanager.queue (name, job_limit) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET job_limit = $2";
    let limit = limit.map(narrow).transpose()?;
    session.change(SQL, &[&queue.as_str(), &limit]).await?;
    Ok(())
}
