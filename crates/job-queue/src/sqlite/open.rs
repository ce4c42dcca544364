//! Opening the file: which SQLite, which file, which schema; and making one that is not there yet.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, hooks::Wal};
use rustix::io::Errno;

use super::{
    db::{Db, Shared, busy_handler},
    health,
    place::{self, Place},
    schema,
};
use crate::{Error, OpenOptions};

/// The WAL-reset bug below this version loses commits when several processes write (F28).
const OLDEST_SQLITE: i32 = 3_051_003;
/// Published and withdrawn.
const WITHDRAWN_SQLITE: i32 = 3_052_000;

/// The mark of a WAL whose name is on the disk.
const SETTLED: &str = "user.qmanager.settled";

/// Opens, checks and, where wanted, makes the database.
pub(super) fn open(path: &Path, options: &OpenOptions) -> Result<Db, Error> {
    check_version(rusqlite::version_number())?;
    let made = !exists(path)? && make(path, options)?;
    let place = Place::of(path, options.network_file_system)?;
    let shared = Shared { patience: Arc::default(), busy_timeout: options.busy_timeout, wal_pages: Arc::default() };
    let longest = u64::try_from(options.busy_timeout.as_micros()).unwrap_or(u64::MAX);
    shared.patience.store(longest, Ordering::Relaxed);
    let conn = connect(place.path(), &shared)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !options.checkpoint_on_close)?;
    let mut db = Db::new(place, conn, shared);
    if !made {
        check_schema(&mut db)?;
        health::check_file(&mut db, options.check)?;
    }
    Ok(db)
}

/// A connection to an existing file, with everything set that SQLite keeps per connection.
pub(super) fn connect(path: &Path, shared: &Shared) -> Result<Connection, Error> {
    // A path of the user's is never a URI; the handle's own mutex keeps threads apart.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags)?;
    conn.busy_handler(Some(busy_handler(shared.clone())))?;
    conn.set_prepared_statement_cache_capacity(128);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Plans do not depend on what is bound; else SQLite prepares some of our statements again at each call.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if conn.is_readonly("main")? {
        return Err(Error::Unusable(format!(
            "{} is read-only for this user; give the user that runs qmanager the right to write to it",
            path.display()
        )));
    }
    let mode: String = conn.query_row("PRAGMA journal_mode=WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Unusable(format!(
            "{} cannot be used in WAL mode (it stays in mode {mode:?}); put it on a local disk",
            path.display()
        )));
    }
    settle(&place::beside(path, "-wal"))?;
    // In place of SQLite's own checkpoints: those run inside a commit, and so on the caller's thread.
    let pages = Arc::clone(&shared.wal_pages);
    conn.wal_hook(Some(move |_: &mut Wal, now: i32| {
        pages.store(now, Ordering::Relaxed);
        Ok(())
    }))?;
    // mmap off: a truncated file would be a SIGBUS. The WAL is cut back after a reader had let it grow (F33).
    conn.execute_batch(
        "PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA mmap_size=0; PRAGMA journal_size_limit=67108864",
    )?;
    Ok(conn)
}

/// Whoever finds a WAL whose name may not be on the disk yet puts it there: until then no commit in it is durable. SQLite is
/// built not to do this, since it does so with the first commit of each process, which costs a short one a second sync. The
/// mark goes with the file. Where files take no marks, each connection syncs.
fn settle(wal: &Path) -> Result<(), Error> {
    if rustix::fs::lgetxattr(wal, SETTLED, &mut [0_u8; 1]).is_ok() {
        return Ok(());
    }
    let folder = wal.parent().expect("BUG: a canonical path of a file");
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| Error::io(format!("sync {}", folder.display()), e))?;
    rustix::fs::lsetxattr(wal, SETTLED, b"1", rustix::fs::XattrFlags::empty()).ok();
    Ok(())
}

pub(super) fn check_version(number: i32) -> Result<(), Error> {
    if number >= OLDEST_SQLITE && number != WITHDRAWN_SQLITE {
        return Ok(());
    }
    let (major, minor, patch) = (number / 1_000_000, number / 1000 % 1000, number % 1000);
    Err(Error::Unusable(format!(
        "this program is linked with SQLite {major}.{minor}.{patch}, which can lose commits when several processes \
         write; build it with the bundled SQLite (3.51.3 or newer, not 3.52.0)"
    )))
}

