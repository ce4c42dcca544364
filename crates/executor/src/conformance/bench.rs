//! What a case works with: folders, task executors in processes of their own, and the means to look and to wait.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    Abilities, Subject,
    child::{Answer, FLAG, Order, What},
};
use crate::{Captured, Handle, Outcome, Shutdown, TaskSpec};

/// How long a case waits for what must happen. Far above what is needed: nothing waits it out unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The grace period of all cases: tasks that obey need some milliseconds of it.
const GRACE: Duration = Duration::from_millis(700);

/// One case's world.
#[derive(Debug)]
pub struct Bench {
    subject: Subject,
    adapt: fn(&mut TaskSpec),
    dir: TempDir,
    orders: AtomicU32,
}

/// A task whose executor runs, or has run.
#[derive(Debug)]
pub struct Running {
    executor: Child,
    folder: PathBuf,
    since: Instant,
}

/// A task that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// What is known of its standard output.
    pub out: Captured,
    /// What is known of its standard error.
    pub err: Captured,
    /// The log of its standard output; empty if there is none.
    pub out_log: Vec<u8>,
    /// The log of its standard error; empty if there is none.
    pub err_log: Vec<u8>,
    /// From the order to the executor's end.
    pub took: Duration,
}

impl Ended {
    /// The log of standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out_log).into_owned()
    }
}

impl Bench {
    pub(super) fn new(subject: Subject, adapt: fn(&mut TaskSpec)) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("files"))?;
        Ok(Self { subject, adapt, dir, orders: AtomicU32::new(0) })
    }

    /// The executor.
    #[must_use]
    pub fn subject(&self) -> Subject {
        self.subject
    }

    /// What the executor can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.subject.abilities
    }

    /// The job files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.dir.path().join("files")
    }

    /// A task that runs a text with `sh -ec`.
    #[must_use]
    pub fn script(&self, text: &str) -> TaskSpec {
        self.task(&["/bin/sh", "-ec", text])
    }

    /// A task with this argv.
    #[must_use]
    pub fn task(&self, argv: &[&str]) -> TaskSpec {
        let path = ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned());
        let mut spec = TaskSpec {
            argv: Some(argv.iter().map(|argument| (*argument).to_owned()).collect()),
            env: vec![path],
            job_files: self.files(),
            grace: GRACE,
            marker: self.marker(),
            ..TaskSpec::default()
        };
        (self.adapt)(&mut spec);
        spec
    }

    /// Runs a task to its end.
    ///
    /// # Errors
    /// The executor's process failed or hung.
    pub fn run(&self, spec: &TaskSpec) -> Result<Ended, Failed> {
        self.launch(spec)?.end()
    }

    /// Starts a task in an executor process.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn launch(&self, spec: &TaskSpec) -> Result<Running, Failed> {
        self.order(spec, What::Run, None)
    }

    /// Starts a task that somebody wants to end already.
    ///
    /// # Errors
    /// The process could not be started.
    pub fn launch_stopped(&self, spec: &TaskSpec, how: Shutdown) -> Result<Running, Failed> {
        self.order(spec, What::Run, Some(how))
    }

    /// Waits for a task from a new executor process.
    ///
    /// # Errors
    /// The process failed or hung.
    pub fn attach(&self, spec: &TaskSpec, handle: &Handle) -> Result<Ended, Failed> {
        self.order(spec, What::Attach(handle.clone()), None)?.end()
    }

    /// Whether something of a task runs, seen from another process.
    ///
    /// # Errors
    /// The process failed or hung.
    pub fn describe(&self, spec: &TaskSpec, handle: &Handle) -> Result<bool, Failed> {
        match self.order(spec, What::Describe(handle.clone()), None)?.answer()? {
            Answer::Described { running, .. } => Ok(running),
            other => Err(format!("not an answer to describe: {other:?}").into()),
        }
    }

    /// Ends a task from another process.
    ///
    /// # Errors
    /// It could not be ended, or the process failed or hung.
    pub fn stop(&self, spec: &TaskSpec, handle: &Handle, how: Shutdown) -> Result<(), Failed> {
        match self.order(spec, What::Stop(handle.clone(), how), None)?.answer()? {
            Answer::Stopped(stopped) => Ok(stopped?),
            other => Err(format!("not an answer to stop: {other:?}").into()),
        }
    }

    /// The command that is this test program as a task executor, for cases that start it in a strange way.
    ///
    /// # Errors
    /// This program's path is not known.
    #[expect(clippy::disallowed_methods, reason = "the suite starts its task executors itself")]
    pub fn executor_command(&self) -> Result<Command, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        Ok(command)
    }

    /// As [`Bench::launch`], by a command of the case's own (see [`Bench::executor_command`]).
    ///
    /// # Errors
    /// The process could not be started.
    pub fn launch_by(&self, command: &mut Command, spec: &TaskSpec) -> Result<Running, Failed> {
        self.order_by(command, spec, What::Run, None)
    }

    /// No process of any of this case's tasks is left on this host.
    pub(super) fn nothing_left(&self) -> Result<(), Failed> {
        match self.left().first() {
            Some(pid) => Err(format!("process {pid} is left").into()),
            None => Ok(()),
        }
    }

    fn left(&self) -> Vec<i32> {
        let marker = self.marker();
        let marked = |pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ.split(|&byte| byte == 0).any(|entry| entry == marker.as_bytes())
        };
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.filter(|pid| runs(*pid)).filter(marked).collect()
    }

    fn marker(&self) -> String {
        format!("QM_MARK={}", self.dir.path().display())
    }

    fn order(&self, spec: &TaskSpec, what: What, stop_first: Option<Shutdown>) -> Result<Running, Failed> {
        self.order_by(&mut self.executor_command()?, spec, what, stop_first)
    }

    fn order_by(
        &self,
        command: &mut Command,
        spec: &TaskSpec,
        what: What,
        stop_first: Option<Shutdown>,
    ) -> Result<Running, Failed> {
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        let folder = self.dir.path().join(format!("order-{number}"));
        fs::create_dir(&folder)?;
        let order = Order { what, spec: spec.clone(), folder: folder.clone(), stop_first };
        let since = now();
        let mut executor = command.spawn()?;
        let mut stdin = executor.stdin.take().ok_or("no standard input")?;
        stdin.write_all(&serde_json::to_vec(&order)?)?;
        drop(stdin);
        Ok(Running { executor, folder, since })
    }
}

