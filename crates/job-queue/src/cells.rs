//! A row of a table as values by place, and what is made of them: the same for both databases.

use std::str::FromStr;

use workflow_model::{Attempt, Epoch, JobId, TaskIx};

use crate::{
    AttemptProcess, Counts, Error, JobRow, Owner, TaskRow,
    word::{cancel_how, stop_why},
};

/// A row's values, counted from 0.
pub(crate) trait Cells {
    /// A text.
    fn text(&self, place: usize) -> Result<Option<&str>, Error>;
    /// A whole number.
    fn number(&self, place: usize) -> Result<Option<i64>, Error>;
    /// A job's id.
    fn id(&self, place: usize) -> Result<JobId, Error>;
}

/// A job, from: id, queue, name, status, cause, message, labels, key, priority, run_at, submitter, hash, tasks, n_running,
/// n_succeeded, n_failed, n_skipped, n_cancelled, created, started, ended, round, epoch, owner_host, owner_run_dir,
/// owner_slot, the lease's end, cancel, store, limit_key.
pub(crate) fn job(row: &impl Cells) -> Result<JobRow, Error> {
    let owner = match (owned(row, 23)?, owned(row, 24)?, owned(row, 25)?) {
        (Some(host), Some(run_dir), Some(slot)) => Some(Owner { host, run_dir, slot }),
        _ => None,
    };
    let labels = match row.text(6)? {
        None | Some("{}") => Default::default(),
        Some(labels) => serde_json::from_str(labels).map_err(|e| Error::Damaged(format!("labels of a job: {e}")))?,
    };
    Ok(JobRow {
        id: row.id(0)?,
        queue: parsed(row, 1)?,
        name: owned(row, 2)?,
        status: parsed(row, 3)?,
        cause: maybe(row, 4)?,
        message: owned(row, 5)?,
        labels,
        key: owned(row, 7)?,
        limit_key: owned(row, 29)?,
        priority: number(row, 8)?,
        run_at: row.number(9)?,
        submitter: text(row, 10)?.into(),
        hash: text(row, 11)?.into(),
        tasks: number(row, 12)?,
        counts: Counts {
            running: number(row, 13)?,
            succeeded: number(row, 14)?,
            failed: number(row, 15)?,
            skipped: number(row, 16)?,
            cancelled: number(row, 17)?,
        },
        created: number(row, 18)?,
        started: row.number(19)?,
        ended: row.number(20)?,
        round: number(row, 21)?,
        epoch: Epoch(number(row, 22)?),
        owner,
        lease_until: row.number(26)?,
        cancel: row.text(27)?.map(cancel_how).transpose()?,
        store: owned(row, 28)?,
    })
}

/// A task's row, from: ix, status, attempt, retries, losses, cause, message, code, started, ended, retry_at, pid,
/// start_time, boot_id, host, nonce, stopping.
pub(crate) fn task(row: &impl Cells) -> Result<TaskRow, Error> {
    let attempt_process = match maybe_number(row, 11)? {
        Some(pid) => Some(AttemptProcess {
            pid,
            start_time: number(row, 12)?,
            boot_id: text(row, 13)?.into(),
            host: text(row, 14)?.into(),
            nonce: parsed(row, 15)?,
        }),
        None => None,
    };
    Ok(TaskRow {
        task: TaskIx(number(row, 0)?),
        status: parsed(row, 1)?,
        attempt: Attempt(number(row, 2)?),
        retries: number(row, 3)?,
        losses: number(row, 4)?,
        cause: maybe(row, 5)?,
        message: owned(row, 6)?,
        code: maybe_number(row, 7)?,
        started: row.number(8)?,
        ended: row.number(9)?,
        retry_at: row.number(10)?,
        attempt_process,
        stopping: row.text(16)?.map(stop_why).transpose()?,
    })
}

fn text(row: &impl Cells, place: usize) -> Result<&str, Error> {
    row.text(place)?.ok_or_else(|| Error::Damaged("nothing where a text should be".into()))
}

fn owned(row: &impl Cells, place: usize) -> Result<Option<String>, Error> {
    Ok(row.text(place)?.map(str::to_owned))
}

fn number<T: TryFrom<i64>>(row: &impl Cells, place: usize) -> Result<T, Error> {
    maybe_number(row, place)?.ok_or_else(|| Error::Damaged("nothing where a number should be".into()))
}

fn maybe_number<T: TryFrom<i64>>(row: &impl Cells, place: usize) -> Result<Option<T>, Error> {
    let number = row.number(place)?;
    let wrong = |number| Error::Damaged(format!("{number} where a smaller number, or a count, should be"));
    number.map(|number| T::try_from(number).map_err(|_| wrong(number))).transpose()
}

fn parsed<T>(row: &impl Cells, place: usize) -> Result<T, Error>
where
    T: FromStr,
    Error: From<T::Err>,
{
    Ok(text(row, place)?.parse()?)
}

fn maybe<T>(row: &impl Cells, place: usize) -> Result<Option<T>, Error>
where
    T: FromStr,
    Error: From<T::Err>,
{
    Ok(row.text(place)?.map(str::parse).transpose()?)
}
