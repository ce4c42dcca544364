//! A host under test: one QManager with its own state-dir and configuration.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::{
    audit::Database,
    clock::{self, SECOND},
    engine::{Engine, IMAGE},
    process::{self, Process},
    task, witness,
};

/// The queue with the random jobs.
pub const WORK: &str = "work";
/// The queue whose short jobs measure how long a job waits.
pub const CONTROL: &str = "control";

/// What all hosts of a run have in common.
#[derive(Debug)]
pub struct Setting {
    /// The run's id.
    pub run: String,
    /// The run's folder; short, since sockets are in it.
    pub folder: PathBuf,
    /// The folder of the programs under test, and of this one.
    pub programs: PathBuf,
    /// Where the queue is.
    pub db: Database,
    /// The lease, in milliseconds.
    pub lease_ms: i64,
    /// Between TERM and KILL, in milliseconds.
    pub grace_ms: i64,
    /// Workers of queue `work`.
    pub workers: u32,
    /// Tasks at once on a host, in queue `work`.
    pub parallel: u32,
    /// The Docker engine that tasks run in; without it they are processes.
    pub engine: Option<Arc<Engine>>,
}

/// A host under test.
#[derive(Debug)]
pub struct Host {
    /// Its name, e.g. `h0`.
    pub name: String,
    setting: Arc<Setting>,
    daemon: Option<Child>,
    starts: u32,
}

impl Setting {
    /// `qmanager ARGS`, with nothing of our own environment.
    #[must_use]
    pub fn qmanager(&self, host: &str, args: &[&str]) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the proof starts the programs under test")]
        let mut command = Command::new(self.programs.join("qmanager"));
        command.arg("--config").arg(self.config(host)).args(args).stdin(Stdio::null()).current_dir(&self.folder);
        command.env_clear().env("HOME", self.folder.join("home")).env("LANG", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        command.env(process::MARKER, &self.run).env(task::HOST, host);
        command
    }

    /// The argv of a test task, up to its index.
    #[must_use]
    pub fn task(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        vec![text(self.programs.join("proof")), "task".into(), text(witness::path(&self.folder)), self.run.clone()]
    }

    /// What a test task's container has of this host; nothing where tasks are processes.
    #[must_use]
    pub fn volumes(&self) -> Vec<String> {
        let both = |path: PathBuf, how: &str| format!("{0}:{0}{how}", path.display());
        let engine = self.engine.as_ref();
        engine
            .map_or_else(Vec::new, |_| vec![both(self.programs.clone(), ":ro"), both(witness::path(&self.folder), "")])
    }

    /// All processes of the run that are not ours.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        process::all(&self.run, &self.folder)
    }

    fn config(&self, host: &str) -> PathBuf {
        self.folder.join(format!("{host}.toml"))
    }
}

impl Host {
    /// A host that is not started yet.
    ///
    /// # Errors
    /// Its configuration cannot be written.
    pub fn new(setting: Arc<Setting>, number: u32) -> Result<Self> {
        let url = setting.db.url();
        Self::with_queue(setting, number, &url)
    }

    /// The same, where the queue is to be reached by this URL.
    ///
    /// # Errors
    /// As [`Host::new`].
    pub fn with_queue(setting: Arc<Setting>, number: u32, url: &str) -> Result<Self> {
        let name = format!("h{number}");
        let host = Self { name, setting, daemon: None, starts: 0 };
        let Setting { folder, db, lease_ms, grace_ms, workers, parallel, .. } = &*host.setting;
        let docker = host.setting.engine.as_ref().map(|engine| {
            let (bin, log) = (&host.setting.programs, witness::path(folder));
            format!(
                "host = {:?}\nimage = {IMAGE:?}\nnetwork = \"none\"\nbinds_allowed = [{bin:?}, {log:?}]\n",
                engine.host()
            )
        });
        let (executor, docker) = match docker {
            Some(settings) => ("docker", format!("[executors.docker]\n{settings}")),
            None => ("shell", String::new()),
        };
        let config = format!(
            "state_dir = {state:?}\n[db]\nurl = {url:?}\n{files}[times]\nlease = \"{lease_ms}ms\"\npoll = \"1s\"\n\
             backoff = \"50ms\"\nbackoff_max = \"500ms\"\n[tasks]\ngrace = \"{grace_ms}ms\"\n\
             env = {{ {task_host} = {name:?} }}\n{docker}[executors.shell]\npass_env = [\"{marker}\", \"{task_host}\"]\n\
             [secrets]\ndir = {secrets:?}\nallow = {{ {WORK} = [\"*\"] }}\n\
             [[workers]]\nqname = \"{WORK}\"\nexecutor = \"{executor}\"\ncount = {workers}\nparallel = {parallel}\n\
             [[workers]]\nqname = \"{CONTROL}\"\nexecutor = \"{executor}\"\ncount = 1\nparallel = 1\n",
            name = host.name,
            state = host.state_dir(),
            files = match db {
                Database::Sqlite(_) => String::new(),
                // A queue belongs to one store: that all hosts see, as a mounted folder is.
                Database::Postgres(_) => format!("[jobfiles]\nurl = \"fs:{}\"\n", folder.join("jobs").display()),
            },
            secrets = folder.join("secrets"),
            marker = process::MARKER,
            task_host = task::HOST,
        );
        fs::create_dir_all(folder.join("home"))?;
        fs::write(host.setting.config(&host.name), config)?;
        Ok(host)
    }