impl Drop for Bench {
    /// A case that fails leaves nothing behind either.
    fn drop(&mut self) {
        for pid in self.left().into_iter().filter_map(Pid::from_raw) {
            kill_process(pid, Signal::KILL).ok();
        }
    }
}

impl Running {
    /// Finds the task again; waits until it is launched.
    ///
    /// # Errors
    /// It was not launched.
    pub fn handle(&self) -> Result<Handle, Failed> {
        let path = self.folder.join("handle");
        until("the handle is written", || path.exists())?;
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }

    /// The executor's process number.
    #[must_use]
    pub fn executor_pid(&self) -> u32 {
        self.executor.id()
    }

    /// Where logs and handle are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The log of standard output so far.
    #[must_use]
    pub fn out_so_far(&self) -> Vec<u8> {
        fs::read(self.folder.join("out")).unwrap_or_default()
    }

    /// Waits until the task has written this to standard output.
    ///
    /// # Errors
    /// It does not.
    pub fn says(&self, text: &str) -> Result<(), Failed> {
        until(&format!("the task says {text:?}"), || String::from_utf8_lossy(&self.out_so_far()).contains(text))
    }

    /// Asks the executor to stop its task; the second time to kill it.
    ///
    /// # Errors
    /// The executor is gone.
    pub fn ask_to_stop(&self) -> Result<(), Failed> {
        self.signal(Signal::TERM)
    }

    /// Kills the executor, and it alone.
    ///
    /// # Errors
    /// It is gone already.
    pub fn kill_executor(&mut self) -> Result<(), Failed> {
        self.executor.kill()?;
        self.executor.wait()?;
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The executor failed or hung.
    pub fn end(self) -> Result<Ended, Failed> {
        let (folder, since) = (self.folder.clone(), self.since);
        let Answer::Ended { outcome, out, err } = self.answer()? else { return Err("not an answer to run".into()) };
        let log = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        Ok(Ended { outcome, out, err, out_log: log("out"), err_log: log("err"), took: now() - since })
    }

    fn answer(mut self) -> Result<Answer, Failed> {
        let mut status = None;
        let ended = until("the executor ends", || {
            status = self.executor.try_wait().ok().flatten();
            status.is_some()
        });
        if let Err(error) = ended {
            self.kill_executor()?;
            return Err(error);
        }
        let answer = fs::read(self.folder.join("answer")).map_err(|_| format!("the executor failed: {status:?}"))?;
        Ok(serde_json::from_slice(&answer)?)
    }

    fn signal(&self, signal: Signal) -> Result<(), Failed> {
        let pid = Pid::from_raw(i32::try_from(self.executor.id())?).ok_or("no process number")?;
        Ok(kill_process(pid, signal)?)
    }
}

/// Waits until something holds.
///
/// # Errors
/// It does not within half a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), Failed> {
    let deadline = now() + PATIENCE;
    while !holds() {
        if now() > deadline {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// The number that a task has written to a job file; waits for it.
///
/// # Errors
/// It does not come.
pub(super) fn number_in(path: &Path) -> Result<i32, Failed> {
    let read = || fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok();
    until(&format!("there is a number in {}", path.display()), || read().is_some())?;
    read().ok_or_else(|| "the number is gone".into())
}

/// Whether a process runs on this host (one that has ended but was not waited for does not).
pub(super) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}

#[expect(clippy::disallowed_methods, reason = "the suite measures how long executors take")]
fn now() -> Instant {
    Instant::now()
}
