//! Between rows of the tables and the types of this crate.

use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row};
use workflow_model::{Epoch, JobId, JobStatus, QueueName, TaskStatus};

use crate::{
    Error, JobRow, TaskRow,
    cells::{self, Cells},
    word::stop_text,
};

/// The columns that [`job_row`] reads, in its order.
pub(super) const JOB_COLUMNS: &str = "id, queue, name, status, cause, message, labels, key, priority, run_at, \
     submitter, hash, tasks, n_running, n_succeeded, n_failed, n_skipped, n_cancelled, created, started, ended, round, \
     epoch, owner_host, owner_run_dir, owner_slot, lease_until, cancel, store, limit_key, seq";

/// A job with its place in the table.
pub(super) struct Stored {
    pub(super) seq: i64,
    pub(super) job: JobRow,
}

pub(super) fn job_row(row: &Row<'_>) -> Result<Stored, Error> {
    Ok(Stored { seq: row.get(30)?, job: cells::job(row)? })
}

impl Cells for Row<'_> {
    fn text(&self, place: usize) -> Result<Option<&str>, Error> {
        Ok(self.get_ref(place)?.as_str_or_null().map_err(rusqlite::Error::from)?)
    }

    fn number(&self, place: usize) -> Result<Option<i64>, Error> {
        Ok(self.get(place)?)
    }

    fn id(&self, place: usize) -> Result<JobId, Error> {
        parsed(self, place)
    }
}

const TASK_COLUMNS: &str = "ix, status, attempt, retries, losses, cause, message, code, started, ended, retry_at, pid, \
     start_time, boot_id, host, nonce, stopping";

/// A job's task rows, by index.
pub(super) fn task_rows(conn: &Connection, seq: i64) -> Result<Vec<TaskRow>, Error> {
    let mut statement = conn.prepare_cached(&format!("SELECT {TASK_COLUMNS} FROM task WHERE job = ?1 ORDER BY ix"))?;
    statement.query_and_then([seq], |row| cells::task(row))?.collect()
}

/// Writes a whole task row over what was there.
pub(super) fn put_task(conn: &Connection, seq: i64, row: &TaskRow) -> Result<(), Error> {
    let process = row.attempt_process.as_ref();
    conn.prepare_cached(
        "INSERT OR REPLACE INTO task (job, ix, status, attempt, retries, losses, cause, message, code, started, ended, \
         retry_at, pid, start_time, boot_id, host, nonce, stopping) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)",
    )?
    .execute(rusqlite::params![
        seq,
        row.task.0,
        row.status.as_str(),
        row.attempt.0,
        row.retries,
        row.losses,
        row.cause.map(workflow_model::Cause::as_str),
        row.message,
        row.code,
        row.started,
        row.ended,
        row.retry_at,
        process.map(|p| p.pid),
        process.map(|p| p.start_time),
        process.map(|p| &p.boot_id),
        process.map(|p| &p.host),
        process.map(|p| p.nonce.to_string()),
        row.stopping.map(stop_text),
    ])?;
    Ok(())
}

/// What a step of a job needs to know of it.
pub(super) struct Brief {
    pub(super) seq: i64,
    pub(super) status: JobStatus,
    pub(super) round: u32,
    pub(super) cancel: bool,
    /// Whether it has a limit key.
    pub(super) has_key: bool,
}

pub(super) fn brief(conn: &Connection, job: JobId) -> Result<Brief, Error> {
    conn.prepare_cached("SELECT seq, status, round, cancel IS NOT NULL, limit_key IS NOT NULL FROM job WHERE id = ?1")?
        .query_row([job.to_string()], |row| Ok(brief_row(row)))
        .optional()?
        .ok_or(Error::NotFound(job))?
}

/// The job if it is under way under this very lease, else [`Error::Fenced`].
pub(super) fn fenced(conn: &Connection, job: JobId, epoch: Epoch) -> Result<Brief, Error> {
    conn.prepare_cached(
        "SELECT seq, status, round, cancel IS NOT NULL, limit_key IS NOT NULL FROM job \
         WHERE id = ?1 AND epoch = ?2 AND status IN ('running', 'cancelling')",
    )?
    .query_row((job.to_string(), epoch.0), |row| Ok(brief_row(row)))
    .optional()?
    .ok_or(Error::Fenced)?
}

fn brief_row(row: &Row<'_>) -> Result<Brief, Error> {
    Ok(Brief {
        seq: row.get(0)?,
        status: parsed(row, 1)?,
        round: row.get(2)?,
        cancel: row.get(3)?,
        has_key: row.get(4)?,
    })
}

/// How many tasks are in each state that [`crate::Counts`] counts, as differences.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deltas {
    pub(super) running: i64,
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) skipped: i64,
    pub(super) cancelled: i64,
}

impl Deltas {
    pub(super) fn add(&mut self, status: TaskStatus, tasks: i64) {
        match status {
            TaskStatus::Waiting | TaskStatus::Retrying => {}
            TaskStatus::Running => self.running += tasks,
            TaskStatus::Succeeded => self.succeeded += tasks,
            TaskStatus::Skipped => self.skipped += tasks,
            TaskStatus::Cancelled => self.cancelled += tasks,
            TaskStatus::Failed => self.failed += tasks,
        }
    }

    /// Adds them to the job's counts.
    pub(super) fn apply(self, conn: &Connection, seq: i64) -> Result<(), Error> {
        if self == Self::default() {
            return Ok(());
        }
        conn.prepare_cached(
            "UPDATE job SET n_running = n_running + ?2, n_succeeded = n_succeeded + ?3, n_failed = n_failed + ?4, \
             n_skipped = n_skipped + ?5, n_cancelled = n_cancelled + ?6 WHERE seq = ?1",
        )?
        .execute((seq, self.running, self.succeeded, self.failed, self.skipped, self.cancelled))?;
        Ok(())
    }
}

/// A text column whose value has a form.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> Result<T, Error>
where
    T: FromStr,
    Error: From<T::Err>,
{
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?.parse()?)
}

/// A queue's name as stored.
pub(super) fn queue_name(text: &str) -> Result<QueueName, Error> {
    Ok(QueueName::new(text)?)
}
