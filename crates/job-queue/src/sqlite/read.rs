//! What there is: jobs, definitions, task rows. Every read is short, so that none pins the WAL (F33).

use rusqlite::{Connection, OptionalExtension, types::Value};
use workflow_model::{JobId, JobStatus};

use super::{
    codec::{self, JOB_COLUMNS, Stored, job_row},
    db::Db,
};
use crate::{Error, Filter, JobRow, TaskRow};

/// A list is read in pages of so many jobs, a read transaction each.
const PAGE: u32 = 2_000;

pub(super) fn get(db: &mut Db, job: JobId) -> Result<JobRow, Error> {
    db.read(|conn| {
        conn.prepare_cached(&format!("SELECT {JOB_COLUMNS} FROM job WHERE id = ?1"))?
            .query_row([job.to_string()], |row| Ok(job_row(row)))
            .optional()?
            .ok_or(Error::NotFound(job))?
            .map(|stored| stored.job)
    })
}

pub(super) fn definition(db: &mut Db, job: JobId) -> Result<(String, String), Error> {
    db.read(|conn| {
        conn.prepare_cached(
            "SELECT definition, settings FROM definition WHERE job = (SELECT seq FROM job WHERE id = ?1)",
        )?
        .query_row([job.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Error::NotFound(job))
    })
}

pub(super) fn tasks(db: &mut Db, job: JobId) -> Result<Vec<TaskRow>, Error> {
    db.read(|conn| {
        let brief = codec::brief(conn, job)?;
        codec::task_rows(conn, brief.seq)
    })
}

pub(super) fn list(db: &mut Db, filter: &Filter) -> Result<Vec<JobRow>, Error> {
    let mut found = Vec::new();
    let mut below = i64::MAX;
    loop {
        let wanted = filter.limit.map_or(PAGE, |limit| PAGE.min(limit - u32::try_from(found.len()).unwrap_or(limit)));
        if wanted == 0 {
            return Ok(found);
        }
        let page = db.read(|conn| page(conn, filter, below, wanted))?;
        let full = page.len() == wanted as usize;
        below = page.last().map_or(below, |stored| stored.seq);
        found.extend(page.into_iter().map(|stored| stored.job));
        if !full {
            return Ok(found);
        }
    }
}

fn page(conn: &Connection, filter: &Filter, below: i64, wanted: u32) -> Result<Vec<Stored>, Error> {
    let (conditions, mut values) = conditions(filter);
    values.push(Value::Integer(below));
    values.push(Value::Integer(wanted.into()));
    let sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE {conditions} seq < ? ORDER BY seq DESC LIMIT ?");
    conn.prepare_cached(&sql)?.query_and_then(rusqlite::params_from_iter(values), job_row)?.collect()
}

/// The filter as SQL, each condition followed by AND; texts only ever as values.
pub(super) fn conditions(filter: &Filter) -> (String, Vec<Value>) {
    let mut sql = String::new();
    let mut values = Vec::new();
    let mut add = |condition: &str, given: &[&str]| {
        sql.push_str(condition);
        sql.push_str(" AND ");
        values.extend(given.iter().map(|text| Value::Text((*text).to_owned())));
    };
    if let Some(suffix) = &filter.id_suffix {
        let suffix = suffix.to_ascii_lowercase();
        if suffix.len() >= 8 && suffix.is_ascii() {
            add("substr(id, -8) = ?", &[&suffix[suffix.len() - 8..]]);
        }
        add("substr(id, -length(?)) = ?", &[&suffix, &suffix]);
    }
    if let Some(key) = &filter.key {
        add("key = ?", &[key]);
    }
    if let Some(submitter) = &filter.submitter {
        add("submitter = ?", &[submitter]);
    }
    if let Some(queue) = &filter.queue {
        add("queue = ?", &[queue.as_str()]);
    }
    if let Some(name) = &filter.name {
        add("name = ?", &[name]);
    }
    for (label, value) in &filter.labels {
        add(
            "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)",
            &[label, value],
        );
    }
    if !filter.states.is_empty() {
        let marks = vec!["?"; filter.states.len()].join(", ");
        let states: Vec<&str> = filter.states.iter().copied().map(JobStatus::as_str).collect();
        add(&format!("status IN ({marks})"), &states);
    }
    (sql, values)
}