fn exists(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(format!("look at {}", path.display()), e)),
    }
}

/// Makes an empty queue at a path where nothing is. The file appears whole or not at all: a crash, a full disk or two
/// processes at once never leave half a database. `false` = another process was quicker.
fn make(path: &Path, options: &OpenOptions) -> Result<bool, Error> {
    if !options.create {
        return Err(Error::Unusable(format!("there is no database at {}", path.display())));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Error::Unusable(format!("there is no folder {}; make it first", folder.display())));
    }
    if !options.network_file_system
        && let Some(kind) = place::network_file_system_of(folder)?
    {
        return Err(Error::Unusable(format!(
            "{} is on {kind}, where file locks cannot be trusted; use a folder on a local disk (`--state-dir`)",
            folder.display()
        )));
    }
    let image = empty_image()?;
    // Not of a pid and a time: threads of one process, and processes of two containers, share both.
    let draft = place::beside(path, &format!(".{}", uuid::Uuid::new_v4().simple()));
    let placed = write_draft(&draft, &image).and_then(|()| place_draft(&draft, path));
    if !matches!(placed, Ok(true)) {
        // What matters is said already; a draft that stays is in nobody's way.
        let _removed = fs::remove_file(&draft);
    }
    let synced = placed.and_then(|placed| fs::File::open(folder)?.sync_all().map(|()| placed));
    synced.map_err(|e| Error::io(format!("make {}", path.display()), e))
}

fn write_draft(draft: &Path, image: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(image)?;
    file.sync_all()
}

/// Gives the draft its name, if nothing has it yet. Not by a second name, where it can be helped: a file with two names is
/// one that [`Place::of`] refuses, for whoever looks in that moment, and for good if we are killed in it.
fn place_draft(draft: &Path, path: &Path) -> io::Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, draft, CWD, path, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        // File systems that cannot do this without replacing.
        Err(Errno::INVAL | Errno::NOSYS) => match fs::hard_link(draft, path) {
            Ok(()) => fs::remove_file(draft).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        },
        Err(e) => Err(e.into()),
    }
}

/// The bytes of a database with the newest schema and nothing in it.
fn empty_image() -> Result<Vec<u8>, Error> {
    let mut conn = Connection::open_in_memory()?;
    conn.execute_batch("BEGIN")?;
    schema::migrate(&conn, 0)?;
    conn.execute_batch("COMMIT")?;
    let mut image = conn.serialize("main")?.to_vec();
    // "File format write version" and "read version" of the header: 2 = WAL. In memory there is no WAL to be in.
    image[18] = 2;
    image[19] = 2;
    Ok(image)
}

fn check_schema(db: &mut Db) -> Result<(), Error> {
    let path = db.path().to_owned();
    let version = db.read(|conn| {
        let ours: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version: usize = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if ours != schema::APPLICATION_ID {
            return Err(Error::Unusable(format!(
                "{} is a database, but not one of qmanager's; give another path",
                path.display()
            )));
        }
        if version > schema::VERSION {
            return Err(Error::Unusable(format!(
                "{} was made by a newer qmanager (schema {version}, this one knows {}); use that version",
                path.display(),
                schema::VERSION
            )));
        }
        Ok(version)
    })?;
    if version == schema::VERSION {
        return Ok(());
    }
    db.write(super::db::Durability::Full, |conn, _| {
        // Another process may have done it while this one waited for the lock.
        let version: usize = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version < schema::VERSION { schema::migrate(conn, version) } else { Ok(()) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f28_versions_with_the_wal_reset_bug_are_refused() {
        check_version(rusqlite::version_number()).unwrap();
        for bad in [3_040_001, 3_051_002, WITHDRAWN_SQLITE] {
            let error = check_version(bad).unwrap_err().to_string();
            assert!(error.contains("can lose commits"), "{error}");
        }
        check_version(OLDEST_SQLITE).unwrap();
    }
}
