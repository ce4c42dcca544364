//! Which server it is, and how large the queue has become.

use serde::Serialize;

use super::{codec::get, failure::Failure, schema, session::Session};
use crate::Error;

/// What `doctor` shows of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerHealth {
    /// The server's version.
    pub server: String,
    /// The schema's version.
    pub schema: u32,
    /// Bytes of the queue's tables with their indexes.
    pub bytes: u64,
    /// Jobs in it, as the server estimates.
    pub jobs: u64,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// For how many seconds the oldest transaction has been open: it keeps the server from cleaning up (F43).
    pub oldest_transaction: u64,
}

pub(super) async fn health(session: &Session) -> Result<ServerHealth, Failure> {
    const SQL: &str = "SELECT current_setting('server_version'), \
         (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c \
          JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'qmanager' AND c.relkind = 'r'), \
         (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'qmanager.job'::regclass), \
         coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false), \
         coalesce((SELECT extract(epoch FROM max(now() - xact_start))::bigint FROM pg_stat_activity \
          WHERE backend_xmin IS NOT NULL AND datname = current_database()), 0)";
    let rows = session.rows_once(SQL, &[]).await?;
    let row = rows.first().ok_or_else(|| Error::Damaged("an answer without a row".into()))?;
    let size = |column| Ok::<_, Error>(u64::try_from(get::<i64>(row, column)?).unwrap_or(0));
    Ok(ServerHealth {
        server: get(row, 0)?,
        schema: schema::VERSION.unsigned_abs(),
        bytes: size(1)?,
        jobs: size(2)?,
        encrypted: get(row, 3)?,
        oldest_transaction: size(4)?,
    })
}
