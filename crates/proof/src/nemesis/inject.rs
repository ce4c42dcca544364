//! Injecting faults, one after the other, some of which last while the next ones come.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use rustix::process::Signal;

use super::{
    Fault, Kind, World,
    database::{self, Lock},
};
use crate::{
    audit::Database,
    clock::{self, SECOND},
    dice::Dice,
    host::Host,
    process,
    proxy::Way,
};

/// What is to be undone, and when.
#[derive(Debug)]
struct Undo {
    at: i64,
    fault: Fault,
    how: How,
}

#[derive(Debug)]
enum How {
    /// The daemon of this host is started again.
    Start(usize),
    /// This process goes on.
    Continue(i32),
    /// The lock is given back.
    Unlock(Lock),
    /// The engine is started again.
    Engine,
    /// The way from this host to the server is open again.
    Open(usize),
    /// The file that fills the disk is removed.
    Empty(std::path::PathBuf),
}

/// How the titles of workers and task executors begin.
const OURS: [&str; 2] = ["qworker: ", "task-executor: "];

/// So many kinds are tried before the nemesis waits for its next turn.
const TRIES: usize = 6;

/// Injects faults until it is told to stop.
#[derive(Debug)]
pub struct Nemesis {
    dice: Dice,
    world: World,
    undo: Vec<Undo>,
    kinds: Vec<Kind>,
}

impl Nemesis {
    /// A nemesis; `only` = these kinds, if any are given.
    #[must_use]
    pub fn new(dice: Dice, world: World, only: &[Kind]) -> Self {
        let wanted = |kind: &Kind| only.is_empty() || only.contains(kind);
        let possible = |kind: &Kind| match kind {
            Kind::FullDisk => world.own_disk,
            kind if kind.is_of_engine() => world.setting.engine.is_some(),
            kind if kind.is_of_network() => !world.proxies.is_empty(),
            Kind::RestartServer => world.server.is_some(),
            Kind::EndSessions => matches!(world.setting.db, Database::Postgres(_)),
            _ => true,
        };
        let chosen = Kind::ALL.iter().filter(|(kind, _)| wanted(kind) && possible(kind));
        let kinds = chosen.flat_map(|(kind, weight)| std::iter::repeat_n(*kind, *weight)).collect();
        Self { dice, world, undo: Vec::new(), kinds }
    }

    /// A fault about every `every` microseconds until `end` or until there is `enough`; then everything is as before.
    ///
    /// # Errors
    /// A host cannot be started, or the record cannot be written.
    pub fn run(&mut self, every: i64, end: i64, enough: &AtomicBool) -> Result<()> {
        let mut next = clock::mono();
        while clock::mono() < end && !enough.load(Ordering::Relaxed) {
            self.tend()?;
            if clock::mono() >= next {
                next = clock::mono() + self.dice.between(every * 6 / 10, every * 14 / 10);
                // Some find nothing to hit just now.
                for _ in 0..TRIES {
                    if self.inject()? {
                        break;
                    }
                }
            }
            clock::pass(20_000);
        }
        for undo in &mut self.undo {
            undo.at = 0;
        }
        self.tend()
    }

    /// The hosts, when it is done.
    #[must_use]
    pub fn into_world(self) -> World {
        self.world
    }

    /// Undoes what has lasted long enough, and looks after the daemons.
    fn tend(&mut self) -> Result<()> {
        let now = clock::mono();
        let (due, rest) = std::mem::take(&mut self.undo).into_iter().partition(|undo| undo.at <= now);
        self.undo = rest;
        for Undo { mut fault, how, .. } in due {
            match how {
                How::Start(index) => self.world.hosts[index].start()?,
                How::Continue(pid) => {
                    // It may have been killed meanwhile: that is what a manager does with a silent worker.
                    let _gone = process::signal(pid, Signal::CONT);
                }
                How::Unlock(lock) => drop(lock),
                How::Engine => {
                    if let Some(engine) = &self.world.setting.engine {
                        engine.restart()?;
                    }
                }
                How::Open(index) => {
                    let proxy = &self.world.proxies[index];
                    // Before it is open: what was on its way is lost.
                    if fault.kind == Kind::LoseReplies {
                        proxy.cut();
                    }
                    proxy.set(Way::Open);
                }
                How::Empty(ballast) => drop(std::fs::remove_file(ballast)),
            }
            fault.t.1 = clock::mono();
            self.world.evidence.append("faults.jsonl", &fault)?;
        }
        for index in 0..self.world.hosts.len() {
            if let Some(status) = self.world.hosts[index].ended()
                && !self.is_down(index)
            {
                let text = format!("{}: the daemon ended by itself: {status}", self.world.hosts[index].name);
                self.world.evidence.append("surprises.jsonl", &text)?;
                self.world.hosts[index].start()?;
            }
        }
        Ok(())
    }

