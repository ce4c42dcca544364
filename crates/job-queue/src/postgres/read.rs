//! What there is: jobs, definitions, task rows.

use std::sync::LazyLock;

use workflow_model::{JobId, JobStatus};

use super::{
    codec::{self, JOB_COLUMNS, Stored, get, job_row, key},
    failure::Failure,
    session::{Param, Session},
};
use crate::{Error, Filter, JobRow, TaskRow};

/// A list is read in pages of so many jobs.
const PAGE: u32 = 2_000;

pub(super) async fn job(session: &Session, job: JobId) -> Result<JobRow, Failure> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!("SELECT {JOB_COLUMNS} FROM qmanager.job j LEFT JOIN qmanager.lease l ON l.job = j.id WHERE j.id = $1")
    });
    let row = session.row(&SQL, &[&key(job)]).await?.ok_or(Error::NotFound(job))?;
    Ok(job_row(&row, 0)?.job)
}

pub(super) async fn definition(session: &Session, job: JobId) -> Result<(String, String), Failure> {
    const SQL: &str = "SELECT d.definition, d.settings FROM qmanager.definition d \
         JOIN qmanager.job j ON j.seq = d.job WHERE j.id = $1";
    let row = session.row(SQL, &[&key(job)]).await?.ok_or(Error::NotFound(job))?;
    Ok((get(&row, 0)?, get(&row, 1)?))
}

pub(super) async fn tasks(session: &Session, job: JobId) -> Result<Vec<TaskRow>, Failure> {
    let row = session.row("SELECT seq FROM qmanager.job WHERE id = $1", &[&key(job)]).await?;
    let row = row.ok_or(Error::NotFound(job))?;
    codec::task_rows(session, get(&row, 0)?).await
}

pub(super) async fn list(session: &Session, filter: &Filter) -> Result<Vec<JobRow>, Failure> {
    let mut found = Vec::new();
    let mut below = i64::MAX;
    loop {
        let wanted = filter.limit.map_or(PAGE, |limit| PAGE.min(limit - u32::try_from(found.len()).unwrap_or(limit)));
        if wanted == 0 {
            return Ok(found);
        }
        let page = page(session, filter, below, wanted).await?;
        let full = page.len() == wanted as usize;
        below = page.last().map_or(below, |stored| stored.seq);
        found.extend(page.into_iter().map(|stored| stored.job));
        if !full {
            return Ok(found);
        }
    }
}

async fn page(session: &Session, filter: &Filter, below: i64, wanted: u32) -> Result<Vec<Stored>, Failure> {
    let (conditions, texts) = conditions(filter);
    let mut values: Vec<Param<'_>> = vec![&below];
    values.extend(texts.iter().map(|text| text as Param<'_>));
    let sql = format!(
        "SELECT {JOB_COLUMNS} FROM qmanager.job j LEFT JOIN qmanager.lease l ON l.job = j.id \
         WHERE {conditions} j.seq < $1 ORDER BY j.seq DESC LIMIT {wanted}"
    );
    let rows = session.rows_once(&sql, &values).await?;
    Ok(rows.iter().map(|row| job_row(row, 0)).collect::<Result<_, Error>>()?)
}

/// The filter as SQL, each condition followed by AND; texts only ever as values, from `$2` on.
fn conditions(filter: &Filter) -> (String, Vec<String>) {
    let mut sql = String::new();
    let mut values: Vec<String> = Vec::new();
    let mut add = |condition: &str, given: &[&str]| {
        let mut condition = condition.to_owned();
        for value in given {
            values.push(codec::text(value));
            condition = condition.replacen('?', &format!("${}::text", values.len() + 1), 1);
        }
        sql.push_str(&condition);
        sql.push_str(" AND ");
    };
    if let Some(suffix) = &filter.id_suffix {
        let suffix = suffix.to_ascii_lowercase();
        if suffix.len() >= 8 && suffix.is_ascii() {
            add("right(j.id::text, 8) = ?", &[&suffix[suffix.len() - 8..]]);
        }
        add("right(j.id::text, length(?)) = ?", &[&suffix, &suffix]);
    }
    if let Some(key) = &filter.key {
        add("j.key = ?", &[key]);
    }
    if let Some(submitter) = &filter.submitter {
        add("j.submitter = ?", &[submitter]);
    }
    if let Some(queue) = &filter.queue {
        add("j.queue = ?", &[queue.as_str()]);
    }
    if let Some(name) = &filter.name {
        add("j.name = ?", &[name]);
    }
    for (label, value) in &filter.labels {
        add("j.labels ->> ? = ?", &[label, value]);
    }
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        let states: Vec<&str> = filter.states.iter().copied().map(JobStatus::as_str).collect();
        add(&format!("j.status IN ({marks})"), &states);
    }
    (sql, values)
}
