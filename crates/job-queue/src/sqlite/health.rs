//! Whether the file is sound, how large it is, and a copy of it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;
use serde::Serialize;

use super::{db::Db, place};
use crate::{Check, Error};

/// What `doctor` shows of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// The linked SQLite.
    pub sqlite: String,
    /// The schema's version.
    pub schema: u32,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its WAL; much more than 64 MiB means that a reader has been holding it (F33).
    pub wal_bytes: u64,
    /// Bytes of the file that are free for new rows.
    pub free_bytes: u64,
    /// Jobs in it.
    pub jobs: u64,
    /// What is wrong: integrity and foreign keys. Empty = sound.
    pub problems: Vec<String>,
}

/// How many problems are listed before it is clear that the file is lost.
const PROBLEMS: u32 = 20;

pub(super) fn health(db: &mut Db) -> Result<Health, Error> {
    let path = db.path().to_owned();
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    let (bytes, wal_bytes) = (size(&path), size(&place::beside(&path, "-wal")));
    db.bare(|conn| {
        let number = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, u64>(0));
        let mut problems = lines(conn, &format!("PRAGMA quick_check({PROBLEMS})"))?;
        problems.retain(|line| line != "ok");
        let mut orphans = conn.prepare("PRAGMA foreign_key_check")?;
        let mut rows = orphans.query(())?;
        while let Some(row) = rows.next()? {
            problems.push(format!("a row of table {} belongs to no job", row.get::<_, String>(0)?));
        }
        Ok(Health {
            sqlite: rusqlite::version().into(),
            schema: conn.pragma_query_value(None, "user_version", |row| row.get(0))?,
            bytes,
            wal_bytes,
            free_bytes: number("PRAGMA freelist_count")? * number("PRAGMA page_size")?,
            jobs: number("SELECT count(*) FROM job")?,
            problems,
        })
    })
}

/// Writes a copy of the database, whole and consistent, to a path where nothing is yet. Others go on meanwhile.
pub(super) fn backup(db: &mut Db, to: &Path) -> Result<(), Error> {
    if fs::symlink_metadata(to).is_ok() {
        return Err(Error::Refused(format!("there is already something at {}; give another path", to.display())));
    }
    // Made by us first, for its mode: SQLite fills an empty file.
    let made = {
        use std::os::unix::fs::OpenOptionsExt;
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)
    };
    let made = made.map_err(|e| Error::io(format!("make {}", to.display()), e))?;
    let copied = db.bare(|conn| {
        conn.execute("VACUUM INTO ?1", [to.to_str().ok_or_else(|| Error::Refused("the path is not UTF-8".into()))?])?;
        Ok(())
    });
    let copied = copied.and_then(|()| made.sync_all().map_err(|e| Error::io(format!("write {}", to.display()), e)));
    if copied.is_err() {
        // The error that matters is the first; what is left of the copy is of no use.
        let _removed = fs::remove_file(to);
    }
    copied
}

/// Refuses a damaged or truncated file when it is opened.
pub(super) fn check_file(db: &mut Db, check: Check) -> Result<(), Error> {
    let path = db.path().to_owned();
    check_length(db, &path)?;
    match check {
        Check::Quick => db.read(|conn| {
            conn.prepare_cached(
                "SELECT (SELECT seq FROM job LIMIT 1), (SELECT job FROM definition LIMIT 1), (SELECT job FROM task LIMIT 1), \
                 (SELECT name FROM queue LIMIT 1)",
            )?
            .query_row((), |_| Ok(()))?;
            Ok(())
        }),
        Check::Within(limit) => db.bare(|conn| check_pages(conn, &path, limit)),
    }
}

/// The file must be as long as its header says. While a WAL holds newer pages the header may be ahead of the file.
fn check_length(db: &mut Db, path: &Path) -> Result<(), Error> {
    let wal = fs::metadata(place::beside(path, "-wal")).map_or(0, |meta| meta.len());
    let length = fs::metadata(path).map_err(|e| Error::io(format!("look at {}", path.display()), e))?.len();
    if wal > 0 {
        return Ok(());
    }
    let expected = db.read(|conn| {
        let number = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, u64>(0));
        Ok(number("PRAGMA page_count")? * number("PRAGMA page_size")?)
    })?;
    if length >= expected {
        return Ok(());
    }
    Err(Error::Unusable(format!(
        "{} is cut off ({length} of {expected} bytes); keep the file, and put a backup in its place",
        path.display()
    )))
}

#[expect(clippy::disallowed_methods, reason = "how long the check has taken is nobody else's business")]
fn check_pages(conn: &mut Connection, path: &Path, limit: Duration) -> Result<(), Error> {
    let started = Instant::now();
    conn.progress_handler(10_000, Some(move || started.elapsed() > limit))?;
    let found = lines(conn, "PRAGMA quick_check(1)");
    conn.progress_handler(0, None::<fn() -> bool>)?;
    match found {
        Ok(lines) if lines.iter().all(|line| line == "ok") => Ok(()),
        Err(Error::Database(source))
            if source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code)
                == Some(rusqlite::ErrorCode::OperationInterrupted) =>
        {
            Ok(())
        }
        Err(other) => Err(other),
        Ok(lines) => Err(Error::Unusable(format!(
            "{} is damaged ({}); stop all of qmanager, keep the file, and put a backup in its place",
            path.display(),
            lines.join("; ")
        ))),
    }
}

fn lines(conn: &Connection, sql: &str) -> Result<Vec<String>, Error> {
    let mut statement = conn.prepare(sql)?;
    let lines = statement.query_map((), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines)
}