    fn is_down(&self, index: usize) -> bool {
        self.undo.iter().any(|undo| matches!(undo.how, How::Start(down) if down == index))
    }

    /// Answers whether it had an effect.
    fn inject(&mut self) -> Result<bool> {
        let Some(kind) = self.dice.pick(&self.kinds).copied() else { return Ok(true) };
        let index = self.dice.below(self.world.hosts.len());
        let now = clock::mono();
        let mut fault = Fault {
            t: (now, now),
            kind,
            host: self.world.hosts[index].name.clone(),
            effective: false,
            slot: None,
            attempt: None,
            stop: None,
            note: String::new(),
        };
        let undo = match kind {
            Kind::KillWorker | Kind::StopWorker => self.worker(index, &mut fault),
            Kind::KillExecutor | Kind::StopExecutor => self.executor(index, &mut fault),
            Kind::KillTemplate => self.template(index, &mut fault),
            Kind::KillManager | Kind::KillHost | Kind::StopManager => self.manager(index, &mut fault),
            Kind::Term | Kind::TermTwice | Kind::Handover | Kind::Drain => self.stop(index, &mut fault)?,
            Kind::KillClient => self.client(&mut fault),
            Kind::RemoveSocket | Kind::RemoveRunDir | Kind::RemoveWake => self.remove(index, &mut fault),
            Kind::LockDatabase => self.lock(&mut fault),
            Kind::RestartServer | Kind::EndSessions => self.server(&mut fault),
            Kind::CutConnections | Kind::Blackhole | Kind::SlowNetwork | Kind::LoseReplies | Kind::MuteListen => {
                self.network(index, &mut fault)
            }
            Kind::KillEngine | Kind::StopEngine | Kind::KillShim | Kind::RemoveContainer => self.engine(&mut fault),
            Kind::LoseAnswer => None,
            Kind::FullDisk => self.fill(index, &mut fault),
        };
        let effective = fault.effective;
        match undo {
            Some((at, how)) => self.undo.push(Undo { at, fault, how }),
            None => {
                fault.t.1 = clock::mono();
                self.world.evidence.append("faults.jsonl", &fault)?;
            }
        }
        Ok(effective)
    }

    /// Long enough that a lease that is not renewed is over.
    fn past_the_lease(&self) -> i64 {
        self.world.setting.lease_ms * 1_500
    }

    fn worker(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        let workers = self.world.hosts[index].titled("qworker: ");
        let worker = self.dice.pick(&workers)?;
        fault.slot = worker.title.split(' ').nth(1).map(str::to_owned);
        let (signal, undo) = match fault.kind {
            Kind::KillWorker => (Signal::KILL, None),
            _ => (Signal::STOP, Some((clock::mono() + self.past_the_lease(), How::Continue(worker.pid)))),
        };
        fault.effective = process::signal(worker.pid, signal);
        undo
    }

    fn executor(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        if self.world.setting.engine.is_some() {
            return self.executor_of_container(index, fault);
        }
        let busy: Vec<(i32, i32)> = self.world.hosts[index]
            .titled("task-executor: ")
            .into_iter()
            .filter_map(|executor| Some((executor.pid, *process::children(executor.pid).first()?)))
            // The template's children are task executors, and have no task's environment.
            .filter(|(_, child)| process::variable(*child, "QM_JOB_ID").is_some())
            .collect();
        let (executor, child) = *self.dice.pick(&busy)?;
        fault.attempt = attempt_of(child);
        let (signal, undo) = match fault.kind {
            Kind::KillExecutor => (Signal::KILL, None),
            _ => (Signal::STOP, Some((clock::mono() + self.past_the_lease(), How::Continue(executor)))),
        };
        fault.effective = process::signal(executor, signal) && fault.attempt.is_some();
        undo
    }

    /// One that holds a slot: whose container it waits for is not to be seen.
    fn executor_of_container(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        let executors = self.world.hosts[index].titled("task-executor: ");
        let busy: Vec<i32> =
            executors.into_iter().map(|p| p.pid).filter(|pid| process::holds(*pid, "/slots/")).collect();
        let executor = *self.dice.pick(&busy)?;
        let (signal, undo) = match fault.kind {
            Kind::KillExecutor => (Signal::KILL, None),
            _ => (Signal::STOP, Some((clock::mono() + self.past_the_lease(), How::Continue(executor)))),
        };
        fault.effective = process::signal(executor, signal);
        undo
    }

