//! Limit keys: who gets a place, and what there is of them.
//!
//! Whatever changes a job with a key leaves the key in `key_look` (the triggers of migration 2). A claim takes the keys that
//! are there, locks each, counts what is under way, and lets in the first of those that wait, as far as the limit goes. Only
//! here does a key's number of places taken grow, so that one lock for the key keeps it below the limit.

use tokio_postgres::Row;
use workflow_model::{JobId, LimitKey, QueueName};

use super::{
    codec::{self, get, narrow},
    failure::Failure,
    session::Session,
};
use crate::{Error, KeyRow};

/// A claim looks at so many marks at most, and the next one goes on: no claim pays for thousands.
const MARKS_AT_ONCE: i64 = 500;
/// So many jobs of one key are let in at once.
const LET_IN_AT_ONCE: i64 = 500;

/// Of two who look, the second does not wait for the marks that the first has taken.
const TAKE_MARKS: &str = "DELETE FROM qmanager.key_look WHERE (queue, id) IN (SELECT queue, id FROM qmanager.key_look \
     WHERE queue = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING limit_key";

/// Until the end of the transaction, always in one order. The first number says that the lock is ours ("QMGK").
const LOCK: &str = "SELECT count(pg_advisory_xact_lock(1363625803, lock)) FROM (SELECT DISTINCT \
     hashtext($1 || ' ' || wanted) AS lock FROM unnest($2::text[]) AS wanted ORDER BY lock OFFSET 0) AS locks";

/// Each key with its limit and what is under way, as of a statement that began after the lock was taken.
const PLACES: &str = "places AS (SELECT wanted, coalesce((SELECT job_limit FROM qmanager.key_limit WHERE queue = $1 \
         AND limit_key = wanted), (SELECT key_limit FROM qmanager.queue WHERE name = $1), 1) - \
       (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND owner_slot IS NOT NULL) AS places \
       FROM unnest($2::text[]) AS wanted)";

/// Of those that were let in, those that are not among the first of all any more: one of a higher priority has come, or the
/// limit is another. One that is just being claimed stays.
const OVERTAKEN: &str = "first AS (SELECT f.seq FROM places CROSS JOIN LATERAL (SELECT seq FROM ( \
         (SELECT seq, rank FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND later = 9223372036854775807 \
            ORDER BY rank, seq LIMIT greatest(places, 0)) UNION ALL \
         (SELECT seq, rank FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND status = 'queued' \
            AND later IS NULL ORDER BY rank, seq LIMIT greatest(places, 0))) AS all_of_it \
         ORDER BY rank, seq LIMIT greatest(places, 0)) AS f), \
     overtaken AS (SELECT l.seq FROM places CROSS JOIN LATERAL (SELECT seq FROM qmanager.job WHERE queue = $1 \
         AND limit_key = wanted AND status = 'queued' AND later IS NULL AND seq NOT IN (SELECT seq FROM first) \
         FOR NO KEY UPDATE SKIP LOCKED) AS l) \
     UPDATE qmanager.job SET later = 9223372036854775807 WHERE seq = ANY (ARRAY(SELECT seq FROM overtaken))";

/// (By an array: the planner expects many, and would read the whole table for a join.)
const LET_IN: &str = "free AS (SELECT wanted, least($3, places - (SELECT count(*) FROM qmanager.job WHERE queue = $1 \
         AND limit_key = wanted AND status = 'queued' AND later IS NULL)) AS free FROM places), \
     first AS (SELECT f.seq FROM free CROSS JOIN LATERAL (SELECT seq FROM qmanager.job WHERE queue = $1 \
         AND limit_key = wanted AND later = 9223372036854775807 ORDER BY rank, seq LIMIT greatest(free, 0)) AS f), \
     given AS (UPDATE qmanager.job j SET later = NULL WHERE j.seq = ANY (ARRAY(SELECT seq FROM first)) \
         AND j.later = 9223372036854775807 RETURNING j.id, j.rank, j.seq, j.limit_key), \
     full_hands AS (INSERT INTO qmanager.key_look (queue, limit_key) SELECT $1, limit_key FROM given \
         GROUP BY limit_key HAVING count(*) >= $3) \
     SELECT id, rank, seq FROM given";

/// What a look at the keys did.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The jobs that were let in, with their places in the order: `(rank, seq)`.
    pub(super) let_in: Vec<(JobId, (i64, i64))>,
    /// Whether there may be more keys to look at.
    pub(super) more: bool,
}

/// Gives places where there are some. Within a transaction.
pub(super) async fn let_in(session: &Session, queue: &str) -> Result<Looked, Failure> {
    let marks = session.rows(TAKE_MARKS, &[&queue, &MARKS_AT_ONCE]).await?;
    let mut keys = marks.iter().map(|row| get(row, 0)).collect::<Result<Vec<&str>, Error>>()?;
    if keys.is_empty() {
        return Ok(Looked::default());
    }
    keys.sort_unstable();
    keys.dedup();
    let (hold, give) = (format!("WITH {PLACES}, {OVERTAKEN}"), format!("WITH {PLACES}, {LET_IN}"));
    session.rows(LOCK, &[&queue, &keys]).await?;
    session.change(&hold, &[&queue, &keys]).await?;
    let given = session.rows(&give, &[&queue, &keys, &LET_IN_AT_ONCE]).await?;
    let placed = |row| Ok((codec::job_id(get(row, 0)?)?, (get(row, 1)?, get(row, 2)?)));
    let let_in = given.iter().map(placed).collect::<Result<_, Error>>()?;
    Ok(Looked { let_in, more: marks.len() as i64 == MARKS_AT_ONCE })
}

