//! A, the audit trail: triggers that the proof puts into the queue's database copy every change of a job or task row,
//! so that transitions are seen and not only end states. Also the last state, and the health of the database.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::server::Psql;

mod postgres;
mod sqlite;

/// The database under test.
#[derive(Debug, Clone)]
pub enum Database {
    /// One file on this host.
    Sqlite(PathBuf),
    /// A server, for many hosts.
    Postgres(Psql),
}

/// A change of a job's row, or of one of its tasks'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The order in which they were committed.
    pub seq: i64,
    /// When, by the database's wall clock, in microseconds.
    pub t: i64,
    /// The job's id.
    pub job: String,
    /// Its round.
    pub round: u32,
    /// Its epoch.
    pub epoch: u64,
    /// What changed.
    pub what: Changed,
}

/// What a [`Change`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The job's row, as it is now.
    Job {
        /// The idempotency key.
        key: Option<String>,
        /// The status.
        status: String,
        /// A cancel that was asked for.
        cancel: Option<String>,
        /// The owner's slot and run-dir.
        owner: Option<(String, String)>,
        /// The end of the lease.
        lease: Option<i64>,
    },
    /// A task's row, as it is now.
    Task(TaskRow),
    /// A task's row was removed, as a new round does.
    TaskGone {
        /// The task.
        task: usize,
    },
}

/// A task's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The task.
    pub task: usize,
    /// The status.
    pub status: String,
    /// The newest attempt.
    pub attempt: u32,
    /// Retries spent.
    pub retries: u32,
    /// Attempts lost.
    pub losses: u32,
    /// Why it did not succeed.
    pub cause: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// The return code, or 128 + signal.
    pub code: Option<i32>,
    /// The recorded intent to stop the attempt.
    pub stopping: Option<String>,
    /// The task executor.
    pub pid: Option<i32>,
}

/// A job at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The id.
    pub job: String,
    /// The idempotency key.
    pub key: Option<String>,
    /// The status.
    pub status: String,
    /// The round.
    pub round: u32,
    /// Why it did not succeed.
    pub cause: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskRow>,
}

/// The health of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is wrong; empty = sound.
    pub problems: Vec<String>,
    /// Bytes of the WAL.
    pub wal: u64,
}

impl Database {
    /// The URL for `--db`.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(psql) => psql.0.clone(),
        }
    }

    /// The same database, through a proxy that listens there.
    #[must_use]
    pub fn url_through(&self, port: u16) -> String {
        let url = self.url();
        let host = url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).map(|(address, _)| address);
        host.map_or_else(|| url.clone(), |address| url.replacen(address, &format!("127.0.0.1:{port}"), 1))
    }

    /// Puts the triggers in.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn install(&self) -> Result<()> {
        match self {
            Self::Sqlite(path) => sqlite::install(path),
            Self::Postgres(psql) => postgres::install(psql),
        }
        .context("cannot install the audit trail")
    }

    /// The whole audit trail, in order.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>> {
        match self {
            Self::Sqlite(path) => sqlite::changes(path),
            Self::Postgres(psql) => postgres::changes(psql),
        }
        .context("cannot read the audit trail")
    }

    /// All jobs as they are now.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn jobs(&self) -> Result<Vec<JobEnd>> {
        match self {
            Self::Sqlite(path) => sqlite::jobs(path),
            Self::Postgres(psql) => postgres::jobs(psql),
        }
        .context("cannot read the jobs")
    }

    /// How many jobs are not terminal.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn open_jobs(&self) -> Result<u64> {
        match self {
            Self::Sqlite(path) => sqlite::open_jobs(path),
            Self::Postgres(psql) => postgres::open_jobs(psql),
        }
        .context("cannot count the jobs")
    }

    /// Whether the database is sound.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn health(&self) -> Result<Health> {
        match self {
            Self::Sqlite(path) => sqlite::health(path),
            Self::Postgres(psql) => postgres::health(psql),
        }
        .context("cannot check the database")
    }
}