    fn engine(&mut self, fault: &mut Fault) -> Option<(i64, How)> {
        let engine = self.world.setting.engine.clone()?;
        let pid = engine.pid()?;
        let is_hit = |undo: &Undo| match undo.how {
            How::Engine => true,
            How::Continue(other) => other == pid,
            _ => false,
        };
        if self.undo.iter().any(is_hit) {
            return None;
        }
        let now = clock::mono();
        match fault.kind {
            Kind::KillEngine => {
                fault.effective = process::signal(pid, Signal::KILL);
                return Some((now + self.dice.between(0, 3 * SECOND), How::Engine));
            }
            Kind::StopEngine => {
                fault.effective = process::signal(pid, Signal::STOP);
                return Some((now + self.dice.between(SECOND, 8 * SECOND), How::Continue(pid)));
            }
            _ => {}
        }
        let containers = engine.containers(false).ok()?;
        let container = self.dice.pick(&containers)?;
        fault.attempt = Some(container.attempt.clone());
        fault.effective = match fault.kind {
            Kind::KillShim => engine.shim(container).is_some_and(|pid| process::signal(pid, Signal::KILL)),
            _ => engine.remove(container).is_ok(),
        };
        None
    }

    fn template(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        let executors = self.world.hosts[index].titled("task-executor: ");
        let pids: Vec<i32> = executors.iter().map(|executor| executor.pid).collect();
        let templates: Vec<i32> = pids
            .iter()
            .copied()
            .filter(|pid| process::children(*pid).iter().any(|child| pids.contains(child)))
            .collect();
        // Without a template to be seen: a spare, which has no task either.
        let idle: Vec<i32> = pids.iter().copied().filter(|pid| process::children(*pid).is_empty()).collect();
        let pid = *self.dice.pick(if templates.is_empty() { &idle } else { &templates })?;
        fault.note = if templates.is_empty() { "a spare".into() } else { "a template".into() };
        fault.effective = process::signal(pid, Signal::KILL);
        None
    }

    fn manager(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        if self.is_down(index) {
            return None;
        }
        let pid = self.world.hosts[index].pid()?;
        match fault.kind {
            Kind::StopManager => {
                fault.effective = process::signal(pid, Signal::STOP);
                return Some((clock::mono() + self.past_the_lease(), How::Continue(pid)));
            }
            Kind::KillHost => {
                fault.effective = process::signal(pid, Signal::KILL);
                // Until nothing is left: one may have started another in between.
                clock::until(5 * SECOND, || {
                    let mut left = self.world.hosts[index].processes();
                    // Nobody is to tell how somebody else ended.
                    left.sort_by_key(|process| {
                        !process.title.starts_with(OURS[0]) && !process.title.starts_with(OURS[1])
                    });
                    for process in &left {
                        process::signal(process.pid, Signal::KILL);
                    }
                    left.is_empty()
                });
            }
            _ => fault.effective = process::signal(pid, Signal::KILL),
        }
        self.world.hosts[index].wait(2 * SECOND);
        let down = self.dice.between(0, 1_500_000);
        Some((clock::mono() + down, How::Start(index)))
    }

    fn stop(&mut self, index: usize, fault: &mut Fault) -> Result<Option<(i64, How)>> {
        // We wait for its end: nothing that hinders it may last until we have waited.
        if self.is_down(index) || self.undo.iter().any(|undo| !matches!(undo.how, How::Start(_))) {
            return Ok(None);
        }
        let host = &mut self.world.hosts[index];
        let mut asked = None;
        match fault.kind {
            Kind::Handover => asked = Some(host.ask_to_stop(&["--handover=30s"])?),
            Kind::Drain => asked = Some(host.ask_to_stop(&["--drain"])?),
            _ => fault.effective = host.signal(Signal::TERM),
        }
        let mut told = clock::mono();
        if fault.kind == Kind::TermTwice {
            clock::pass(self.dice.between(0, 400_000));
            told = clock::mono();
            host.signal(Signal::TERM);
        }
        // A drain has no limit of its own; jobs of a run are short.
        let status = host.wait(60 * SECOND);
        fault.stop = Some(clock::mono() - told);
        fault.note = status.map_or_else(|| "it did not end, and was killed".into(), |status| status.to_string());
        if let Some(mut asked) = asked {
            fault.effective = status.is_some();
            clock::until(5 * SECOND, || asked.try_wait().is_ok_and(|status| status.is_some()));
            // It has ended, or is of no use any more.
            let _gone = asked.kill();
            asked.wait()?;
        }
        Ok(Some((clock::mono() + self.dice.between(0, 500_000), How::Start(index))))
    }

    fn client(&mut self, fault: &mut Fault) -> Option<(i64, How)> {
        let clients = std::sync::Arc::clone(&self.world.clients);
        fault.effective = clock::until(2 * SECOND, || {
            let clients = clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            clients.last().is_some_and(|pid| process::signal(*pid, Signal::KILL))
        });
        None
    }

