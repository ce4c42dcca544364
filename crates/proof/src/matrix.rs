//! The crash matrix: at each point in the life of a job (C1 to C17), each of the programs is killed, or stopped past the
//! lease, or what was just done seems to have failed. One black-box run each, judged by the checker.
//!
//! The programs must be built with the feature `failpoints`.

use std::{fs, path::PathBuf, process::Stdio, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{
    checker,
    clock::{self, SECOND},
    dice::Dice,
    evidence::{About, Folder},
    ground::{self, Backend, Ground},
    history::{Answer, Request, What},
    host::{Host, Setting, WORK},
    nemesis::{self, Fault, Kind},
    plan::JobPlan,
    process, soak,
};

/// The points that lie in a client.
const CLIENT: std::ops::RangeInclusive<u8> = 1..=3;
/// The points at which the answer of the queue can be lost.
const ANSWERS: &[u8] = &[3, 4, 14, 17];
/// How long a program may take to come to a point.
const REACH: i64 = 10 * SECOND;
/// How long a job may take to end, whatever happened.
const END: i64 = 40 * SECOND;
const LEASE_MS: i64 = 2_000;
const GRACE_MS: i64 = 500;

/// Which program something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The daemon; at the points of a client, the client.
    Manager,
    /// The worker that has the job.
    Worker,
    /// The task executor that is at the point, or another one.
    Executor,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// kill -9.
    Abort,
    /// SIGSTOP for two leases, then SIGCONT.
    Pause,
    /// What was just done seems to have failed.
    Fail,
}

/// One run of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The number of the point.
    pub point: u8,
    /// Whom it happens to.
    pub target: Target,
    /// What happens.
    pub action: Action,
    /// On which kind of queue.
    pub backend: Backend,
}

/// What came of a cell.
#[derive(Debug)]
pub enum Outcome {
    /// All invariants held.
    Held,
    /// There is nobody there whom it could happen to.
    DoesNotApply,
    /// What did not hold, and where the evidence is.
    Failed(Vec<String>, PathBuf),
}

/// All cells of a kind of queue.
#[must_use]
pub fn cells(backend: Backend) -> Vec<Cell> {
    let mut cells = Vec::new();
    for point in 1..=17 {
        for target in [Target::Manager, Target::Worker, Target::Executor] {
            for action in [Action::Abort, Action::Pause] {
                cells.push(Cell { point, target, action, backend });
            }
        }
        if ANSWERS.contains(&point) {
            let target = if CLIENT.contains(&point) { Target::Manager } else { Target::Worker };
            cells.push(Cell { point, target, action: Action::Fail, backend });
        }
    }
    cells
}

/// Makes one run.
///
/// # Errors
/// The run could not be made.
pub fn run(cell: Cell, seed: u64, ground: &Ground, folder: PathBuf) -> Result<Outcome> {
    let form = soak::Form {
        run: format!("{}-{seed}", cell.name()),
        programs: ground.programs.clone(),
        folder: folder.clone(),
        lease_ms: LEASE_MS,
        grace_ms: GRACE_MS,
        workers: 2,
        parallel: 2,
    };
    let setting = ground.set_up(&form, cell.backend)?;
    let evidence = Folder(folder.clone());
    let mut host = Host::new(Arc::clone(&setting), 0)?;
    ground::before_the_start(&setting)?;
    fs::create_dir(setting.programs.join("failpoints"))?;
    host.start()?;
    ground::serves(&mut host, &folder)?;
    ground::after_the_start(&setting)?;
    let mut meeting = Meeting { cell, setting: &setting, evidence: &evidence, host, began: clock::mono() };
    let applies = meeting.hold(&mut Dice::new(seed))?;
    let Meeting { host, began, .. } = meeting;
    let mut hosts = [host];
    clock::until(END, || setting.db.open_jobs().is_ok_and(|open| open == 0));
    let quiet = clock::mono();
    soak::stop(&mut hosts);
    let about = About { phases: [began, began, quiet, quiet], ..soak::about(&setting, seed, 1) };
    let verdict = checker::check(&soak::collect(&setting, &hosts, &about, &evidence)?);
    let mut wrong: Vec<String> = verdict.violations.iter().map(ToString::to_string).collect();
    if applies {
        wrong.extend(verdict.invalid);
    }
    if !wrong.is_empty() {
        return Ok(Outcome::Failed(wrong, folder));
    }
    fs::remove_dir_all(&folder)?;
    Ok(if applies { Outcome::Held } else { Outcome::DoesNotApply })
}

impl Cell {
    /// For people and for `--cell`, e.g. `c7-worker-abort` or `c7-worker-abort-postgres`.
    #[must_use]
    pub fn name(self) -> String {
        let on = if self.backend == Backend::Sqlite { "" } else { "-postgres" };
        format!("C{}-{:?}-{:?}{on}", self.point, self.target, self.action).to_lowercase()
    }
}

/// One meeting at a point.
struct Meeting<'a> {
    cell: Cell,
    setting: &'a Setting,
    evidence: &'a Folder,
    host: Host,
    began: i64,
}