    /// What outlives a stop.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.setting.folder.join(&self.name)
    }

    /// Where sockets, locks and leases are.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.state_dir().join("run")
    }

    /// What the daemon wrote.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.setting.folder.join(format!("{}.log", self.name))
    }

    /// Starts the daemon; does not wait until it is ready.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let log: File = OpenOptions::new().append(true).create(true).open(self.log())?;
        let mut command = self.setting.qmanager(&self.name, &["start", "--force"]);
        // Ctrl-C ends the run, and is no fault.
        command.stdout(log.try_clone()?).stderr(log).env("RUST_BACKTRACE", "1").process_group(0);
        self.daemon = Some(command.spawn().context("cannot start qmanager")?);
        self.starts += 1;
        Ok(())
    }

    /// Waits until the daemon says that it serves; `false` also when it ends instead.
    pub fn wait_ready(&mut self) -> bool {
        let said = |host: &Self| {
            let text = std::fs::read(host.run_dir().join("manager.json")).ok()?;
            let state: serde_json::Value = serde_json::from_slice(&text).ok()?;
            Some(state["process"]["pid"].as_i64() == host.pid().map(i64::from))
        };
        clock::until(20 * SECOND, || self.ended().is_some() || said(self).unwrap_or(false));
        self.pid().is_some()
    }

    /// The daemon's number while it is there.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.daemon.as_ref().and_then(|daemon| i32::try_from(daemon.id()).ok())
    }

    /// How the daemon ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.daemon.as_mut().and_then(|daemon| daemon.try_wait().ok().flatten());
        if status.is_some() {
            self.daemon = None;
        }
        status
    }

    /// Signals the daemon.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| process::signal(pid, signal))
    }

    /// Waits for the daemon's end; answers how it ended, or kills it after `limit` and answers `None`.
    pub fn wait(&mut self, limit: i64) -> Option<ExitStatus> {
        let mut status = None;
        clock::until(limit, || {
            status = status.or_else(|| self.ended());
            status.is_some() || self.daemon.is_none()
        });
        if let Some(mut daemon) = self.daemon.take() {
            // Killed and reaped: it has had its time.
            let _gone = daemon.kill();
            let _status = daemon.wait();
        }
        status
    }

    /// `qmanager stop ARGS`, without waiting for its own end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn ask_to_stop(&self, args: &[&str]) -> Result<Child> {
        let mut all = vec!["stop"];
        all.extend(args);
        let mut command = self.setting.qmanager(&self.name, &all);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.spawn()?)
    }

    /// The processes of this host with this beginning of their title.
    #[must_use]
    pub fn titled(&self, title: &str) -> Vec<Process> {
        let run_dir = self.run_dir();
        let ours =
            |process: &Process| process.title.starts_with(title) && process.title.contains(&*run_dir.to_string_lossy());
        self.setting.processes().into_iter().filter(ours).collect()
    }

    /// All processes of this host: the daemon, workers, task executors, tasks and what these left.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        let run_dir = self.run_dir();
        let mark = |process: &Process| process::variable(process.pid, task::HOST);
        let ours = |process: &Process| {
            process.title.contains(&*run_dir.to_string_lossy()) || mark(process).as_ref() == Some(&self.name)
        };
        self.setting.processes().into_iter().filter(ours).collect()
    }
}
