//! Jobs that ended, or were given up, long ago are forgotten, in small transactions.

use rusqlite::Connection;
use workflow_model::{Epoch, JobId};

use super::{
    codec::parsed,
    db::{Db, Durability},
};
use crate::{Error, Prune};

/// A transaction deletes at most so many task rows, but always one job whole.
const ROWS_AT_ONCE: u64 = 20_000;

struct Doomed {
    seq: i64,
    id: JobId,
    rows: u64,
    /// The epoch under which it goes although it has not ended.
    abandoned: Option<Epoch>,
}

pub(super) fn prune(db: &mut Db, what: &Prune) -> Result<Vec<JobId>, Error> {
    let doomed = db.read(|conn| {
        let mut all = doomed(conn, what)?;
        all.extend(abandoned(conn, &what.abandoned)?);
        Ok(all)
    })?;
    if what.dry_run {
        return Ok(doomed.into_iter().map(|job| job.id).collect());
    }
    let mut gone = Vec::with_capacity(doomed.len());
    let mut rest = &doomed[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_length(rest));
        db.write(Durability::Normal, |conn, _| {
            for job in batch {
                // It may have been retried, or claimed, since it was chosen.
                let deleted = conn
                    .prepare_cached(
                        "DELETE FROM job WHERE seq = ?1 AND iif(?2 IS NULL, ended IS NOT NULL, epoch = ?2)",
                    )?
                    .execute((job.seq, job.abandoned.map(|epoch| epoch.0)))?;
                if deleted == 1 {
                    gone.push(job.id);
                }
            }
            Ok(())
        })?;
        rest = later;
    }
    forget_run_queues(db)?;
    Ok(gone)
}

fn batch_length(jobs: &[Doomed]) -> usize {
    let mut rows = 0;
    let fits = |job: &&Doomed| {
        rows += job.rows + 2;
        rows <= ROWS_AT_ONCE
    };
    jobs.iter().take_while(fits).count().max(1)
}

/// Newest first along the index of ended jobs.
fn doomed(conn: &Connection, what: &Prune) -> Result<Vec<Doomed>, Error> {
    let failed_before = what.failed_before;
    let mut statement = conn.prepare_cached(
        "SELECT seq, id, tasks, ended, status = 'succeeded' FROM job WHERE ended IS NOT NULL ORDER BY ended DESC, seq DESC",
    )?;
    let mut rows = statement.query(())?;
    let mut doomed = Vec::new();
    let mut place = 0_u64;
    while let Some(row) = rows.next()? {
        place += 1;
        let ended: i64 = row.get(3)?;
        let ruled =
            what.ended_before.is_some_and(|moment| ended < moment) || what.keep.is_some_and(|keep| place > keep);
        let goes = match failed_before {
            Some(moment) if !row.get(4)? => ended < moment,
            _ => ruled,
        };
        if goes {
            doomed.push(Doomed { seq: row.get(0)?, id: parsed(row, 1)?, rows: row.get(2)?, abandoned: None });
        }
    }
    Ok(doomed)
}

fn abandoned(conn: &Connection, jobs: &[(JobId, Epoch)]) -> Result<Vec<Doomed>, Error> {
    let mut statement =
        conn.prepare_cached("SELECT seq, tasks FROM job WHERE id = ?1 AND epoch = ?2 AND ended IS NULL")?;
    let mut found = Vec::new();
    for (id, epoch) in jobs {
        let mut rows = statement.query((id.to_string(), epoch.0))?;
        if let Some(row) = rows.next()? {
            found.push(Doomed { seq: row.get(0)?, id: *id, rows: row.get(1)?, abandoned: Some(*epoch) });
        }
    }
    Ok(found)
}

/// The reserved queues of `qmanager run` go with their jobs.
fn forget_run_queues(db: &mut Db) -> Result<(), Error> {
    db.write(Durability::Normal, |conn, _| {
        conn.execute(
            "DELETE FROM queue WHERE name GLOB 'run-*' AND NOT paused AND job_limit IS NULL \
             AND NOT EXISTS (SELECT 1 FROM job WHERE job.queue = queue.name)",
            (),
        )?;
        Ok(())
    })
}