impl Meeting<'_> {
    /// Submits the job, meets a program at the point, and does it; answers whether there was somebody to do it to.
    fn hold(&mut self, dice: &mut Dice) -> Result<bool> {
        let plan = JobPlan::small("m".into(), WORK.into());
        self.evidence.append("plans.jsonl", &plan)?;
        let file = self.setting.folder.join("m.json");
        fs::write(&file, plan.workflow(&self.setting.task(), &self.setting.volumes()).to_string())?;
        let file = file.to_string_lossy().into_owned();
        let args = ["submit", &file, "--qname", WORK, "--key", "m"];
        // Which of the tasks: at some points there is only one.
        let let_by = if matches!(self.cell.point, 5 | 7..=15) { dice.below(3) } else { 0 };
        fs::write(self.point(""), let_by.to_string())?;
        let begin = clock::mono();
        let mut client = self.setting.qmanager("h0", &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let reached = clock::until(REACH, || self.point(".pid").exists());
        let fault = if reached { self.act()? } else { None };
        ensure!(reached, "no program came to C{} ({let_by} were let by)", self.cell.point);
        clock::until(20 * SECOND, || client.try_wait().is_ok_and(|status| status.is_some()));
        // It has ended, or has had its time.
        let _gone = client.kill();
        let output = client.wait_with_output()?;
        let mut told =
            (output.status.code() == Some(0)).then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        self.note(begin, told.clone())?;
        // As a careful client does: again under the same key, until it is known.
        let deadline = clock::mono() + END;
        while told.is_none() && clock::mono() < deadline {
            let begin = clock::mono();
            let output = self.setting.qmanager("h0", &args).output()?;
            told = output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned());
            self.note(begin, told.clone())?;
        }
        let Some(fault) = fault else { return Ok(false) };
        self.evidence.append("faults.jsonl", &fault)?;
        Ok(true)
    }

    fn act(&mut self) -> Result<Option<Fault>> {
        let hit: i32 = fs::read_to_string(self.point(".pid"))?.trim().parse()?;
        let signal = match self.cell.action {
            Action::Fail => None,
            Action::Abort => Some(Signal::KILL),
            Action::Pause => Some(Signal::STOP),
        };
        // Whoever was chosen may end before it is hit, where it is not the one that waits at the point: then another is.
        let (victim, mut fault) = loop {
            let Some(victim) = self.victim(hit) else {
                self.go("")?;
                return Ok(None);
            };
            let now = clock::mono();
            let (slot, attempt) = (slot_of(victim), nemesis::attempt_below(victim));
            let (kind, host, note) = (self.kind(), self.host.name.clone(), self.cell.name());
            if signal.is_none_or(|signal| process::signal(victim, signal)) {
                break (victim, Fault { t: (now, now), kind, host, effective: true, slot, attempt, stop: None, note });
            }
        };
        match self.cell.action {
            Action::Fail => self.go("fail")?,
            Action::Abort => {
                self.go("")?;
                if Some(victim) == self.host.pid() {
                    self.host.wait(5 * SECOND);
                    self.host.start()?;
                    // A stop that comes before it listens is not one that it can obey.
                    self.host.wait_ready();
                }
            }
            Action::Pause => {
                self.go("")?;
                clock::pass(2 * LEASE_MS * 1_000);
                // It may have been killed meanwhile, as a silent worker is.
                let _gone = process::signal(victim, Signal::CONT);
            }
        }
        fault.t.1 = clock::mono();
        Ok(Some(fault))
    }

    /// The process that it happens to.
    fn victim(&self, hit: i32) -> Option<i32> {
        let client = CLIENT.contains(&self.cell.point);
        match self.cell.target {
            Target::Manager if client => Some(hit),
            Target::Manager => self.host.pid(),
            Target::Worker => {
                let workers: Vec<i32> = self.host.titled("qworker: work").iter().map(|worker| worker.pid).collect();
                // At the point, or the one that it belongs to.
                let above = std::iter::successors(Some(hit), |pid| process::parent(*pid)).take(5);
                above.into_iter().find(|pid| workers.contains(pid)).or_else(|| workers.first().copied())
            }
            Target::Executor => {
                let executors: Vec<i32> = self.host.titled("task-executor: ").iter().map(|p| p.pid).collect();
                let busy = executors.iter().find(|pid| nemesis::attempt_below(**pid).is_some());
                executors.iter().find(|pid| **pid == hit).or(busy).or(executors.last()).copied()
            }
        }
    }

    fn kind(&self) -> Kind {
        match (self.cell.target, self.cell.action) {
            (_, Action::Fail) => Kind::LoseAnswer,
            (Target::Manager, _) if CLIENT.contains(&self.cell.point) => Kind::KillClient,
            (Target::Manager, Action::Abort) => Kind::KillManager,
            (Target::Manager, Action::Pause) => Kind::StopManager,
            (Target::Worker, Action::Abort) => Kind::KillWorker,
            (Target::Worker, Action::Pause) => Kind::StopWorker,
            (Target::Executor, Action::Abort) => Kind::KillExecutor,
            (Target::Executor, Action::Pause) => Kind::StopExecutor,
        }
    }

    fn go(&self, word: &str) -> Result<()> {
        let (new, go) = (self.point(".new"), self.point(".go"));
        fs::write(&new, word)?;
        fs::rename(new, go).context("cannot let the program go on")
    }

    fn point(&self, suffix: &str) -> PathBuf {
        self.setting.programs.join("failpoints").join(format!("C{}{suffix}", self.cell.point))
    }

    fn note(&self, begin: i64, job: Option<String>) -> Result<()> {
        let answer = if job.is_some() { Answer::Ok } else { Answer::Info };
        let t = (begin, clock::mono());
        let request = Request { t, what: What::Submit, key: "m".into(), job, answer, words: String::new() };
        self.evidence.append("history.jsonl", &request)
    }
}

/// The slot in a worker's title.
fn slot_of(pid: i32) -> Option<String> {
    let title = process::title(pid)?;
    title.strip_prefix("qworker: ")?.split(' ').next().map(str::to_owned)
}
