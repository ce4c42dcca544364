//! What every black-box test needs: a host of its own, programs run on it, waiting on conditions, a look at what is
//! left behind.
//!
//! A [`Host`] is a temporary folder with a home in it. Every program that a test starts gets that home and nothing of
//! the developer's, so tests run side by side. Processes of a host are found by their `HOME`, which tasks inherit too.

use std::{
    ffi::OsStr,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

pub(crate) use crate::program::{Done, Running};

/// Longest wait for something that should happen at once; generous, since tests share two cores.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The programs under test.
pub(crate) const QMANAGER: &str = env!("CARGO_BIN_EXE_qmanager");
pub(crate) const QWORKER: &str = env!("CARGO_BIN_EXE_qworker");
pub(crate) const TASK_EXECUTOR: &str = env!("CARGO_BIN_EXE_task-executor");
pub(crate) const TASK_EXECUTOR_SDK: &str = env!("CARGO_BIN_EXE_task-executor-sdk");

/// A machine as a test sees it.
#[derive(Debug)]
pub(crate) struct Host {
    folder: tempfile::TempDir,
    env: Vec<(String, String)>,
    within: Vec<String>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("qm").tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("home")).expect("a home");
        Self { folder, env: Vec::new(), within: Vec::new() }
    }

    /// A variable for all programs of this host, e.g. `QMANAGER__TASKS__GRACE`.
    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A command that starts all programs of this host elsewhere (in a namespace), by exec.
    pub(crate) fn within(mut self, words: &[&str]) -> Self {
        self.within = words.iter().map(ToString::to_string).collect();
        self
    }

    /// A folder for the test's own files; the programs' working directory.
    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir().join("home")
    }

    /// Where the programs of this host keep their state (said by the environment: root's default is the machine's).
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.home().join(".local/state/qmanager")
    }

    /// Writes a file below [`Host::dir`], making its folders.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(&path, text).expect("a file written");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        let path = self.dir().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Where its sockets, locks and leases are.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.state_dir().join("run")
    }

    /// A command with this host's environment, not yet started. No standard input unless the caller gives one.
    pub(crate) fn command<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, program: &str, args: I) -> Command {
        #[expect(clippy::disallowed_methods, reason = "black-box tests start the programs under test")]
        let mut command = Command::new(self.within.first().map_or(program, String::as_str));
        if !self.within.is_empty() {
            command.args(&self.within[1..]).arg(program);
        }
        command.args(args).current_dir(self.dir()).stdin(Stdio::null());
        command.env_clear().env("HOME", self.home()).env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.env("QMANAGER__STATE_DIR", self.state_dir());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        command.env("RUST_BACKTRACE", "1");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `qmanager ARGS` to its end.
    pub(crate) fn qmanager<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Done {
        Done::from(self.command(QMANAGER, args).output().expect("qmanager starts"))
    }

    /// Runs `task-executor ARGS` to its end.
    pub(crate) fn task_executor<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, args: I) -> Done {
        Done::from(self.command(TASK_EXECUTOR, args).output().expect("task-executor starts"))
    }

    /// Runs `qmanager ARGS` with a text on its standard input.
    pub(crate) fn qmanager_with_stdin(&self, args: &[&str], stdin: &[u8]) -> Done {
        let mut command = self.command(QMANAGER, args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("qmanager starts");
        // A program that refuses early may not read all of it: no error of the test.
        let _unread = child.stdin.take().expect("BUG: stdin was piped").write_all(stdin);
        Done::from(child.wait_with_output().expect("qmanager ends"))
    }

    /// Starts `qmanager ARGS` in the background.
    pub(crate) fn spawn(&self, args: &[&str]) -> Running {
        Running::start(self, self.command(QMANAGER, args))
    }

    /// Starts any command in the background.
    pub(crate) fn background(&self, command: Command) -> Running {
        Running::start(self, command)
    }

    /// Starts the daemon and waits until it is ready (`start -d` returns, or here: `status` answers).
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let all: Vec<&str> = ["start"].into_iter().chain(args.iter().copied()).collect();
        let daemon = self.spawn(&all);
        let ready = || {
            let done = self.qmanager(["status", "--json"]);
            let text = done.stdout.lines().next().unwrap_or_default().to_owned();
            done.code() == 0 && serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|v| has_worker(&v))
        };
        until("the daemon serves", ready);
        daemon
    }

    /// Submits a workflow; answers the job's id.
    pub(crate) fn submit(&self, args: &[&str]) -> String {
        let all: Vec<&str> = ["submit"].into_iter().chain(args.iter().copied()).collect();
        self.qmanager(all).success().stdout.trim().to_owned()
    }

    /// Processes that carry this host's home in their environment (the programs, and everything that tasks started) or
    /// in their title (task executors, whose environment is empty).
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("HOME={}", self.home().display());
        let executor = format!("task-executor: {}", self.home().display());
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let pids =
            fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let title = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let marked = environment.split(|byte| *byte == 0).any(|line| line == mark.as_bytes());
            marked || String::from_utf8_lossy(&title).starts_with(&executor)
        };
        let shown = |pid: i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            (pid, String::from_utf8_lossy(&line).replace('\0', " "))
        };
        pids.filter(|pid| *pid != own).filter(ours).map(shown).collect()
    }

    /// Waits until no process of this host is left, then looks for what only a running host may have: anything in the
    /// run-dir, reports and temporary folders of jobs.
    pub(crate) fn assert_nothing_left(&self) {
        until("all processes of the test have ended", || self.processes().is_empty());
        let mut left = Vec::new();
        walk(&self.state_dir(), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.ends_with(".ipc") || name.ends_with(".tmp") || name.starts_with(".tmp") {
                left.push(path.to_path_buf());
            }
        });
        walk(&self.run_dir(), &mut |path| left.push(path.to_path_buf()));
        walk(&self.state_dir().join("jobs"), &mut |path| {
            if path.ends_with("reports") || path.ends_with("tmp") {
                left.push(path.to_path_buf());
            }
        });
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// Processes whose title begins like this, e.g. `qworker: `.
    pub(crate) fn titled(&self, title: &str) -> Vec<i32> {
        self.processes().into_iter().filter(|(_, line)| line.starts_with(title)).map(|(pid, _)| pid).collect()
    }

    /// Ends a process that may have ended by itself.
    pub(crate) fn kill(&self, pid: i32) {
        let _gone = rustix::process::kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
    }

    /// What `status JOB --tasks --json` says.
    pub(crate) fn job(&self, job: &str) -> serde_json::Value {
        self.qmanager(["status", job, "--tasks", "--json"]).success().json().remove(0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Again until none is left: one may have started another between the look and the kill. Zombies of ours that
        // the test has yet to reap have no environment any more, and are not seen.
        let deadline = now() + DEADLINE;
        loop {
            let left = self.processes();
            if left.is_empty() || now() > deadline {
                break;
            }
            for pid in left.into_iter().filter_map(|(pid, _)| Pid::from_raw(pid)) {
                // It may have ended in between: nothing to do then.
                let _gone = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}

/// Waits for a condition, at most [`DEADLINE`]: the way tests synchronise.
#[track_caller]
pub(crate) fn until(what: &str, condition: impl FnMut() -> bool) {
    until_within(DEADLINE, what, condition);
}

/// Waits for a condition that must hold within a time of its own.
#[track_caller]
pub(crate) fn until_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now() + limit;
    while !condition() {
        assert!(now() < deadline, "not within {limit:?}: {what}");
        pause();
    }
}

/// The time, for measuring how long something took.
#[expect(clippy::disallowed_methods, reason = "deadlines of tests")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A fixture of the repository, by its path from the root.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("bins has a parent").join(path)
}

/// Copies a folder of the repository, so that a test may write into it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Tells that a test cannot do its work on this machine, and why; `cargo xtask test` counts it.
pub(crate) fn skipped(reason: &str) {
    tell(&format!("skipped: {reason}"));
}

#[expect(clippy::print_stderr, reason = "a test tells what it saw")]
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

/// Between two looks at a condition.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// `status --json` of a host lists its workers.
fn has_worker(status: &serde_json::Value) -> bool {
    status["daemon"]["workers"].as_array().is_some_and(|workers| !workers.is_empty())
}

fn walk(dir: &Path, each: &mut impl FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        each(&entry.path());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), each);
        }
    }
}
