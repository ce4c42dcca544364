//! One session on the server: statements prepared once, and transactions that are seen to end.

use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio_postgres::{Client, Row, Statement, types::ToSql};

use super::failure::Failure;

/// A parameter of a statement.
pub(super) type Param<'a> = &'a (dyn ToSql + Sync);

/// A session; calls through it are made one after the other (see `lane`).
pub(super) struct Session {
    client: Client,
    incarnation: OnceLock<String>,
    statements: Mutex<HashMap<String, Statement>>,
    /// Between BEGIN and its end: whoever finds it set (a call was dropped) must not use the session.
    open: AtomicBool,
    /// Whether its manager has said on it what it serves.
    present: AtomicBool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            incarnation: OnceLock::new(),
            statements: Mutex::default(),
            open: AtomicBool::new(false),
            present: AtomicBool::new(false),
        }
    }

    /// Which life of the database this is: another after a standby was promoted or a backup restored, and then what was
    /// committed last may be missing. Empty where the server does not tell.
    pub(super) fn incarnation(&self) -> &str {
        self.incarnation.get().map_or("", String::as_str)
    }

    pub(super) async fn ask_incarnation(&self) {
        const SQL: &str = "SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) \
             FROM pg_control_system()";
        let rows = self.rows_once(SQL, &[]).await.unwrap_or_default();
        let told = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
        self.incarnation.get_or_init(|| told);
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.client.is_closed() && !self.is_open()
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Relaxed)
    }

    pub(super) fn set_present(&self) {
        self.present.store(true, Ordering::Relaxed);
    }

    /// Runs a statement that is prepared once for each session.
    pub(super) async fn rows(&self, sql: &str, values: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    /// Likewise; the first row, if there is one.
    pub(super) async fn row(&self, sql: &str, values: &[Param<'_>]) -> Result<Option<Row>, Failure> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Likewise; how many rows were changed.
    pub(super) async fn change(&self, sql: &str, values: &[Param<'_>]) -> Result<u64, Failure> {
        let statement = self.prepared(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// Runs a statement whose text is another each time.
    pub(super) async fn rows_once(&self, sql: &str, values: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
        Ok(self.client.query(sql, values).await?)
    }

    /// Runs statements without values.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.batch_execute(sql).await?)
    }

    pub(super) async fn begin(&self) -> Result<(), Failure> {
        self.open.store(true, Ordering::Relaxed);
        self.batch("BEGIN").await
    }

    pub(super) async fn commit(&self) -> Result<(), Failure> {
        self.batch("COMMIT").await?;
        self.open.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn rollback(&self) -> Result<(), Failure> {
        self.batch("ROLLBACK").await?;
        self.open.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn prepared(&self, sql: &str) -> Result<Statement, Failure> {
        let known = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}
