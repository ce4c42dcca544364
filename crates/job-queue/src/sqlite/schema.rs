//! The schema's versions and how a file gets from one to the next.

use rusqlite::Connection;

use crate::Error;

/// Says in a file's header that it is one of ours: "QMGQ".
pub(super) const APPLICATION_ID: i32 = 0x514d_4751;

/// Each step leads from the version of its index to the next; never changed once released, only added to.
const MIGRATIONS: &[&str] =
    &[include_str!("../../migrations/0001_init.sql"), include_str!("../../migrations/0002_limit_keys.sql")];

/// The version that this program reads and writes.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Brings a database from `version` to [`VERSION`], all or nothing. The caller holds a transaction.
pub(super) fn migrate(conn: &Connection, version: usize) -> Result<(), Error> {
    for step in &MIGRATIONS[version..] {
        conn.execute_batch(step)?;
    }
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}
