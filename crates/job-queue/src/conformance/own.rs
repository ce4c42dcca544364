//! A PostgreSQL of one test's own, for what cannot be done to the shared one ([`super::server`]): restarts, standbys,
//! certificates, a network of its own.
//!
//! It ends with its owner, also when the test process is killed: a watchdog waits for the end of a pipe.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// A running server.
#[derive(Debug)]
pub struct OwnServer {
    /// `127.0.0.1:PORT`; where the server listens elsewhere, its port counts.
    pub address: String,
    /// Its data, log and Unix socket.
    pub folder: PathBuf,
    port: u16,
    /// The last start's settings.
    options: String,
    within: Vec<String>,
    watchdog: Child,
}

impl OwnServer {
    /// Makes and starts one with these settings (`name=value`). `within`: a command that runs it elsewhere, e.g. `ip netns
    /// exec NAME`. `None` where there is no PostgreSQL: that is printed as a skip, and a failure with `CI=true`.
    pub fn start(settings: &[&str], within: &[&str]) -> Option<Self> {
        if super::server::programs().is_none() {
            super::server::missing("no PostgreSQL: install Debian's postgresql");
            return None;
        }
        let server = Self::prepared(settings, within);
        let data = server.data();
        let made = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"];
        server.run(server.tool("initdb").arg("--pgdata").arg(&data).args(made));
        // Hosts of other networks; a test that wants less writes its own.
        fs::write(
            data.join("pg_hba.conf"),
            "local all all trust\nlocal replication all trust\nhost all all all trust\n",
        )
        .unwrap();
        server.begin();
        Some(server)
    }

    /// A standby that streams from this one (`pg_basebackup -R`), read-only until [`promote`](Self::promote).
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = self.copied(&["-R"]);
        standby.begin();
        standby
    }

    /// A base backup of this one, not started yet.
    #[must_use]
    pub fn backup(&self) -> Self {
        self.copied(&[])
    }

    fn copied(&self, with: &[&str]) -> Self {
        let copy = Self::prepared(&[], &[]);
        let mut command = copy.tool("pg_basebackup");
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        copy.run(command.args(["--checkpoint=fast", "--no-sync", "-D"]).arg(copy.data()).args(with));
        copy
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        self.run(self.control().args(["promote", "-w"]));
    }

    /// Ends it: `fast` or `immediate` (as a crash).
    pub fn stop(&self, mode: &str) {
        self.run(self.control().args(["stop", "-w", "-m", mode]));
    }

    /// Starts it again after a [`stop`](Self::stop).
    pub fn begin(&self) {
        let mut command = self.control();
        command.arg("-l").arg(self.folder.join("log")).arg("-o").arg(&self.options);
        self.run(command.args(["start", "-w", "-t", "120"]));
    }

    /// Runs SQL as superuser, by the Unix socket; answers the first column of the last answer's rows.
    pub fn sql(&self, database: &str, sql: &str) -> Vec<String> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(&self.folder).port(self.port).user("postgres").dbname(database);
        super::server::ask(config, sql)
    }

    /// The URL of a database, for a superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@{}/{database}", self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of PostgreSQL's, to be run as the server's user.
    #[must_use]
    pub fn tool(&self, name: &str) -> Command {
        tool(&self.within, &super::server::programs().expect("BUG: looked for before").join(name))
    }

    /// A client program, as [`tool`](Self::tool), that is told where this server is.
    #[must_use]
    pub fn client(&self, name: &str) -> Command {
        let mut command = self.tool(name);
        command.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        command
    }

    /// Runs a command that must succeed; answers what it printed.
    pub fn run(&self, command: &mut Command) -> String {
        let done = command.current_dir(&self.folder).stdin(Stdio::null()).output().unwrap();
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let end = log.lines().rev().take(5).collect::<Vec<_>>();
        assert!(done.status.success(), "{command:?}: {}\n{end:?}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn prepared(settings: &[&str], within: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("qmanager-own-{}-{number}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        let within: Vec<String> = within.iter().map(ToString::to_string).collect();
        if let Some(user) = user() {
            let (uid, gid) = ids(user);
            std::os::unix::fs::chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut options = format!(
            "-p {port} -c unix_socket_directories={} -c fsync=off -c max_connections=60 -c shared_buffers=32MB",
            folder.display()
        );
        for setting in ["listen_addresses=127.0.0.1", "log_min_messages=fatal"].iter().chain(settings) {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        let stop = tool(&[], &super::server::programs().expect("BUG: looked for before").join("pg_ctl"));
        Self { address: format!("127.0.0.1:{port}"), watchdog: watchdog(&folder, &stop), folder, port, options, within }
    }

    fn control(&self) -> Command {
        let mut command = self.tool("pg_ctl");
        command.arg("-D").arg(self.data());
        command
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

/// The server refuses to be root.
fn user() -> Option<&'static str> {
    let passwords = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = passwords.lines().any(|line| line.starts_with("postgres:"));
    rustix::process::getuid().is_root().then_some(if known { "postgres" } else { "nobody" })
}

fn ids(user: &str) -> (u32, u32) {
    let passwords = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwords.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
    let mut numbers = line.split(':').skip(2).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "a test's own helper process")]
fn tool(within: &[String], program: &Path) -> Command {
    let mut words: Vec<&str> = within.iter().map(String::as_str).collect();
    if let Some(user) = user() {
        words.extend(["runuser", "-u", user, "--"]);
    }
    let mut words = words.into_iter();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.stdin(Stdio::null());
    command
}

/// Stops the server and removes its folder when our end of its standard input is closed, however that comes about.
#[expect(clippy::disallowed_methods, reason = "a test's own helper process")]
fn watchdog(folder: &Path, stop: &Command) -> Child {
    let script = "read -r _; folder=$1; shift; cd /; \"$@\" >/dev/null 2>&1; rm -rf \"$folder\"";
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script, "watchdog"]).arg(folder).arg(stop.get_program()).args(stop.get_args());
    command.arg("-D").arg(folder.join("data")).args(["-m", "immediate", "-w", "stop"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
