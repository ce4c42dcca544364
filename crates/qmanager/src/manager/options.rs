//! What a manager is told: everything is resolved, it reads no configuration and no environment.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use executor::Settings;
use serde::{Deserialize, Serialize};
use workflow_model::{ExecutorKind, QueueName};

use crate::layout::Layout;

/// A manager's whole configuration.
#[derive(Clone)]
pub struct Options {
    /// Its folders.
    pub layout: Layout,
    /// The queue, e.g. `sqlite:/var/lib/qmanager/queue.db`.
    pub db: String,
    /// The file with the database's password.
    pub password_file: Option<PathBuf>,
    /// The workers it keeps.
    pub pools: Vec<Pool>,
    /// Lease, beat and poll times.
    pub times: Times,
    /// The `qworker` program.
    pub qworker: PathBuf,
    /// The task executor's program, by executor.
    pub task_executors: BTreeMap<ExecutorKind, PathBuf>,
    /// What the worker's executors may take over from the caller's environment.
    pub ambient: BTreeMap<String, String>,
    /// `NOTIFY_SOCKET`: told when ready and when stopping (sd_notify).
    pub notify_socket: Option<PathBuf>,
    /// Whether a hangup ends us: not under `nohup`.
    pub hangup: bool,
    /// The umask of the caller: tasks get it.
    pub umask: u32,
    /// The level of our own log, as `-q`, `-v` say.
    pub log: String,
}

impl Options {
    /// Whether other hosts use the queue too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        job_queue::is_shared(&self.db)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("Options")
            .field("db", &job_queue::shown_url(&self.db))
            .field("pools", &self.pools)
            .finish_non_exhaustive()
    }
}

/// Workers of one queue on this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pool {
    /// The queue.
    pub qname: QueueName,
    /// Its executor.
    pub executor: ExecutorKind,
    /// Jobs at once.
    pub count: u32,
    /// Slots: task executors at once, over all workers of the pool.
    pub parallel: u32,
    /// What tasks get.
    pub settings: Settings,
    /// The job-file store, e.g. `fs:/var/lib/qmanager/jobs`.
    pub store: String,
    /// Which store that is, on a shared queue ([`job_queue::Claim::place`]).
    pub place: Option<String>,
}

/// Times; all have a roomy default and are made short by tests.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Times {
    /// How long a lease lasts without renewal (60 s).
    pub lease: Duration,
    /// The poll floor (1 s for SQLite, 5 s for PostgreSQL).
    pub poll: Duration,
    /// The first delay before a dead worker is restarted (0.1 s); doubles up to `backoff_max`.
    pub backoff: Duration,
    /// The longest such delay (30 s).
    pub backoff_max: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(1),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
        }
    }
}

impl Times {
    /// Leases are renewed, and workers beat, three times per lease.
    #[must_use]
    pub fn beat(&self) -> Duration {
        self.lease / 3
    }
}
