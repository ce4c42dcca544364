//! A PostgreSQL server of the run's own, which may be restarted and killed; and `psql`, the only way in which the proof
//! speaks to it.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// The database of a run.
const NAME: &str = "qm";
/// The user that the server runs as where we are root, which it refuses.
const USER: &str = "postgres";

/// A server, stopped at the end.
#[derive(Debug)]
pub struct Server {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
}

/// How to reach a database with `psql`.
#[derive(Debug, Clone)]
pub struct Psql(pub String);

impl Server {
    /// Makes and starts one, with its data in a new folder.
    ///
    /// # Errors
    /// There is no PostgreSQL on this machine, or it does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        let bin = find_programs()?;
        fs::create_dir_all(folder)?;
        let port = free_port()?;
        let server = Self { bin, data: folder.join("data"), port };
        if rustix::process::getuid().is_root() {
            ensure!(command("chown").arg(USER).arg(folder).status()?.success(), "there is no user {USER}");
        }
        let data = server.data.to_string_lossy().into_owned();
        server.run("initdb", &["-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])?;
        server.up()?;
        server.psql_of("postgres").run(&format!("CREATE DATABASE {NAME} TEMPLATE template0"))?;
        Ok(server)
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{NAME}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An empty database of its own for one of several runs.
    ///
    /// # Errors
    /// The server refuses.
    pub fn database(&self, name: &str) -> Result<Psql> {
        self.psql_of("postgres").run(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))?;
        Ok(self.psql_of(name))
    }

    /// Ends it without a goodbye and starts it again: what was committed is recovered.
    ///
    /// # Errors
    /// It does not start again.
    pub fn crash_and_restart(&self) -> Result<()> {
        let data = self.data.to_string_lossy().into_owned();
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"])?;
        self.up()
    }

    fn up(&self) -> Result<()> {
        let data = self.data.to_string_lossy().into_owned();
        let log = self.data.with_extension("log").to_string_lossy().into_owned();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=100 -c fsync=off",
            self.port
        );
        self.run("pg_ctl", &["-D", &data, "-w", "-t", "60", "-l", &log, "-o", &options, "start"])
    }

    fn psql_of(&self, database: &str) -> Psql {
        Psql(format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port))
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let mut command = if rustix::process::getuid().is_root() {
            let mut as_user = command("runuser");
            as_user.args(["-u", USER, "--"]).arg(self.bin.join(program));
            as_user
        } else {
            command(self.bin.join(program))
        };
        let status = command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "{program} ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data.to_string_lossy().into_owned();
        // At the end of the run its data is of no use to anyone.
        self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]).ok();
    }
}

impl Psql {
    /// Runs SQL; answers its output, a line a row.
    ///
    /// # Errors
    /// The server is not to be reached, or refuses.
    pub fn run(&self, sql: &str) -> Result<String> {
        let output = self.command(sql).output().context("cannot run psql")?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs SQL that lasts.
    ///
    /// # Errors
    /// psql cannot be started.
    pub fn start(&self, sql: &str) -> Result<Child> {
        Ok(self.command(sql).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    fn command(&self, sql: &str) -> Command {
        let mut command = command("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.0, "-c", sql]).stdin(Stdio::null());
        command.process_group(0);
        command
    }
}

fn find_programs() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .context("there is no PostgreSQL in /usr/lib/postgresql: install Debian's `postgresql`")?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().context("there is no `initdb` in /usr/lib/postgresql")
}

/// One that was free a moment ago.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[expect(clippy::disallowed_methods, reason = "the proof starts the server under test")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
