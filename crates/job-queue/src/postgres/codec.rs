//! Between rows of the tables and the types of this crate.

use std::str::FromStr;

use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;
use workflow_model::{Attempt, Cause, Epoch, JobId, TaskIx, TaskStatus};

use super::{
    failure::Failure,
    session::{Param, Session},
};
use crate::{
    AttemptProcess, Counts, Error, JobRow, Owner, TaskRow,
    word::{cancel_how, stop_text, stop_why},
};

/// The columns that [`job_row`] reads, in its order: of job `j` and its lease `l`.
pub(super) const JOB_COLUMNS: &str = "j.id, j.queue, j.name, j.status, j.cause, j.message, j.labels::text, j.key, \
     j.priority, j.run_at, j.submitter, j.hash, j.tasks, j.n_running, j.n_succeeded, j.n_failed, j.n_skipped, \
     j.n_cancelled, j.created, j.started, j.ended, j.round, j.epoch, j.owner_host, j.owner_run_dir, j.owner_slot, \
     l.until, j.cancel, nullif(j.store, ''), j.limit_key, j.seq";
/// How many they are.
pub(super) const JOB_WIDTH: usize = 31;

/// A job with its place in the table.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) job: JobRow,
}

/// Reads [`JOB_COLUMNS`], the first of them at `at`.
pub(super) fn job_row(row: &Row, at: usize) -> Result<Stored, Error> {
    let owner = match (get(row, at + 23)?, get(row, at + 24)?, get(row, at + 25)?) {
        (Some(host), Some(run_dir), Some(slot)) => Some(Owner { host, run_dir, slot }),
        _ => None,
    };
    let labels: &str = get(row, at + 6)?;
    let job = JobRow {
        id: job_id(get(row, at)?)?,
        queue: parsed(row, at + 1)?,
        name: get(row, at + 2)?,
        status: parsed(row, at + 3)?,
        cause: maybe(row, at + 4)?,
        message: get(row, at + 5)?,
        labels: serde_json::from_str(labels).map_err(|e| Error::Damaged(format!("labels of a job: {e}")))?,
        key: get(row, at + 7)?,
        priority: get(row, at + 8)?,
        run_at: get(row, at + 9)?,
        submitter: get(row, at + 10)?,
        hash: get(row, at + 11)?,
        tasks: count(row, at + 12)?,
        counts: Counts {
            running: count(row, at + 13)?,
            succeeded: count(row, at + 14)?,
            failed: count(row, at + 15)?,
            skipped: count(row, at + 16)?,
            cancelled: count(row, at + 17)?,
        },
        created: get(row, at + 18)?,
        started: get(row, at + 19)?,
        ended: get(row, at + 20)?,
        round: count(row, at + 21)?,
        epoch: epoch(row, at + 22)?,
        owner,
        lease_until: get(row, at + 26)?,
        cancel: get::<Option<&str>>(row, at + 27)?.map(cancel_how).transpose()?,
        store: get(row, at + 28)?,
        limit_key: get(row, at + 29)?,
    };
    Ok(Stored { seq: get(row, at + 30)?, job })
}

/// A job's task rows, by index.
pub(super) async fn task_rows(session: &Session, seq: i64) -> Result<Vec<TaskRow>, Failure> {
    const SQL: &str = "SELECT ix, status, attempt, retries, losses, cause, message, code, started, ended, retry_at, pid, \
         start_time, boot_id, host, nonce, stopping FROM qmanager.task WHERE job = $1 ORDER BY ix";
    let rows = session.rows(SQL, &[&seq]).await?;
    Ok(rows.iter().map(task_row).collect::<Result<_, Error>>()?)
}

fn task_row(row: &Row) -> Result<TaskRow, Error> {
    let attempt_process = match get(row, 11)? {
        Some(pid) => Some(AttemptProcess {
            pid,
            start_time: wide(get(row, 12)?)?,
            boot_id: get(row, 13)?,
            host: get(row, 14)?,
            nonce: parsed(row, 15)?,
        }),
        None => None,
    };
    Ok(TaskRow {
        task: TaskIx(count(row, 0)?),
        status: parsed(row, 1)?,
        attempt: Attempt(count(row, 2)?),
        retries: count(row, 3)?,
        losses: count(row, 4)?,
        cause: maybe(row, 5)?,
        message: get(row, 6)?,
        code: get(row, 7)?,
        started: get(row, 8)?,
        ended: get(row, 9)?,
        retry_at: get(row, 10)?,
        attempt_process,
        stopping: get::<Option<&str>>(row, 16)?.map(stop_why).transpose()?,
    })
}

/// Task rows column by column, as `unnest` takes them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    ix: Vec<i32>,
    status: Vec<&'static str>,
    attempt: Vec<i32>,
    retries: Vec<i32>,
    losses: Vec<i32>,
    cause: Vec<Option<&'static str>>,
    message: Vec<Option<String>>,
    code: Vec<Option<i32>>,
    started: Vec<Option<i64>>,
    ended: Vec<Option<i64>>,
    retry_at: Vec<Option<i64>>,
    pid: Vec<Option<i32>>,
    start_time: Vec<Option<i64>>,
    boot_id: Vec<Option<String>>,
    host: Vec<Option<String>>,
    nonce: Vec<Option<String>>,
    stopping: Vec<Option<&'static str>>,
}

