//! What there is: jobs, definitions, task rows.

use std::sync::LazyLock;

use workflow_model::JobId;

use super::{
    codec::{self, JOB_COLUMNS, Stored, get, job_row, key},
    failure::Failure,
    session::{Param, Session},
};
use crate::{Error, Filter, JobRow, TaskRow, filter::Dialect};

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

const DIALECT: Dialect = Dialect {
    table: "j.",
    short: "right(j.id::text, 8)",
    suffix: "right(j.id::text, length(?)) = ?",
    under_way: "j.seq IN (SELECT seq FROM qmanager.job WHERE owner_slot IS NOT NULL)",
    label: "j.labels ->> ? = ?",
};

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

/// The filter as SQL, its texts numbered from `$2` on.
fn conditions(filter: &Filter) -> (String, Vec<String>) {
    let (marked, texts) = DIALECT.conditions(filter);
    let mut numbered = String::with_capacity(marked.len() + texts.len() * 8);
    for (n, part) in marked.split('?').enumerate() {
        if n > 0 {
            numbered.push_str(&["$", &(n + 1).to_string(), "::text"].concat());
        }
        numbered.push_str(part);
    }
    (numbered, texts.iter().map(|text| codec::text(text)).collect())
}
