//! A place to measure on: a temporary home, the release programs, a daemon, a look at `/proc`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::sample;
use crate::{
    command::{Background, Cmd},
    workspace::Workspace,
};

/// Removed at the end, with every process that carries its home.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) folder: PathBuf,
    programs: BTreeMap<String, PathBuf>,
}

/// A daemon on the ground; stopped at the end.
#[derive(Debug)]
pub(crate) struct Daemon<'a> {
    ground: &'a Ground,
    process: Option<Background>,
}

/// A process as `/proc` tells it.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
}

impl Ground {
    pub(crate) fn prepare(workspace: &Workspace) -> Result<Self> {
        let programs = workspace.build("bins", &["--bins"], true)?;
        let folder = std::env::temp_dir().join(format!("qmbench-{}", std::process::id()));
        fs::create_dir_all(folder.join("home"))?;
        Ok(Self { folder, programs })
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().context("BUG: a path in a folder")?)?;
        fs::write(&path, text)?;
        Ok(path)
    }

    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        self.programs.get(name).map(PathBuf::as_path).with_context(|| format!("the build made no `{name}`"))
    }

    /// A program with the home of this ground and nothing else.
    pub(crate) fn cmd(&self, program: impl AsRef<Path>) -> Cmd {
        let cmd = Cmd::new(program.as_ref()).clean_env().dir(&self.folder).without_stdin();
        cmd.env("HOME", self.home()).env("QMANAGER__STATE_DIR", self.home().join("state"))
    }

    pub(crate) fn qmanager(&self) -> Result<Cmd> {
        Ok(self.cmd(self.program("qmanager")?))
    }

    /// Runs to the end, output thrown away; it must succeed. Answers the time.
    pub(crate) fn time(&self, cmd: Cmd) -> Result<Duration> {
        let (ok, took) = sample::timed(|| cmd.quiet(&self.folder.join("last-errors"))?.ok())?;
        if !ok {
            let errors = fs::read_to_string(self.folder.join("last-errors")).unwrap_or_default();
            bail!("a measured program failed:\n{}", errors.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        }
        Ok(took)
    }

    /// Standard output of a program that must succeed.
    pub(crate) fn read(&self, cmd: Cmd) -> Result<String> {
        cmd.errors_to(&self.folder.join("last-errors"))?.read()
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// The queue of a daemon on this ground.
    pub(crate) fn database(&self) -> PathBuf {
        self.home().join("state/queue.db")
    }

    /// All processes that carry this ground's home in their environment or, like task executors, in their title.
    pub(crate) fn processes(&self) -> Vec<Process> {
        let mark = format!("HOME={}", self.home().display());
        let executor = format!("task-executor: {}", self.home().display());
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let ours = |pid: &u32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes())
                || title.starts_with(executor.as_bytes())
        };
        let named = |pid: u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Process { pid, name: name.trim_end().to_owned() }
        };
        pids.filter(ours).map(named).collect()
    }

    /// Starts a daemon and waits until a worker serves.
    pub(crate) fn daemon(&self, args: &[&str]) -> Result<Daemon<'_>> {
        let cmd = self.qmanager()?.arg("start").args(args).quiet(&self.folder.join("daemon-errors"))?;
        let daemon = Daemon { ground: self, process: Some(cmd.background()?) };
        self.until("the daemon serves", || self.processes().iter().any(|process| process.name == "qworker"))?;
        Ok(daemon)
    }

    pub(crate) fn until(&self, what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
        let start = sample::now();
        while !condition() {
            ensure!(start.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Those that are killed may have started others a moment ago.
        let killed = self.until("all processes have ended", || {
            let left = self.processes();
            for process in &left {
                Cmd::new("kill").args(["-KILL", &process.pid.to_string()]).answers();
            }
            left.is_empty()
        });
        if let Err(error) = killed {
            eprintln!("{error:#}");
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Ok(cmd) = self.ground.qmanager() {
            cmd.args(["stop", "--now"]).answers();
        }
        if let Some(process) = self.process.take() {
            process.wait();
        }
    }
}

/// A figure of `/proc/PID/status` in MiB, e.g. `VmRSS`.
pub(crate) fn mib(pid: u32, field: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Processor time that a process has used, in seconds; Linux counts it in hundredths for user space.
pub(crate) fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}
