//! Jobs come in: all or none, durable, and safe to repeat.

use std::collections::HashSet;

use uuid::Uuid;
use workflow_model::LimitKey;

use super::{
    codec::{self, get, key},
    failure::Failure,
    session::Session,
};
use crate::{Error, NewJob, Submitted};

/// A statement takes at most so many jobs.
const AT_ONCE: usize = 1_000;

/// In the order given; `seq` is the order of arrival.
const INSERT: &str = "WITH given AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], \
       $6::integer[], $7::bigint[], $8::text[], $9::text[], $10::integer[], $11::text[], $12::text[], $13::text[], $14::text[]) \
       WITH ORDINALITY AS g (id, queue, name, labels, key, priority, run_at, submitter, hash, tasks, definition, settings, \
       store, limit_key, place)), \
     made AS (INSERT INTO qmanager.job (id, queue, name, labels, key, priority, run_at, later, submitter, hash, tasks, \
       store, limit_key, created) SELECT id, queue, name, labels::jsonb, key, priority, run_at, run_at, submitter, hash, \
       tasks, store, limit_key, (SELECT qmanager.now_micros()) FROM given ORDER BY place ON CONFLICT DO NOTHING RETURNING seq, id), \
     kept AS (INSERT INTO qmanager.definition (job, definition, settings) \
       SELECT made.seq, given.definition, given.settings FROM made JOIN given ON given.id = made.id) \
     SELECT id FROM made";

pub(super) async fn submit(session: &Session, jobs: &[NewJob]) -> Result<Vec<Submitted>, Failure> {
    match jobs {
        [] => Ok(Vec::new()),
        // One statement is a transaction by itself; with failpoints there is a moment before its commit.
        [_] if !cfg!(feature = "failpoints") => put(session, jobs).await,
        _ => {
            session.begin().await?;
            let mut done = Vec::with_capacity(jobs.len());
            for batch in jobs.chunks(AT_ONCE) {
                done.extend(put(session, batch).await?);
            }
            // Killed here, nothing of it is there.
            let _goes_on = failpoint::at(failpoint::Point::C2);
            session.commit().await?;
            Ok(done)
        }
    }
}

async fn put(session: &Session, jobs: &[NewJob]) -> Result<Vec<Submitted>, Failure> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| key(job.id)).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.as_str()).collect();
    let names: Vec<Option<&str>> = jobs.iter().map(|job| job.name.as_deref()).collect();
    let labels: Vec<String> = jobs.iter().map(labels).collect();
    let keys: Vec<Option<&str>> = jobs.iter().map(|job| job.key.as_deref()).collect();
    let priorities: Vec<i32> = jobs.iter().map(|job| job.priority).collect();
    let run_at: Vec<Option<i64>> = jobs.iter().map(NewJob::moment).collect();
    let submitters: Vec<&str> = jobs.iter().map(|job| job.submitter.as_str()).collect();
    let hashes: Vec<&str> = jobs.iter().map(|job| job.hash.as_str()).collect();
    let tasks = jobs.iter().map(|job| codec::narrow(job.tasks)).collect::<Result<Vec<i32>, Error>>()?;
    let definitions: Vec<&str> = jobs.iter().map(|job| job.definition.as_str()).collect();
    let settings: Vec<&str> = jobs.iter().map(|job| job.settings.as_str()).collect();
    let stores: Vec<&str> = jobs.iter().map(|job| job.store.as_deref().unwrap_or_default()).collect();
    let limit_keys: Vec<Option<&str>> = jobs.iter().map(|job| job.limit_key.as_ref().map(LimitKey::as_str)).collect();
    let rows = session
        .rows(
            INSERT,
            &[
                &ids,
                &queues,
                &names,
                &labels,
                &keys,
                &priorities,
                &run_at,
                &submitters,
                &hashes,
                &tasks,
                &definitions,
                &settings,
                &stores,
                &limit_keys,
            ],
        )
        .await?;
    let made = rows.iter().map(|row| get(row, 0)).collect::<Result<HashSet<Uuid>, Error>>()?;
    let mut done = Vec::with_capacity(jobs.len());
    for (job, id) in jobs.iter().zip(&ids) {
        done.push(if made.contains(id) {
            Submitted { id: job.id, created: true }
        } else {
            known(session, job).await?
        });
    }
    Ok(done)
}

fn labels(job: &NewJob) -> String {
    serde_json::to_string(&job.labels).expect("BUG: texts by texts are always JSON")
}

/// The id or the key is there already: the same definition is the same job.
async fn known(session: &Session, job: &NewJob) -> Result<Submitted, Failure> {
    const BY_ID: &str = "SELECT hash FROM qmanager.job WHERE id = $1";
    const BY_KEY: &str = "SELECT id, hash FROM qmanager.job WHERE key = $1 AND queue = $2";
    if let Some(row) = session.row(BY_ID, &[&key(job.id)]).await? {
        if get::<&str>(&row, 0)? == job.hash {
            return Ok(Submitted { id: job.id, created: false });
        }
        return Err(Error::Refused(format!("job {} is there already, with another definition", job.id)).into());
    }
    let row = session.row(BY_KEY, &[&job.key, &job.queue.as_str()]).await?;
    // Pruned between the two statements: as if the call had come earlier.
    let row = row.ok_or_else(|| Error::Refused("the job with this key has just been removed; submit again".into()))?;
    let id = codec::job_id(get(&row, 0)?)?;
    if get::<&str>(&row, 1)? == job.hash {
        return Ok(Submitted { id, created: false });
    }
    Err(Error::KeyTaken { key: job.key.clone().unwrap_or_default(), job: id }.into())
}
