//! What short runs stand on: the programs under test, and a queue of its own for each run, in a file or in a database of
//! the one server that they share.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    audit::Database,
    host::{Host, Setting},
    server::Server,
    soak::{self, Form},
};

/// A kind of queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// One file.
    Sqlite,
    /// A server.
    Postgres,
}

/// The programs, and the server if there is to be one.
#[derive(Debug)]
pub struct Ground {
    /// The folder of the programs under test.
    pub programs: PathBuf,
    /// On which kinds of queue the runs are made.
    pub backends: Vec<Backend>,
    server: Option<Server>,
    folder: PathBuf,
}

impl Ground {
    /// `db`: `sqlite`, `postgres` or `both`.
    ///
    /// # Errors
    /// It is none of these, or there is no server to be started.
    pub fn prepare(programs: PathBuf, db: &str) -> Result<Self> {
        let backends = match db {
            "sqlite" => vec![Backend::Sqlite],
            "postgres" => vec![Backend::Postgres],
            "both" => vec![Backend::Sqlite, Backend::Postgres],
            other => anyhow::bail!("`--db {other}`: it is sqlite, postgres or both"),
        };
        let folder = std::env::temp_dir().join(format!("qm-server-{}", std::process::id()));
        let wanted = backends.contains(&Backend::Postgres);
        let server = wanted.then(|| Server::start(&folder)).transpose()?;
        Ok(Self { programs, backends, server, folder })
    }

    /// A run's setting, with its database.
    ///
    /// # Errors
    /// Its folder or database cannot be made.
    pub fn set_up(&self, form: &Form, backend: Backend) -> Result<Arc<Setting>> {
        let mut setting = soak::set_up(form)?;
        if backend == Backend::Postgres {
            let server = self.server.as_ref().context("BUG: a server is prepared")?;
            let name = form.folder.file_name().context("the folder has no name")?;
            setting.db = Database::Postgres(server.database(&name.to_string_lossy())?);
        }
        Ok(Arc::new(setting))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(self.server.take());
        // What it held is of no use to anyone.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

impl Backend {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Makes the queue, if no daemon does that by itself, and puts the audit trail in. The configuration of `h0` is there.
///
/// # Errors
/// The database cannot be made or written.
pub fn before_the_start(setting: &Setting) -> Result<()> {
    if matches!(setting.db, Database::Postgres(_)) {
        let made = setting.qmanager("h0", &["queue", "migrate"]).output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "the queue's database cannot be made: {}", said.trim());
        setting.db.install()?;
    }
    Ok(())
}

/// Puts the audit trail into a file that the daemon has made.
///
/// # Errors
/// It cannot be written.
pub fn after_the_start(setting: &Setting) -> Result<()> {
    if matches!(setting.db, Database::Sqlite(_)) {
        setting.db.install()?;
    }
    Ok(())
}

/// Waits until a host serves.
///
/// # Errors
/// It does not.
pub fn serves(host: &mut Host, folder: &Path) -> Result<()> {
    ensure!(host.wait_ready(), "the daemon does not start; see its log in {}", folder.display());
    Ok(())
}