/// Wakes whoever waits for a job.
pub(super) async fn wake(session: &Session, queue: &str) -> Result<(), Failure> {
    session.rows("SELECT pg_notify('qmanager', $1)", &[&queue]).await?;
    Ok(())
}

pub(super) async fn limit(
    session: &Session,
    queue: &QueueName,
    key: Option<&LimitKey>,
    limit: Option<u32>,
) -> Result<(), Failure> {
    const QUEUE: &str =
        "INSERT INTO qmanager.queue (name, key_limit) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET key_limit = $2";
    const THERE: &str = "INSERT INTO qmanager.queue (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    const SET: &str = "INSERT INTO qmanager.key_limit (queue, limit_key, job_limit) VALUES ($1, $2, $3) \
         ON CONFLICT (queue, limit_key) DO UPDATE SET job_limit = $3";
    const UNSET: &str = "DELETE FROM qmanager.key_limit WHERE queue = $1 AND limit_key = $2";
    const LOOK: &str =
        "INSERT INTO qmanager.key_look (queue, limit_key) SELECT $1, wanted FROM unnest($2::text[]) AS wanted";
    let (queue, limit) = (queue.as_str(), limit.map(narrow).transpose()?);
    session.begin().await?;
    let keys = match key.map(LimitKey::as_str) {
        None => {
            session.change(QUEUE, &[&queue, &limit]).await?;
            names(session, queue).await?
        }
        Some(key) => {
            session.change(THERE, &[&queue]).await?;
            match limit {
                Some(limit) => session.change(SET, &[&queue, &key, &limit]).await?,
                None => session.change(UNSET, &[&queue, &key]).await?,
            };
            vec![key.to_owned()]
        }
    };
    session.change(LOOK, &[&queue, &keys]).await?;
    session.commit().await
}

/// The keys of jobs that wait or are under way, by a walk along each partial index, one step per key.
const NAMES: &str = "WITH RECURSIVE \
     waits (k) AS ((SELECT min(limit_key) FROM qmanager.job WHERE queue = $1 AND limit_key IS NOT NULL \
         AND later = 9223372036854775807) UNION ALL \
       SELECT (SELECT min(limit_key) FROM qmanager.job WHERE queue = $1 AND limit_key > k \
         AND later = 9223372036854775807) FROM waits WHERE k IS NOT NULL), \
     let_in (k) AS ((SELECT min(limit_key) FROM qmanager.job WHERE queue = $1 AND limit_key IS NOT NULL \
         AND status = 'queued' AND later IS NULL) UNION ALL \
       SELECT (SELECT min(limit_key) FROM qmanager.job WHERE queue = $1 AND limit_key > k \
         AND status = 'queued' AND later IS NULL) FROM let_in WHERE k IS NOT NULL) \
     SELECT k FROM waits WHERE k IS NOT NULL UNION SELECT k FROM let_in WHERE k IS NOT NULL UNION \
     SELECT limit_key FROM qmanager.job WHERE queue = $1 AND limit_key IS NOT NULL AND owner_slot IS NOT NULL";

async fn names(session: &Session, queue: &str) -> Result<Vec<String>, Failure> {
    let rows = session.rows(NAMES, &[&queue]).await?;
    Ok(rows.iter().map(|row| get(row, 0)).collect::<Result<_, Error>>()?)
}

/// The key's limit, whether it is its own, what is under way, what waits, and which comes next.
const ROW: &str = "SELECT wanted, coalesce(own.job_limit, (SELECT key_limit FROM qmanager.queue WHERE name = $1), 1), \
     own.job_limit IS NOT NULL, \
     (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND owner_slot IS NOT NULL), \
     (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND status = 'queued' AND later IS NULL) + \
     (SELECT count(*) FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND later = 9223372036854775807), \
     (SELECT id FROM ((SELECT id, rank, seq FROM qmanager.job WHERE queue = $1 AND limit_key = wanted \
         AND status = 'queued' AND later IS NULL ORDER BY rank, seq LIMIT 1) UNION ALL \
       (SELECT id, rank, seq FROM qmanager.job WHERE queue = $1 AND limit_key = wanted AND later = 9223372036854775807 \
         ORDER BY rank, seq LIMIT 1)) AS all_of_it ORDER BY rank, seq LIMIT 1) \
     FROM unnest($2::text[]) AS wanted LEFT JOIN qmanager.key_limit own ON own.queue = $1 AND own.limit_key = wanted";

pub(super) async fn keys(session: &Session, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Failure> {
    const OWN: &str = "SELECT limit_key FROM qmanager.key_limit WHERE queue = $1";
    let queue = queue.as_str();
    let mut names = match key {
        Some(key) => vec![codec::text(key)],
        None => {
            let own = session.rows(OWN, &[&queue]).await?;
            let own = own.iter().map(|row| get(row, 0)).collect::<Result<Vec<String>, Error>>()?;
            [names(session, queue).await?, own].concat()
        }
    };
    names.sort_unstable();
    names.dedup();
    let rows = session.rows(ROW, &[&queue, &names]).await?;
    let mut rows = rows.iter().map(key_row).collect::<Result<Vec<KeyRow>, Error>>()?;
    // One that was asked for by its name may be nobody's.
    rows.retain(|row| row.own || row.running + row.queued > 0);
    rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    Ok(rows)
}

fn key_row(row: &Row) -> Result<KeyRow, Error> {
    let number = |column| get::<i64>(row, column).map(|number| u64::try_from(number).unwrap_or(0));
    let next: Option<uuid::Uuid> = get(row, 5)?;
    Ok(KeyRow {
        key: get(row, 0)?,
        limit: codec::count(row, 1)?,
        own: get(row, 2)?,
        running: number(3)?,
        queued: number(4)?,
        next: next.map(codec::job_id).transpose()?,
    })
}
