//! Jobs come in: all or none, durable, and safe to repeat.

use rusqlite::{Connection, OptionalExtension};
use workflow_model::LimitKey;

use super::{
    codec::parsed,
    db::{Db, Durability},
};
use crate::{Error, Micros, NewJob, Submitted};

pub(super) fn submit(db: &mut Db, jobs: &[NewJob]) -> Result<Vec<Submitted>, Error> {
    db.write(Durability::Full, |conn, now| {
        let submitted = jobs.iter().map(|job| put(conn, now, job)).collect();
        // Killed here, nothing of it is there.
        let _goes_on = failpoint::at(failpoint::Point::C2);
        submitted
    })
}

fn put(conn: &Connection, now: Micros, job: &NewJob) -> Result<Submitted, Error> {
    let labels = if job.labels.is_empty() {
        "{}".into()
    } else {
        serde_json::to_string(&job.labels).expect("BUG: texts by texts are always JSON")
    };
    let key = match &job.key {
        Some(key) if failpoint::has(failpoint::Bug::KeyIgnored) => Some(format!("{key}-{}", job.id)),
        key => key.clone(),
    };
    let inserted = conn
        .prepare_cached(
            "INSERT INTO job (id, queue, name, status, labels, key, priority, run_at, later, submitter, hash, tasks, created, store, \
             limit_key) VALUES (?1, ?2, ?3, 'queued', ?4, ?5, ?6, ?7, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT DO NOTHING",
        )?
        .execute((
            job.id.to_string(),
            job.queue.as_str(),
            &job.name,
            labels,
            key,
            job.priority,
            job.moment(),
            &job.submitter,
            &job.hash,
            job.tasks,
            now,
            &job.store,
            job.limit_key.as_ref().map(LimitKey::as_str),
        ))?;
    if inserted == 0 {
        return known(conn, job);
    }
    conn.prepare_cached("INSERT INTO definition (job, definition, settings) VALUES (?1, ?2, ?3)")?.execute((
        conn.last_insert_rowid(),
        &job.definition,
        &job.settings,
    ))?;
    Ok(Submitted { id: job.id, created: true })
}

/// The id or the key is there already: the same definition is the same job.
fn known(conn: &Connection, job: &NewJob) -> Result<Submitted, Error> {
    let hash: Option<String> = conn
        .prepare_cached("SELECT hash FROM job WHERE id = ?1")?
        .query_row([job.id.to_string()], |row| row.get(0))
        .optional()?;
    if let Some(hash) = hash {
        if hash == job.hash {
            return Ok(Submitted { id: job.id, created: false });
        }
        return Err(Error::Refused(format!("job {} is there already, with another definition", job.id)));
    }
    let (id, hash) = conn
        .prepare_cached("SELECT id, hash FROM job WHERE key = ?1 AND queue = ?2")?
        .query_row((&job.key, job.queue.as_str()), |row| Ok(parsed(row, 0).and_then(|id| Ok((id, row.get(1)?)))))??;
    let _: &String = &hash;
    if hash == job.hash {
        return Ok(Submitted { id, created: false });
    }
    Err(Error::KeyTaken { key: job.key.clone().unwrap_or_default(), job: id })
}
