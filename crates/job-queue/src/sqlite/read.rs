//! What there is: jobs, definitions, task rows. Every read is short, so that none pins the WAL (F33).

use rusqlite::{Connection, OptionalExtension, types::Value};
use workflow_model::JobId;

use super::{
    codec::{self, JOB_COLUMNS, Stored, job_row},
    db::Db,
};
use crate::{Error, Filter, JobRow, TaskRow, filter::Dialect};

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

pub(super) const DIALECT: Dialect = Dialect {
    table: "",
    short: "substr(id, -8)",
    suffix: "substr(id, -length(?)) = ?",
    under_way: "seq IN (SELECT seq FROM job WHERE owner_slot IS NOT NULL)",
    label: "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)",
};

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
    let (conditions, texts) = DIALECT.conditions(filter);
    let mut values: Vec<Value> = texts.into_iter().map(Value::Text).collect();
    values.push(Value::Integer(below));
    values.push(Value::Integer(wanted.into()));
    let sql = format!("SELECT {JOB_COLUMNS} FROM job WHERE {conditions} seq < ? ORDER BY seq DESC LIMIT ?");
    conn.prepare_cached(&sql)?.query_and_then(rusqlite::params_from_iter(values), job_row)?.collect()
}
