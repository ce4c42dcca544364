//! Between rows of the tables and the types of this crate.

use std::str::FromStr;

use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};
use uuid::Uuid;
use workflow_model::{Cause, Epoch, JobId, TaskIx, TaskStatus};

use super::{
    failure::Failure,
    session::{Param, Session},
};
use crate::{
    Error, JobRow, TaskRow,
    cells::{self, Cells},
    word::stop_text,
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
    Ok(Stored { seq: get(row, at + 30)?, job: cells::job(&Values(row, at))? })
}

/// A row's values from a column on.
struct Values<'a>(&'a Row, usize);

impl Cells for Values<'_> {
    fn text(&self, place: usize) -> Result<Option<&str>, Error> {
        get(self.0, self.1 + place)
    }

    fn number(&self, place: usize) -> Result<Option<i64>, Error> {
        let column = self.1 + place;
        if *self.0.columns()[column].type_() == Type::INT4 {
            return Ok(get::<Option<i32>>(self.0, column)?.map(i64::from));
        }
        get(self.0, column)
    }

    fn id(&self, place: usize) -> Result<JobId, Error> {
        job_id(get(self.0, self.1 + place)?)
    }
}

/// A job's task rows, by index.
pub(super) async fn task_rows(session: &Session, seq: i64) -> Result<Vec<TaskRow>, Failure> {
    const SQL: &str = "SELECT ix, status, attempt, retries, losses, cause, message, code, started, ended, retry_at, pid, \
         start_time, boot_id, host, nonce, stopping FROM qmanager.task WHERE job = $1 ORDER BY ix";
    let rows = session.rows(SQL, &[&seq]).await?;
    Ok(rows.iter().map(|row| cells::task(&Values(row, 0))).collect::<Result<_, Error>>()?)
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
