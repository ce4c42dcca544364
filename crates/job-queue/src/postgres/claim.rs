//! A worker takes a job: one statement, however many jobs wait and however many workers ask (`SKIP LOCKED`).
//!
//! A job under way is taken from an owner under the caller's run-dir only if the caller says that it is dead (it holds the
//! slot's lock); from any other owner only if, besides, its lease has expired by this server's clock.

use std::{sync::LazyLock, time::Duration};

use tokio::time::Instant;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    codec::{JOB_COLUMNS, JOB_WIDTH, Stored, get, job_row, task_rows},
    failure::Failure,
    keys,
    session::{Param, Session},
};
use crate::{Claim, Claimed, Error, Owner, clock};

/// At most so many jobs whose `run_at` has come become claimable in one claim: no claim pays for thousands.
const DUE_AT_ONCE: i64 = 500;
/// A claim that took longer has walked over many dead rows (F43): the next ones begin where it ended.
const SLOW: Duration = Duration::from_millis(10);
/// Then one in so many times its length goes into walking from the start again.
const SHARE: u32 = 20;

/// Before the first job.
const BEGINNING: (i64, i64) = (i64::MIN, 0);

/// What has been done before the statement is run that takes a job; where more is needed, it takes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Plain,
    /// Places were given.
    Looked,
    /// That, and the jobs of the queue under way were counted.
    Counted,
}

/// The two names under which a call's job is found again after a lost reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tokens {
    fresh: Uuid,
    resumed: Uuid,
}

impl Tokens {
    pub(super) fn generate() -> Self {
        Self { fresh: Uuid::new_v4(), resumed: Uuid::new_v4() }
    }
}

/// Where the queue's live rows began, as of a claim that had to walk far. With a snapshot held open somewhere, rows of
/// jobs that were claimed long ago stay at the head of the index, and every claim would walk over all of them. What came
/// late before the mark is found by the next walk from the start: the order is kept to within a few seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark(Option<(i64, i64, Instant)>);

impl Mark {
    fn start(self) -> (i64, i64) {
        match self.0 {
            Some((rank, seq, until)) if Instant::now() < until => (rank, seq),
            _ => BEGINNING,
        }
    }

    /// A job has become claimable there: the next walk comes by.
    fn not_behind(&mut self, (rank, seq): (i64, i64)) {
        if let Some(mark) = self.0.as_mut().filter(|mark| (mark.0, mark.1) >= (rank, seq)) {
            (mark.0, mark.1) = (rank, seq - 1);
        }
    }

    fn walked(&mut self, from: (i64, i64), took: Duration, at: (i64, i64)) {
        let whole = from == BEGINNING;
        self.0 = match self.0 {
            _ if whole && took < SLOW => None,
            _ if whole => Some((at.0, at.1, Instant::now() + took * SHARE)),
            Some((.., until)) => Some((at.0, at.1, until)),
            None => None,
        };
    }
}

/// What a claim needs besides the question.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) claim: &'a Claim,
    pub(super) tokens: Tokens,
    /// An earlier try may have been done.
    pub(super) unsure: bool,
    /// Whether the caller holds a transaction.
    pub(super) within: bool,
}

/// Takes a job.
pub(super) async fn claim(session: &Session, asked: &Asked<'_>, mark: &mut Mark) -> Result<Option<Claimed>, Failure> {
    let claim = asked.claim;
    if asked.unsure
        && let Some(found) = found_again(session, asked.tokens).await?
    {
        return Ok(Some(found));
    }
    if !claim.dead.is_empty() {
        checked_in(session, claim).await?;
        if let Some(taken) = take_over(session, asked).await? {
            return Ok(Some(taken));
        }
    }
    if !claim.fresh {
        if claim.dead.is_empty() {
            checked_in(session, claim).await?;
        }
        return Ok(None);
    }
    fresh(session, asked, mark).await
}

/// `$1` queue, `$2` executor, `$3` store, `$4` the store's place, `$5`-`$7` owner, `$8` TTL, `$9` token.
const TAKE: &str = "m AS (SELECT qmanager.now_micros() AS now), \
     q AS (SELECT paused, job_limit, executor, store FROM qmanager.queue WHERE name = $1)";

/// The rows of `taken` with their leases and definitions.
const TAKEN: &str = "(taken j JOIN leased l ON l.job = j.id JOIN qmanager.definition d ON d.job = j.seq)";

