//! The schema's versions, and how a database gets from one to the next.

use tokio_postgres::error::SqlState;

use super::{failure::Failure, session::Session};
use crate::Error;

/// Each step leads from the version of its index to the next; never changed once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_init.sql"),
    include_str!("../../migrations/postgres/0002_limit_keys.sql"),
];

/// The version that this program reads and writes.
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// Two who migrate at once do it one after the other: this number is theirs alone ("QMGQ").
const LOCK: i64 = 0x514d_4751;

/// The database's version; 0 = there is nothing of ours in it.
pub(super) async fn version(session: &Session) -> Result<i32, Failure> {
    match session.rows_once("SELECT coalesce(max(version), 0) FROM qmanager.migration", &[]).await {
        Ok(rows) => Ok(rows.first().map_or(Ok(0), |row| row.try_get(0))?),
        Err(failure) if failure.is(&SqlState::UNDEFINED_TABLE) || failure.is(&SqlState::INVALID_SCHEMA_NAME) => Ok(0),
        Err(failure) => Err(failure),
    }
}

/// Refuses a database of another version, with the remedy.
pub(super) fn check(version: i32, shown: &str) -> Result<(), Error> {
    if version == VERSION {
        return Ok(());
    }
    Err(Error::Unusable(if version == 0 {
        format!("{shown} holds no queue yet; run `qmanager queue migrate` once, as a user who may make tables")
    } else if version < VERSION {
        format!(
            "{shown} was made by an older qmanager (schema {version}, this one needs {VERSION}); run `qmanager queue migrate`"
        )
    } else {
        format!("{shown} was made by a newer qmanager (schema {version}, this one knows {VERSION}); use that version")
    }))
}

/// Brings the database to [`VERSION`], all or nothing; answers the version that it had.
pub(super) async fn migrate(session: &Session) -> Result<i32, Failure> {
    session.begin().await?;
    // The lock ends with the transaction. Whoever waits for it may wait for a long migration.
    session
        .batch(&format!(
            "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
        ))
        .await?;
    let found = found(session).await?;
    if found > VERSION {
        check(found, "the database")?;
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(usize::try_from(found).unwrap_or(0)) {
        session.batch(sql).await?;
        session
            .rows_once(
                "INSERT INTO qmanager.migration (version, by_program) VALUES ($1, $2)",
                &[&(step as i32 + 1), &env!("CARGO_PKG_VERSION")],
            )
            .await?;
    }
    session.commit().await?;
    Ok(found)
}

/// Within a transaction no statement may fail, so the table is asked for first.
async fn found(session: &Session) -> Result<i32, Failure> {
    let there = session.rows_once("SELECT to_regclass('qmanager.migration') IS NOT NULL", &[]).await?;
    if there.first().is_some_and(|row| row.get(0)) { version(session).await } else { Ok(0) }
}