    fn remove(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        let run_dir = self.world.hosts[index].run_dir();
        fault.effective = match fault.kind {
            Kind::RemoveRunDir => !self.is_down(index) && std::fs::remove_dir_all(&run_dir).is_ok(),
            Kind::RemoveWake => match &self.world.setting.db {
                Database::Sqlite(path) => std::fs::remove_file(format!("{}.wake", path.display())).is_ok(),
                Database::Postgres(psql) => psql.run(&sessions("query ILIKE 'LISTEN%'")).is_ok(),
            },
            _ => {
                let entries = std::fs::read_dir(&run_dir).ok()?;
                let sockets: Vec<_> = entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| path.extension().is_some_and(|extension| extension == "ipc"))
                    .collect();
                self.dice.pick(&sockets).is_some_and(|socket| std::fs::remove_file(socket).is_ok())
            }
        };
        None
    }

    fn lock(&mut self, fault: &mut Fault) -> Option<(i64, How)> {
        if self.undo.iter().any(|undo| matches!(undo.how, How::Unlock(_) | How::Empty(_))) {
            return None;
        }
        let lasts = self.dice.between(500_000, 8_000_000);
        let lock = match &self.world.setting.db {
            Database::Sqlite(path) => Lock::take(path).ok()?,
            Database::Postgres(psql) => Lock::of_server(psql, lasts).ok()?,
        };
        fault.effective = true;
        Some((clock::mono() + lasts, How::Unlock(lock)))
    }

    fn server(&mut self, fault: &mut Fault) -> Option<(i64, How)> {
        let Database::Postgres(psql) = &self.world.setting.db else { return None };
        fault.effective = match (fault.kind, &self.world.server) {
            (Kind::RestartServer, Some(server)) => server.crash_and_restart().is_ok(),
            _ => psql.run(&sessions("true")).is_ok(),
        };
        None
    }

    fn network(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        if self.undo.iter().any(|undo| matches!(undo.how, How::Open(other) if other == index)) {
            return None;
        }
        let lease = self.world.setting.lease_ms * 1_000;
        let (way, lasts) = match fault.kind {
            Kind::Blackhole => (Way::Closed, self.dice.between(SECOND / 2, 2 * lease)),
            Kind::SlowNetwork => {
                let late = u64::try_from(self.dice.between(10, 150)).unwrap_or_default();
                (Way::Slow(late), self.dice.between(2 * SECOND, 8 * SECOND))
            }
            Kind::LoseReplies => (Way::Mute, self.dice.between(50_000, lease / 2)),
            Kind::MuteListen => (Way::Deaf, self.dice.between(4 * SECOND, 12 * SECOND)),
            _ => (Way::Open, 0),
        };
        let proxy = &self.world.proxies[index];
        let (connections, listening) = proxy.connections();
        fault.note = format!("{connections} connections, {way:?} for {} ms", lasts / 1_000);
        fault.effective = if fault.kind == Kind::MuteListen { listening > 0 } else { connections > 0 };
        if fault.kind == Kind::CutConnections {
            proxy.cut();
            return None;
        }
        proxy.set(way);
        Some((clock::mono() + lasts, How::Open(index)))
    }

    fn fill(&mut self, index: usize, fault: &mut Fault) -> Option<(i64, How)> {
        let host: &Host = &self.world.hosts[index];
        let ballast = host.state_dir().join("ballast");
        if self.undo.iter().any(|undo| matches!(&undo.how, How::Empty(other) if *other == ballast)) {
            return None;
        }
        match database::fill(&ballast) {
            Ok(()) => fault.effective = true,
            Err(error) => fault.note = error.to_string(),
        }
        Some((clock::mono() + self.dice.between(500_000, 5_000_000), How::Empty(ballast)))
    }
}

/// Ends the sessions of this database that are like this, but not the one that says so.
fn sessions(which: &str) -> String {
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
         AND pid <> pg_backend_pid() AND ({which})"
    )
}

/// The attempt whose task a task executor runs.
#[must_use]
pub fn attempt_below(executor: i32) -> Option<(String, usize, u32)> {
    process::children(executor).into_iter().find_map(attempt_of)
}

/// The attempt of a task's process, from the marker that its task executor gave it.
fn attempt_of(pid: i32) -> Option<(String, usize, u32)> {
    let job = process::variable(pid, "QM_JOB_ID")?;
    let task = process::variable(pid, "QM_TASK")?;
    let attempt = process::variable(pid, "QM_ATTEMPT")?;
    Some((job, task.strip_prefix('t')?.parse().ok()?, attempt.parse().ok()?))
}
