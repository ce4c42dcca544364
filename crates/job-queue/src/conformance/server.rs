//! A real PostgreSQL for tests: one for all test processes of a checkout, a database for each test.
//!
//! `.ci/postgres` starts it when the first test needs it. A test process holds a shared flock as long as it lives, however
//! it ends; the server is stopped and its folder removed some seconds after the last one is gone.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// Where its files are, and the users' lock.
    folder: PathBuf,
    _using: File,
}

/// A database of its own, removed at the end.
#[derive(Debug)]
pub struct Database {
    /// Its name.
    pub name: String,
    server: &'static Server,
}

impl Server {
    /// The server, or `None` where there is no PostgreSQL: then the reason is printed as a skip. With `CI=true` that is
    /// a failure.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
        match SERVER.get_or_init(start) {
            Ok(server) => Some(server),
            Err(reason) => {
                missing(reason);
                None
            }
        }
    }

    /// Makes an empty database.
    pub fn database(&'static self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Database { name, server: self }
    }

    /// Runs SQL in a database, as superuser; answers the first column of the last answer's rows.
    pub fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        let url = format!("postgres://postgres@{}/{database}", self.address);
        ask(url.parse().expect("BUG: our own URL"), sql)
    }

    /// The server's own folder: its data is in `data`, its Unix socket here.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Database {
    /// Its URL, for a superuser.
    pub fn url(&self) -> String {
        self.url_at(&self.server.address)
    }

    /// Its URL by way of another address (a proxy's).
    pub fn url_at(&self, address: &str) -> String {
        format!("postgres://postgres@{address}/{}", self.name)
    }

    /// The address of its server.
    pub fn address(&self) -> &str {
        &self.server.address
    }

    /// Runs SQL in it; see [`Server::sql`].
    pub fn sql(&self, sql: &str) -> Vec<String> {
        self.server.sql(&self.name, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// Runs SQL as whoever a configuration says; answers the first column of the last answer's rows.
pub(super) fn ask(config: tokio_postgres::Config, sql: &str) -> Vec<String> {
    let run = async move {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.unwrap();
        drop(client);
        connection.await.unwrap().unwrap();
        let rows = answer.iter().filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
            _ => None,
        });
        rows.collect()
    };
    // A thread of its own: the caller may be within a runtime.
    std::thread::scope(|scope| {
        let work =
            scope.spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run));
        work.join().unwrap()
    })
}

/// Where PostgreSQL's programs are: on the path, or where Debian has them.
pub(super) fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).find_map(|folder| fs::canonicalize(folder.join("initdb")).ok());
    let on_path = on_path.and_then(|initdb| Some(initdb.parent()?.to_path_buf()));
    on_path.or_else(|| {
        let versions =
            fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
        versions.filter(|bin| bin.join("initdb").exists()).max()
    })
}

/// Tells that a test cannot do its work here: a failure with `CI=true`, else a skip that is counted.
pub fn missing(reason: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(!ci, "with CI=true this must be there: {reason}");
    skip(reason);
}

#[expect(clippy::print_stdout, reason = "a skip must be seen, and is counted by what it prints")]
fn skip(reason: &str) {
    println!("skipped: {reason}");
}

fn start() -> Result<Server, String> {
    let checkout = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let name = checkout.canonicalize().map_err(|e| e.to_string())?.as_os_str().len();
    let inode = fs::metadata(checkout).map_err(|e| e.to_string())?.ino();
    let uid = rustix::process::getuid().as_raw();
    let folder = std::env::temp_dir().join(format!("qmanager-postgres-{uid}-{inode:x}{name:x}"));
    let _starting = starting(&folder.with_extension("lock")).map_err(|e| format!("cannot lock: {e}"))?;
    if !folder.join("address").exists() || !answers(&folder) {
        // What a killed watchdog left.
        drop(fs::remove_dir_all(&folder));
        run(&checkout.join(".ci/postgres"), &folder)?;
    }
    let using = File::open(folder.join("users")).map_err(|e| e.to_string())?;
    flock(&using, FlockOperation::LockShared).map_err(|e| e.to_string())?;
    let address = fs::read_to_string(folder.join("address")).map_err(|e| e.to_string())?;
    Ok(Server { address: address.trim().into(), folder, _using: using })
}

fn answers(folder: &Path) -> bool {
    let address = fs::read_to_string(folder.join("address")).unwrap_or_default();
    std::net::TcpStream::connect(address.trim()).is_ok()
}

#[expect(clippy::disallowed_methods, reason = "a test's own helper process")]
fn run(script: &Path, folder: &Path) -> Result<(), String> {
    let done = Command::new(script).arg(folder).output().map_err(|e| format!("{}: {e}", script.display()))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

/// The lock under which the server is started and ended; its file may be removed by whoever ends it.
fn starting(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        if fs::metadata(path).is_ok_and(|there| there.ino() == file.metadata().map_or(0, |ours| ours.ino())) {
            return Ok(file);
        }
    }
}