/// One leaf for jobs whose files are nowhere yet, one for those whose files are where this worker is: each walks its
/// part of the index from the mark (`$10`, `$11`) to the first row that nobody has locked.
pub(super) static FRESH: LazyLock<String> = LazyLock::new(|| {
    let leaf = |store: &str| {
        format!(
            "(SELECT * FROM (SELECT seq, rank FROM qmanager.job WHERE queue = $1 AND store = {store} AND status = 'queued' \
             AND later IS NULL AND (rank, seq) > ($10, $11) AND (SELECT open FROM gate) \
             ORDER BY rank, seq LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS leaf)"
        )
    };
    format!(
        "WITH {TAKE}, \
         look AS (SELECT EXISTS (SELECT FROM qmanager.key_look WHERE queue = $1) AS first), \
         gate AS (SELECT NOT paused AND executor = $2 AND store = $3 AND (job_limit IS NULL OR $12) \
           AND ($13 OR NOT look.first) AS open FROM q, look), \
         picked AS (SELECT seq FROM ({} UNION ALL {}) AS candidates ORDER BY rank, seq LIMIT 1), \
         taken AS (UPDATE qmanager.job j SET status = 'running', epoch = j.epoch + 1, owner_host = $5, \
           owner_run_dir = $6, owner_slot = $7, started = coalesce(j.started, m.now), store = $4 \
           FROM picked, m WHERE j.seq = picked.seq RETURNING j.*), \
         leased AS (INSERT INTO qmanager.lease (job, epoch, until, token) \
           SELECT taken.id, taken.epoch, m.now + $8, $9 FROM taken, m \
           ON CONFLICT (job) DO UPDATE SET epoch = excluded.epoch, until = excluded.until, token = excluded.token \
           RETURNING job, until) \
         SELECT {JOB_COLUMNS}, d.definition, d.settings, q.paused, q.job_limit, q.executor, q.store, j.rank, look.first \
         FROM q CROSS JOIN look LEFT JOIN {TAKEN} ON true",
        leaf("''"),
        leaf("$4")
    )
});

/// The owners are `$10`-`$12`. The lease is changed first: a renewal that came in between makes it last.
static OVER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH {TAKE}, \
         picked AS (SELECT j.seq, j.id, j.epoch, (j.owner_host, j.owner_run_dir) = ($5, $6) AS here FROM qmanager.job j \
           JOIN unnest($10::text[], $11::text[], $12::text[]) AS o (host, run_dir, slot) \
             ON j.owner_slot = o.slot AND j.owner_run_dir = o.run_dir AND j.owner_host = o.host \
           JOIN qmanager.lease l ON l.job = j.id CROSS JOIN m \
           WHERE j.queue = $1 AND j.store IN ('', $4) AND ((j.owner_host, j.owner_run_dir) = ($5, $6) OR l.until < m.now) \
             AND EXISTS (SELECT FROM q WHERE executor = $2 AND store = $3) \
           ORDER BY j.seq LIMIT 1 FOR NO KEY UPDATE OF j SKIP LOCKED), \
         leased AS (UPDATE qmanager.lease l SET epoch = l.epoch + 1, until = m.now + $8, token = $9 FROM picked, m \
           WHERE l.job = picked.id AND l.epoch = picked.epoch AND (picked.here OR l.until < m.now) \
           RETURNING l.job, l.until), \
         taken AS (UPDATE qmanager.job j SET epoch = j.epoch + 1, owner_host = $5, owner_run_dir = $6, \
           owner_slot = $7, store = $4 FROM leased WHERE j.id = leased.job RETURNING j.*) \
         SELECT {JOB_COLUMNS}, d.definition, d.settings FROM {TAKEN}"
    )
});

async fn fresh(session: &Session, asked: &Asked<'_>, mark: &mut Mark) -> Result<Option<Claimed>, Failure> {
    let start = mark.start();
    // Both are on their way at once; the server does the first one first.
    let (due, found) = tokio::join!(make_due(session, asked.claim), one(session, asked, start, Gate::Plain, mark));
    due?;
    let (settings, taken) = match found? {
        (None, _) => {
            // Nobody has written down whose it is: a queue's first worker.
            checked_in(session, asked.claim).await?;
            one(session, asked, BEGINNING, Gate::Plain, mark).await?
        }
        found => found,
    };
    let Some(settings) = settings else { return Ok(taken) };
    settings.check(asked.claim)?;
    if taken.is_some() || settings.paused {
        return Ok(taken);
    }
    if settings.has_to_look {
        return after_a_look(session, asked, &settings, mark).await;
    }
    if settings.limit.is_some() {
        return limited(session, asked, mark).await;
    }
    if start == BEGINNING {
        return Ok(None);
    }
    Ok(one(session, asked, BEGINNING, Gate::Plain, mark).await?.1)
}

