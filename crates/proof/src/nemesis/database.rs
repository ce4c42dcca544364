//! Faults of the database and of its disk.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::Child,
    time::Duration,
};

use anyhow::Result;
use rusqlite::Connection;
use rustix::fs::FallocateFlags;

use crate::server::Psql;

/// Somebody who holds the database; lets go when it is dropped.
#[derive(Debug)]
pub(super) enum Lock {
    File(Connection),
    Server(Child),
}

impl Lock {
    pub(super) fn take(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok(Self::File(connection))
    }

    /// Keeps everybody from the jobs.
    pub(super) fn of_server(psql: &Psql, micros: i64) -> Result<Self> {
        let seconds = micros / 1_000_000 + 1;
        let sql = format!("BEGIN; LOCK TABLE qmanager.job; SELECT pg_sleep({seconds}); ROLLBACK");
        Ok(Self::Server(psql.start(&sql)?))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        match self {
            // A connection that is closed rolls back by itself.
            Self::File(connection) => drop(connection.execute_batch("ROLLBACK")),
            // The server notices that its client has gone when it has slept, at the latest.
            Self::Server(child) => {
                child.kill().ok();
                child.wait().ok();
            }
        }
    }
}

/// Fills the file system of a folder with a file; it is there until that is removed.
pub(super) fn fill(ballast: &Path) -> io::Result<()> {
    let mut file = File::create(ballast)?;
    let free = rustix::fs::fstatvfs(&file)?;
    // Most of it at once, since others write too; then what is left, to the last byte.
    let most = (free.f_bavail * free.f_frsize).saturating_sub(1 << 20);
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, most)?;
    file.seek(SeekFrom::Start(most))?;
    loop {
        match file.write_all(&[0; 4096]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
