//! The one connection of a queue handle: transactions, how durable each is, and what happens when the disk fails.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, config::DbConfig};

use super::{open, place::Place};
use crate::{Error, Micros, clock};

/// What a commit promises when the power fails right after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It stands (`synchronous=FULL`): what was accepted, and how a job ended.
    Full,
    /// It may be rolled back, never torn (`synchronous=NORMAL`): steps that a worker does again.
    Normal,
}

/// For other processes' locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    No,
    /// About as long as another process's commit takes.
    Briefly,
    Fully,
}

const BRIEFLY: Duration = Duration::from_micros(500);

/// A WAL of so many pages (4 MiB) is copied into the database, and tried again after as many more.
const CHECKPOINT_PAGES: i32 = 1_000;

/// To read a WAL of so many pages takes about as long as the two syncs of writing it back.
const LONG_WAL: i32 = 128;

/// The connection and what it needs to know about itself.
#[derive(Debug)]
pub(super) struct Db {
    place: Place,
    /// `None` after a failure of the disk, until it could be opened again.
    conn: Option<Connection>,
    durability: Durability,
    shared: Shared,
    /// How long the WAL was when a checkpoint was last tried.
    checkpoint_tried: i32,
}

/// What the connection's handlers share with its owner.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// How long the connection waits for a lock, in microseconds: see [`Db::wait_for_locks`].
    pub(super) patience: Arc<AtomicU64>,
    /// How long it may wait where nobody is held up.
    pub(super) busy_timeout: Duration,
    /// Pages in the WAL after the last commit.
    pub(super) wal_pages: Arc<AtomicI32>,
}

impl Db {
    pub(super) fn new(place: Place, conn: Connection, shared: Shared) -> Self {
        Self { place, conn: Some(conn), durability: Durability::Normal, shared, checkpoint_tried: 0 }
    }

    /// How long the next calls wait for other processes' locks: on the caller's thread not at all or hardly, on one that
    /// may block as long as the options say.
    pub(super) fn wait_for_locks(&self, wait: Wait) {
        let longest = match wait {
            Wait::No => Duration::ZERO,
            Wait::Briefly => BRIEFLY,
            Wait::Fully => self.shared.busy_timeout,
        };
        self.shared.patience.store(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether the WAL is long enough for [`Db::checkpoint`].
    pub(super) fn checkpoint_is_due(&mut self) -> bool {
        let pages = self.shared.wal_pages.load(Ordering::Relaxed);
        // It began anew from the start: then the last one succeeded.
        if pages < self.checkpoint_tried {
            self.checkpoint_tried = 0;
        }
        pages - self.checkpoint_tried >= CHECKPOINT_PAGES
    }

    /// Copies the WAL into the database as far as readers allow; waits for nobody but the disk. What fails here fails
    /// again, and is seen, in the next commit.
    pub(super) fn checkpoint(&mut self) {
        self.checkpoint_tried = self.shared.wal_pages.load(Ordering::Relaxed);
        let done = self.bare(|conn| {
            conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()))?;
            Ok(())
        });
        if let Err(error) = done {
            tracing::warn!(%error, "cannot copy the WAL into the database");
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    /// Runs `f` in one IMMEDIATE transaction; its moment is read once the lock is held. Commits if `f` answers `Ok`.
    pub(super) fn write<T>(
        &mut self,
        durability: Durability,
        f: impl FnOnce(&Connection, Micros) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.ready(Some(durability))?;
        let conn = self.conn.as_ref().expect("BUG: ready() opens the connection");
        let result = immediate(conn, f);
        self.drop_if_broken(result)
    }

    /// Runs `f` in one read transaction: it sees one state of the database, and must not take long (a reader keeps
    /// the WAL from being reset).
    pub(super) fn read<T>(&mut self, f: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.ready(None)?;
        let conn = self.conn.as_ref().expect("BUG: ready() opens the connection");
        let result = deferred(conn, f);
        self.drop_if_broken(result)
    }

    /// Runs `f` outside of any transaction.
    pub(super) fn bare<T>(&mut self, f: impl FnOnce(&mut Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.ready(None)?;
        let result = f(self.conn.as_mut().expect("BUG: ready() opens the connection"));
        self.drop_if_broken(result)
    }

    fn ready(&mut self, durability: Option<Durability>) -> Result<(), Error> {
        // Counted by the bench: what an idle daemon asks of its queue.
        tracing::trace!(writes = durability.is_some(), "transaction");
        self.place.check()?;
        if self.conn.is_none() {
            self.conn = Some(open::connect(self.place.path(), &self.shared)?);
            self.durability = Durability::Normal;
        }
        let conn = self.conn.as_ref().expect("BUG: opened just above");
        if let Some(wanted) = durability.filter(|wanted| *wanted != self.durability) {
            conn.execute_batch(match wanted {
                Durability::Full => "PRAGMA synchronous=FULL",
                Durability::Normal => "PRAGMA synchronous=NORMAL",
            })?;
            self.durability = wanted;
        }
        Ok(())
    }

    /// After a failed read, write or sync nothing that the connection believes is certain (F32): the next call opens
    /// the file again and sees what is really there.
    fn drop_if_broken<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if matches!(result, Err(Error::Disk(_))) {
            self.conn = None;
            self.place.forget();
        }
        result
    }
}

impl Drop for Db {
    /// Whoever opens a database that nobody has open reads its whole WAL. Where the options leave the WAL to others, a long
    /// one is written back all the same, if nobody else is there.
    fn drop(&mut self) {
        if let Some(conn) = &self.conn
            && self.shared.wal_pages.load(Ordering::Relaxed) >= LONG_WAL
        {
            conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).ok();
        }
    }
}

fn immediate<T>(conn: &Connection, f: impl FnOnce(&Connection, Micros) -> Result<T, Error>) -> Result<T, Error> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
    end_transaction(conn, f(conn, clock::now()))
}

fn deferred<T>(conn: &Connection, f: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
    conn.prepare_cached("BEGIN")?.execute(())?;
    end_transaction(conn, f(conn))
}

fn end_transaction<T>(conn: &Connection, result: Result<T, Error>) -> Result<T, Error> {
    let result = result.and_then(|answer| {
        conn.prepare_cached("COMMIT")?.execute(())?;
        Ok(answer)
    });
    // SQLite has rolled back by itself after some errors (a full disk, a failed sync), but not after all.
    if result.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    result
}

/// The wait for another process's lock: short and jittered first, since most locks are held for microseconds, and
/// never longer than the busy timeout in all. Answers `false` at once while nobody may wait.
#[expect(clippy::disallowed_methods, reason = "how long this wait has lasted is nobody else's business")]
pub(super) fn busy_handler(shared: Shared) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = None;
    let mut jitter = u64::from(std::process::id()) << 32 | clock::now().unsigned_abs() | 1;
    move |tries| {
        let patience = Duration::from_micros(shared.patience.load(Ordering::Relaxed));
        if patience.is_zero() {
            return false;
        }
        if tries == 0 {
            since = None;
        }
        let since = *since.get_or_insert_with(Instant::now);
        if since.elapsed() >= patience {
            return false;
        }
        // xorshift64: quality does not matter, being different in each process does.
        jitter ^= jitter << 13;
        jitter ^= jitter >> 7;
        jitter ^= jitter << 17;
        let longest = (100_u64 << tries.clamp(0, 7)).min(10_000);
        std::thread::sleep(Duration::from_micros(longest / 2 + jitter % longest.max(1)));
        true
    }
}