/// Jobs with limit keys have come, or have given their places away: places are given first, then the job is taken that
/// comes first.
async fn after_a_look(
    session: &Session,
    asked: &Asked<'_>,
    settings: &Settings,
    mark: &mut Mark,
) -> Result<Option<Claimed>, Failure> {
    let queue = asked.claim.queue.as_str();
    loop {
        if !asked.within {
            session.begin().await?;
        }
        let looked = keys::let_in(session, queue).await?;
        if !asked.within {
            session.commit().await?;
        }
        for (_, place) in &looked.let_in {
            mark.not_behind(*place);
        }
        let start = mark.start();
        let mut taken = match settings.limit {
            Some(_) => limited(session, asked, mark).await?,
            None => one(session, asked, start, Gate::Looked, mark).await?.1,
        };
        if taken.is_none() && settings.limit.is_none() && start != BEGINNING {
            taken = one(session, asked, BEGINNING, Gate::Looked, mark).await?.1;
        }
        let mine = taken.as_ref().map(|claimed| claimed.job.id);
        if looked.let_in.iter().any(|(job, _)| Some(*job) != mine) {
            keys::wake(session, queue).await?;
        }
        if taken.is_some() || !looked.more || asked.within {
            return Ok(taken);
        }
    }
}

/// A claim from a queue with a limit: those who claim from it do it one after the other, and count what is under way.
/// There is no counter that could be wrong.
async fn limited(session: &Session, asked: &Asked<'_>, mark: &mut Mark) -> Result<Option<Claimed>, Failure> {
    const LOCK: &str = "SELECT job_limit FROM qmanager.queue WHERE name = $1 FOR UPDATE";
    const COUNT: &str = "SELECT count(*) FROM qmanager.job WHERE owner_slot IS NOT NULL AND queue = $1";
    let queue = asked.claim.queue.as_str();
    if !asked.within {
        session.begin().await?;
    }
    let limit: Option<i32> = match session.row(LOCK, &[&queue]).await? {
        Some(row) => get(&row, 0)?,
        None => None,
    };
    let running: i64 = match session.row(COUNT, &[&queue]).await? {
        Some(row) => get(&row, 0)?,
        None => 0,
    };
    let taken = if limit.is_none_or(|limit| running < i64::from(limit)) {
        one(session, asked, BEGINNING, Gate::Counted, mark).await?.1
    } else {
        None
    };
    if !asked.within {
        session.commit().await?;
    }
    Ok(taken)
}

