//! Limit keys: who gets a place, and what there is of them.
//!
//! Whatever changes a job with a key leaves the key in `key_look` (the triggers of migration 2). A claim takes the keys that
//! are there, counts for each what is under way, and lets in the first of those that wait, as far as the limit goes.

use rusqlite::{Connection, OptionalExtension};
use workflow_model::{JobId, LimitKey, QueueName};

use super::{
    codec::parsed,
    db::{Db, Durability},
};
use crate::{Error, KeyRow};

/// A claim looks at so many keys at most, and the next one goes on: no claim pays for thousands.
const KEYS_AT_ONCE: u32 = 100;
/// So many jobs of one key are let in at once.
const LET_IN_AT_ONCE: u64 = 500;

/// Keys that a claim has to look at.
pub(super) const TO_LOOK_AT: &str = "SELECT limit_key FROM key_look WHERE queue = ?1 LIMIT ?2";

/// Gives places where there are some; answers the jobs that were let in.
pub(super) fn let_in(conn: &Connection, queue: &QueueName) -> Result<Vec<i64>, Error> {
    let mut keys = conn.prepare_cached(TO_LOOK_AT)?;
    let keys = keys.query_map((queue.as_str(), KEYS_AT_ONCE), |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    let mut all = Vec::new();
    for key in keys {
        all.extend(give_places(conn, queue.as_str(), &key)?);
    }
    Ok(all)
}

/// Whether a claim has to look at more keys of a queue.
pub(super) fn is_left(conn: &Connection, queue: &QueueName) -> Result<bool, Error> {
    let mut look = conn.prepare_cached(TO_LOOK_AT)?;
    Ok(look.query_row((queue.as_str(), 1), |_| Ok(())).optional()?.is_some())
}

/// A key's limit.
pub(super) const LIMIT: &str = "SELECT coalesce((SELECT job_limit FROM key_limit WHERE queue = ?1 AND limit_key = ?2), \
     (SELECT key_limit FROM queue WHERE name = ?1), 1)";

/// Jobs of a key under way: as many rows as there are workers with one.
pub(super) const UNDER_WAY: &str =
    "SELECT count(*) FROM job WHERE queue = ?1 AND limit_key = ?2 AND owner_slot IS NOT NULL";

/// Of those that were let in, those that are not among the first of all any more: one of a higher priority has come, or the
/// limit is another.
pub(super) const OVERTAKEN: &str = "SELECT seq FROM job \
     WHERE queue = ?1 AND limit_key = ?2 AND status = 'queued' AND later IS NULL AND seq NOT IN (SELECT seq FROM \
       (SELECT * FROM (SELECT seq, priority FROM job WHERE queue = ?1 AND limit_key = ?2 \
          AND later = 9223372036854775807 ORDER BY priority DESC, seq LIMIT ?3) UNION ALL \
        SELECT * FROM (SELECT seq, priority FROM job WHERE queue = ?1 AND limit_key = ?2 \
          AND status = 'queued' AND later IS NULL ORDER BY priority DESC, seq LIMIT ?3)) \
       ORDER BY priority DESC, seq LIMIT ?3)";

/// Jobs of a key that were let in and that no worker has taken yet.
const LET_IN: &str =
    "SELECT count(*) FROM job WHERE queue = ?1 AND limit_key = ?2 AND status = 'queued' AND later IS NULL";

/// The first of those that wait.
pub(super) const FIRST: &str = "SELECT seq FROM job WHERE queue = ?1 AND limit_key = ?2 AND later = 9223372036854775807 \
     ORDER BY priority DESC, seq LIMIT ?3";

fn give_places(conn: &Connection, queue: &str, key: &str) -> Result<Vec<i64>, Error> {
    let number = |sql: &str| conn.prepare_cached(sql)?.query_row((queue, key), |row| row.get::<_, u64>(0));
    let places = number(LIMIT)?.saturating_sub(number(UNDER_WAY)?);
    if number(LET_IN)? > 0 {
        conn.prepare_cached(&format!("UPDATE job SET later = 9223372036854775807 WHERE seq IN ({OVERTAKEN})"))?
            .execute((queue, key, places))?;
    }
    let free = places.saturating_sub(number(LET_IN)?);
    let now = free.min(LET_IN_AT_ONCE);
    let mut give = conn.prepare_cached(&format!("UPDATE job SET later = NULL WHERE seq IN ({FIRST}) RETURNING seq"))?;
    let given = give.query_map((queue, key, now), |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    let is_done = free == now || (given.len() as u64) < now;
    if is_done {
        conn.prepare_cached("DELETE FROM key_look WHERE queue = ?1 AND limit_key = ?2")?.execute((queue, key))?;
    }
    Ok(given)
}

pub(super) fn limit(db: &mut Db, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error> {
    db.write(Durability::Full, |conn, _| {
        let queue = queue.as_str();
        conn.execute("INSERT INTO queue (name) VALUES (?1) ON CONFLICT DO NOTHING", [queue])?;
        let Some(key) = key.map(LimitKey::as_str) else {
            conn.execute("UPDATE queue SET key_limit = ?2 WHERE name = ?1", (queue, limit))?;
            for key in names(conn, queue)? {
                look_at(conn, queue, &key)?;
            }
            return Ok(());
        };
        match limit {
            Some(limit) => conn.execute(
                "INSERT INTO key_limit VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET job_limit = ?3",
                (queue, key, limit),
            )?,
            None => conn.execute("DELETE FROM key_limit WHERE queue = ?1 AND limit_key = ?2", (queue, key))?,
        };
        look_at(conn, queue, key)
    })
}

fn look_at(conn: &Connection, queue: &str, key: &str) -> Result<(), Error> {
    conn.prepare_cached("INSERT OR IGNORE INTO key_look VALUES (?1, ?2)")?.execute((queue, key))?;
    Ok(())
}

/// The keys of jobs that wait or are under way, by a walk along each partial index, one step per key.
pub(super) const NAMES: &str = "WITH RECURSIVE \
     waits (k) AS (SELECT min(limit_key) FROM job WHERE queue = ?1 AND limit_key IS NOT NULL \
         AND later = 9223372036854775807 UNION ALL \
       SELECT (SELECT min(limit_key) FROM job WHERE queue = ?1 AND limit_key > k AND later = 9223372036854775807) \
       FROM waits WHERE k IS NOT NULL), \
     let_in (k) AS (SELECT min(limit_key) FROM job WHERE queue = ?1 AND limit_key IS NOT NULL AND status = 'queued' \
         AND later IS NULL UNION ALL \
       SELECT (SELECT min(limit_key) FROM job WHERE queue = ?1 AND limit_key > k AND status = 'queued' AND later IS NULL) \
       FROM let_in WHERE k IS NOT NULL) \
     SELECT k FROM waits WHERE k IS NOT NULL UNION SELECT k FROM let_in WHERE k IS NOT NULL UNION \
     SELECT limit_key FROM job WHERE queue = ?1 AND limit_key IS NOT NULL AND owner_slot IS NOT NULL";

fn names(conn: &Connection, queue: &str) -> Result<Vec<String>, Error> {
    let mut names = conn.prepare_cached(NAMES)?;
    let names = names.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(names)
}

pub(super) fn keys(db: &mut Db, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error> {
    const OWN: &str = "SELECT limit_key FROM key_limit WHERE queue = ?1";
    db.read(|conn| {
        let queue = queue.as_str();
        let names = match key {
            Some(key) => vec![key.to_owned()],
            None => {
                let mut all = names(conn, queue)?;
                let mut own = conn.prepare_cached(OWN)?;
                all.extend(own.query_map([queue], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?);
                all.sort_unstable();
                all.dedup();
                all
            }
        };
        let rows = names.into_iter().map(|name| key_row(conn, queue, name));
        // One that was asked for by its name may be nobody's.
        rows.filter(|row| !matches!(row, Ok(row) if !row.own && row.running + row.queued == 0)).collect()
    })
}

fn key_row(conn: &Connection, queue: &str, key: String) -> Result<KeyRow, Error> {
    const OWN: &str = "SELECT EXISTS (SELECT 1 FROM key_limit WHERE queue = ?1 AND limit_key = ?2)";
    const WAITS: &str = "SELECT count(*) FROM job WHERE queue = ?1 AND limit_key = ?2 AND later = 9223372036854775807";
    const NEXT: &str = "SELECT id FROM (SELECT * FROM (SELECT id, seq, priority FROM job WHERE queue = ?1 \
         AND limit_key = ?2 AND status = 'queued' AND later IS NULL ORDER BY priority DESC, seq LIMIT 1) UNION ALL \
       SELECT * FROM (SELECT id, seq, priority FROM job WHERE queue = ?1 AND limit_key = ?2 \
         AND later = 9223372036854775807 ORDER BY priority DESC, seq LIMIT 1)) ORDER BY priority DESC, seq LIMIT 1";
    let number = |sql: &str| conn.prepare_cached(sql)?.query_row((queue, &key), |row| row.get::<_, u64>(0));
    let next: Option<JobId> =
        conn.prepare_cached(NEXT)?.query_row((queue, &key), |row| Ok(parsed(row, 0))).optional()?.transpose()?;
    Ok(KeyRow {
        limit: u32::try_from(number(LIMIT)?).unwrap_or(u32::MAX),
        own: number(OWN)? > 0,
        running: number(UNDER_WAY)?,
        queued: number(LET_IN)? + number(WAITS)?,
        next,
        key,
    })
}
