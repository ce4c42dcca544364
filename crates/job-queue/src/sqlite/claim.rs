//! A worker takes a job: one IMMEDIATE transaction, however many jobs wait.
//!
//! A job under way is taken only from an owner that the caller says is dead, which the caller proves by holding that
//! owner's slot lock. An expired lease proves nothing on one host: the worker may be stopped, or the disk full.

use failpoint::Bug;
use rusqlite::{Connection, OptionalExtension};

use super::{
    codec::{JOB_COLUMNS, Stored, job_row, task_rows},
    db::{Db, Durability},
    keys,
};
use crate::{Claim, Claimed, Error, Micros, Owner, clock};

/// At most so many jobs whose `run_at` has come become claimable in one claim: no claim pays for thousands.
const DUE_AT_ONCE: u32 = 500;

/// What a claim did.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) job: Option<Claimed>,
    /// Whether it let in jobs that others may take: they are to be woken.
    pub(super) more: bool,
}

pub(super) fn claim(db: &mut Db, claim: &Claim) -> Result<Taken, Error> {
    db.write(Durability::Normal, |conn, now| take_one(conn, now, claim))
}

/// Takes a job within a transaction.
pub(super) fn take_one(conn: &Connection, now: Micros, claim: &Claim) -> Result<Taken, Error> {
    let settings = check_in(conn, claim)?;
    let orphan = orphan(conn, claim)?;
    let (seq, more) = match orphan {
        Some(seq) => (Some(seq), false),
        None if claim.fresh && settings.open(conn, claim)? => {
            // Those with a key whose time has come wait for a place from now on.
            let has_to_look = make_due(conn, claim, now)? || settings.has_to_look;
            next_ready(conn, claim, has_to_look)?
        }
        None => (None, false),
    };
    let job = seq.map(|seq| take(conn, claim, now, seq, orphan.is_some())).transpose()?;
    Ok(Taken { job, more })
}

/// The job to take, and whether others than it were let in.
fn next_ready(conn: &Connection, claim: &Claim, has_to_look: bool) -> Result<(Option<i64>, bool), Error> {
    let queue = &claim.queue;
    loop {
        let let_in = if has_to_look { keys::let_in(conn, queue)? } else { Vec::new() };
        let sql = if failpoint::has(Bug::DoubleClaim) { NEXT_ANYHOW } else { NEXT_READY };
        let next = conn.prepare_cached(sql)?.query_row([queue.as_str()], |row| row.get(0)).optional()?;
        // There may be more keys than are looked at in one go.
        if next.is_some() || !has_to_look || !keys::is_left(conn, queue)? {
            return Ok((next, let_in.iter().any(|seq| Some(*seq) != next)));
        }
    }
}

/// The job that comes next: highest priority, then oldest.
pub(super) const NEXT_READY: &str = "SELECT seq FROM job WHERE queue = ?1 AND status = 'queued' AND later IS NULL \
     ORDER BY priority DESC, seq LIMIT 1";

/// What a claim that is wrong takes ([`Bug::DoubleClaim`]).
const NEXT_ANYHOW: &str = "SELECT seq FROM job WHERE queue = ?1 AND status IN ('queued', 'running') AND later IS NULL \
     ORDER BY status DESC, seq LIMIT 1";

/// The oldest job that an owner has.
pub(super) const OWNED: &str = "SELECT seq FROM job WHERE owner_slot = ?1 AND owner_run_dir = ?2 AND owner_host = ?3 \
     AND queue = ?4 ORDER BY seq LIMIT 1";

/// Jobs whose time has come.
pub(super) const DUE: &str =
    "SELECT seq FROM job WHERE queue = ?1 AND later IS NOT NULL AND later <= ?2 ORDER BY later LIMIT ?3";

/// What `queue pause` and `queue limit` say.
struct Settings {
    paused: bool,
    limit: Option<u32>,
    /// Whether there are limit keys to look at first.
    has_to_look: bool,
}

impl Settings {
    fn open(&self, conn: &Connection, claim: &Claim) -> Result<bool, Error> {
        if self.paused {
            return Ok(false);
        }
        let Some(limit) = self.limit else { return Ok(true) };
        // As many rows as there are jobs under way, which is at most as many as there are workers.
        let running: u32 = conn
            .prepare_cached("SELECT count(*) FROM job WHERE owner_slot IS NOT NULL AND queue = ?1")?
            .query_row([claim.queue.as_str()], |row| row.get(0))?;
        Ok(running < limit)
    }
}

/// A queue belongs to the executor and the store of its first worker.
fn check_in(conn: &Connection, claim: &Claim) -> Result<Settings, Error> {
    type Row = (bool, Option<u32>, Option<String>, Option<String>, bool);
    let row: Option<Row> = conn
        .prepare_cached(
            "SELECT paused, job_limit, executor, store, EXISTS (SELECT 1 FROM key_look WHERE queue = ?1) FROM queue \
             WHERE name = ?1",
        )?
        .query_row([claim.queue.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .optional()?;
    let mine = claim.executor.as_str();
    match row {
        Some((paused, limit, Some(executor), Some(store), has_to_look)) => {
            if executor != mine || store != claim.store {
                return Err(claim.mismatch(&executor, &store));
            }
            Ok(Settings { paused, limit, has_to_look })
        }
        other => {
            conn.prepare_cached(
                "INSERT INTO queue (name, executor, store) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (name) DO UPDATE SET executor = ?2, store = ?3",
            )?
            .execute((claim.queue.as_str(), mine, &claim.store))?;
            let (paused, limit) = other.map_or((false, None), |(paused, limit, ..)| (paused, limit));
            Ok(Settings { paused, limit, has_to_look: true })
        }
    }
}

fn orphan(conn: &Connection, claim: &Claim) -> Result<Option<i64>, Error> {
    let mut statement = conn.prepare_cached(OWNED)?;
    for Owner { host, run_dir, slot } in &claim.dead {
        let found = statement.query_row((slot, run_dir, host, claim.queue.as_str()), |row| row.get(0)).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Answers whether there were any.
fn make_due(conn: &Connection, claim: &Claim, now: Micros) -> Result<bool, Error> {
    let due = conn.prepare_cached(&format!("UPDATE job SET later = NULL WHERE seq IN ({DUE})"))?.execute((
        claim.queue.as_str(),
        now,
        DUE_AT_ONCE,
    ))?;
    Ok(due > 0)
}

fn take(conn: &Connection, claim: &Claim, now: Micros, seq: i64, resumed: bool) -> Result<Claimed, Error> {
    let Owner { host, run_dir, slot } = &claim.owner;
    let Stored { job, .. } = conn
        .prepare_cached(&format!(
            "UPDATE job SET status = iif(status = 'queued', 'running', status), epoch = epoch + 1, owner_host = ?2, \
             owner_run_dir = ?3, owner_slot = ?4, lease_until = ?5, started = coalesce(started, ?6), \
             store = coalesce(store, ?7) WHERE seq = ?1 RETURNING {JOB_COLUMNS}"
        ))?
        .query_row(
            (seq, host, run_dir, slot, now.saturating_add(clock::micros(claim.ttl)), now, claim.place()),
            |row| Ok(job_row(row)),
        )??;
    let (definition, settings) = conn
        .prepare_cached("SELECT definition, settings FROM definition WHERE job = ?1")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // A job that was never claimed has no task rows yet.
    let tasks = if job.epoch.0 > 1 { task_rows(conn, seq)? } else { Vec::new() };
    Ok(Claimed { job, definition, settings, tasks, resumed })
}