/// Runs the statement; answers what the queue's row says, and the job.
async fn one(
    session: &Session,
    asked: &Asked<'_>,
    start: (i64, i64),
    gate: Gate,
    mark: &mut Mark,
) -> Result<(Option<Settings>, Option<Claimed>), Failure> {
    let began = Instant::now();
    let ttl = clock::micros(asked.claim.ttl);
    let (queue, executor, place) = words(asked.claim);
    let (counted, looked) = (gate == Gate::Counted, gate != Gate::Plain);
    let Owner { host, run_dir, slot } = &asked.claim.owner;
    let mut values: Vec<Param<'_>> = vec![&queue, &executor, &asked.claim.store, &place, host, run_dir, slot];
    values.extend([&ttl as Param<'_>, &asked.tokens.fresh, &start.0, &start.1, &counted, &looked]);
    let Some(row) = session.row(&FRESH, &values).await? else { return Ok((None, None)) };
    let settings = Settings::of(&row)?;
    let Some(rank) = get::<Option<i64>>(&row, JOB_WIDTH + 6)? else { return Ok((settings, None)) };
    let stored = job_row(&row, 0)?;
    mark.walked(start, began.elapsed(), (rank, stored.seq));
    Ok((settings, Some(claimed(session, &row, stored, false).await?)))
}

async fn take_over(session: &Session, asked: &Asked<'_>) -> Result<Option<Claimed>, Failure> {
    let dead = &asked.claim.dead;
    let hosts: Vec<&str> = dead.iter().map(|owner| owner.host.as_str()).collect();
    let run_dirs: Vec<&str> = dead.iter().map(|owner| owner.run_dir.as_str()).collect();
    let slots: Vec<&str> = dead.iter().map(|owner| owner.slot.as_str()).collect();
    let ttl = clock::micros(asked.claim.ttl);
    let (queue, executor, place) = words(asked.claim);
    let Owner { host, run_dir, slot } = &asked.claim.owner;
    let mut values: Vec<Param<'_>> = vec![&queue, &executor, &asked.claim.store, &place, host, run_dir, slot];
    values.extend([&ttl as Param<'_>, &asked.tokens.resumed, &hosts, &run_dirs, &slots]);
    match session.row(&OVER, &values).await? {
        Some(row) => {
            let stored = job_row(&row, 0)?;
            Ok(Some(claimed(session, &row, stored, true).await?))
        }
        None => Ok(None),
    }
}

/// The job that an earlier try of this call took.
async fn found_again(session: &Session, tokens: Tokens) -> Result<Option<Claimed>, Failure> {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        format!(
            "SELECT {JOB_COLUMNS}, d.definition, d.settings, l.token FROM qmanager.lease l \
             JOIN qmanager.job j ON j.id = l.job AND j.epoch = l.epoch JOIN qmanager.definition d ON d.job = j.seq \
             WHERE l.token IN ($1, $2)"
        )
    });
    let Some(row) = session.row(&SQL, &[&tokens.fresh, &tokens.resumed]).await? else { return Ok(None) };
    let resumed = get::<Uuid>(&row, JOB_WIDTH + 2)? == tokens.resumed;
    let stored = job_row(&row, 0)?;
    Ok(Some(claimed(session, &row, stored, resumed).await?))
}

async fn claimed(session: &Session, row: &Row, stored: Stored, resumed: bool) -> Result<Claimed, Failure> {
    let (definition, settings) = (get(row, JOB_WIDTH)?, get(row, JOB_WIDTH + 1)?);
    // A job that was never claimed has no task rows yet.
    let tasks = if stored.job.epoch.0 > 1 { task_rows(session, stored.seq).await? } else { Vec::new() };
    Ok(Claimed { job: stored.job, definition, settings, tasks, resumed })
}

/// Queue, executor and the place of the store, as the tables have them.
fn words(claim: &Claim) -> (&str, &str, &str) {
    (claim.queue.as_str(), claim.executor.as_str(), claim.place())
}

async fn make_due(session: &Session, claim: &Claim) -> Result<(), Failure> {
    const SQL: &str = "UPDATE qmanager.job SET later = NULL WHERE seq IN (SELECT seq FROM qmanager.job \
         WHERE queue = $1 AND later IS NOT NULL AND later <= (SELECT qmanager.now_micros()) ORDER BY later LIMIT $2 \
         FOR NO KEY UPDATE SKIP LOCKED)";
    session.change(SQL, &[&claim.queue.as_str(), &DUE_AT_ONCE]).await?;
    Ok(())
}

/// What a queue's row says.
#[derive(Debug)]
struct Settings {
    paused: bool,
    limit: Option<i32>,
    executor: String,
    store: String,
    /// Whether there are keys to look at first.
    has_to_look: bool,
}

impl Settings {
    fn of(row: &Row) -> Result<Option<Self>, Error> {
        let (executor, store) = (get(row, JOB_WIDTH + 4)?, get(row, JOB_WIDTH + 5)?);
        let (Some(executor), Some(store)) = (executor, store) else { return Ok(None) };
        let (paused, limit) = (get(row, JOB_WIDTH + 2)?, get(row, JOB_WIDTH + 3)?);
        Ok(Some(Self { paused, limit, executor, store, has_to_look: get(row, JOB_WIDTH + 7)? }))
    }

    /// A queue belongs to the executor and the store of its first worker.
    fn check(&self, claim: &Claim) -> Result<(), Error> {
        if self.executor == claim.executor.as_str() && self.store == claim.store {
            return Ok(());
        }
        Err(claim.mismatch(&self.executor, &self.store))
    }
}

/// Writes down whose the queue is, if nobody has; refuses another's.
async fn checked_in(session: &Session, claim: &Claim) -> Result<(), Failure> {
    const WRITE: &str = "INSERT INTO qmanager.queue (name, executor, store) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET executor = $2, store = $3 WHERE qmanager.queue.executor IS NULL";
    const READ: &str = "SELECT executor, store FROM qmanager.queue WHERE name = $1 AND executor IS NOT NULL";
    let (name, mine) = (claim.queue.as_str(), claim.executor.as_str());
    for _ in 0..2 {
        if let Some(row) = session.row(READ, &[&name]).await? {
            let (executor, store): (&str, &str) = (get(&row, 0)?, get(&row, 1)?);
            if executor == mine && store == claim.store {
                return Ok(());
            }
            return Err(claim.mismatch(executor, store).into());
        }
        session.change(WRITE, &[&name, &mine, &claim.store]).await?;
    }
    Ok(())
}