/// How many parameters [`Columns`] are.
pub(super) const COLUMNS: usize = 17;
/// Their names in the table.
pub(super) const COLUMN_NAMES: &str = "ix, status, attempt, retries, losses, cause, message, code, started, ended, \
     retry_at, pid, start_time, boot_id, host, nonce, stopping";
const COLUMN_TYPES: [&str; COLUMNS] = [
    "integer", "text", "integer", "integer", "integer", "text", "text", "integer", "bigint", "bigint", "bigint",
    "integer", "bigint", "text", "text", "text", "text",
];

/// `unnest` of them, the first parameter being `$first`.
pub(super) fn unnest(first: usize) -> String {
    let parameters: Vec<String> =
        COLUMN_TYPES.iter().enumerate().map(|(n, kind)| format!("${}::{kind}[]", first + n)).collect();
    format!("unnest({}) AS g ({COLUMN_NAMES})", parameters.join(", "))
}

impl Columns {
    /// A row that comes twice is written as the later one says; it must be able to follow the earlier.
    pub(super) fn new(rows: &[TaskRow]) -> Result<Self, Error> {
        let mut columns = Self::default();
        let mut places: std::collections::HashMap<TaskIx, TaskStatus> = std::collections::HashMap::new();
        for row in rows {
            if let Some(old) = places.insert(row.task, row.status).filter(|old| old.is_terminal() && *old != row.status)
            {
                return Err(refused(row.task, old.as_str(), row.status.as_str()));
            }
        }
        let mut seen = std::collections::HashSet::new();
        for row in rows.iter().rev().filter(|row| seen.insert(row.task)) {
            columns.push(row)?;
        }
        Ok(columns)
    }

    fn push(&mut self, row: &TaskRow) -> Result<(), Error> {
        let process = row.attempt_process.as_ref();
        self.ix.push(narrow(row.task.0)?);
        self.status.push(row.status.as_str());
        self.attempt.push(narrow(row.attempt.0)?);
        self.retries.push(narrow(row.retries)?);
        self.losses.push(narrow(row.losses)?);
        self.cause.push(row.cause.map(Cause::as_str));
        self.message.push(row.message.as_deref().map(text));
        self.code.push(row.code);
        self.started.push(row.started);
        self.ended.push(row.ended);
        self.retry_at.push(row.retry_at);
        self.pid.push(process.map(|p| p.pid));
        self.start_time.push(process.map(|p| i64::try_from(p.start_time).unwrap_or(i64::MAX)));
        self.boot_id.push(process.map(|p| p.boot_id.clone()));
        self.host.push(process.map(|p| p.host.clone()));
        self.nonce.push(process.map(|p| p.nonce.to_string()));
        self.stopping.push(row.stopping.map(stop_text));
        Ok(())
    }

    pub(super) fn values(&self) -> [Param<'_>; COLUMNS] {
        [
            &self.ix,
            &self.status,
            &self.attempt,
            &self.retries,
            &self.losses,
            &self.cause,
            &self.message,
            &self.code,
            &self.started,
            &self.ended,
            &self.retry_at,
            &self.pid,
            &self.start_time,
            &self.boot_id,
            &self.host,
            &self.nonce,
            &self.stopping,
        ]
    }
}

/// Terminal states are absorbing (I2); only a new round opens them again.
pub(super) fn refused(task: TaskIx, old: &str, new: &str) -> Error {
    Error::Refused(format!("task #{task} is {old} and cannot become {new}"))
}

/// A job's id as the database has it.
pub(super) fn key(job: JobId) -> Uuid {
    Uuid::try_parse(&job.to_string()).expect("BUG: a job's id is a UUID")
}

pub(super) fn job_id(id: Uuid) -> Result<JobId, Error> {
    Ok(id.hyphenated().to_string().parse()?)
}

pub(super) fn epoch_value(epoch: Epoch) -> Result<i64, Error> {
    i64::try_from(epoch.0).map_err(|_| Error::Damaged(format!("epoch {}", epoch.0)))
}

pub(super) fn epoch(row: &Row, column: usize) -> Result<Epoch, Error> {
    Ok(Epoch(wide(get(row, column)?)?))
}

/// PostgreSQL stores no zero character in a text; our own texts come with what tasks wrote.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) fn narrow(number: u32) -> Result<i32, Error> {
    i32::try_from(number).map_err(|_| Error::Refused(format!("{number} is too large a number")))
}

pub(super) fn count(row: &Row, column: usize) -> Result<u32, Error> {
    let number: i32 = get(row, column)?;
    u32::try_from(number).map_err(|_| Error::Damaged(format!("{number} where a count should be")))
}

fn wide(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::Damaged(format!("{number} where a count should be")))
}

pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Error> {
    row.try_get(column).map_err(|e| Error::Database(e.into()))
}

/// A text column whose value has a form.
pub(super) fn parsed<T>(row: &Row, column: usize) -> Result<T, Error>
where
    T: FromStr,
    Error: From<T::Err>,
{
    Ok(get::<&str>(row, column)?.parse()?)
}

fn maybe<T>(row: &Row, column: usize) -> Result<Option<T>, Error>
where
    T: FromStr,
    Error: From<T::Err>,
{
    Ok(get::<Option<&str>>(row, column)?.map(str::parse).transpose()?)
}
