//! One worker as its manager keeps it: process, socket pair, beats, restarts.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use job_queue::Owner;
use tokio::{process::Child, sync::mpsc, time::Instant};
use workflow_model::{Epoch, JobId};

use super::{Options, Pool};
use crate::link::{self, Mouth, Order, Setup, Word};

/// What the keeper of a worker hears; the generation tells a restarted worker from the one before.
#[derive(Debug)]
pub(super) enum Heard {
    Word(Word),
    /// The process ended.
    Exited(io::Result<ExitStatus>),
}

/// What a worker does, as far as it said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Started, has not said anything yet.
    Starting,
    /// Asked to claim, or claiming on its own after a job.
    Claiming,
    /// Found nothing.
    Idle,
    /// Has a job.
    Job(JobId, Epoch),
    /// Not there; to be started again.
    Gone,
}

/// A place for a worker: `<qname><NN>`.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pool: usize,
    pub(super) number: u32,
    pub(super) owner: Owner,
    pub(super) doing: Doing,
    pub(super) generation: u64,
    pub(super) pid: Option<u32>,
    pub(super) last_beat: Instant,
    /// It ended while it had a job: that job's tasks may run on, so a stop is not over before a worker was there again.
    pub(super) owes: Option<(JobId, Epoch)>,
    /// How often it was started during a stop, to settle that.
    pub(super) settles: u32,
    /// Restarts since it last did something.
    pub(super) restarts: u32,
    /// What it says of itself.
    pub(super) degraded: Option<String>,
    /// What its restarts say of it.
    pub(super) crashes: Option<String>,
    /// The manager's wake count when the worker last began to claim, at the latest.
    pub(super) claim_seen: u64,
    mouth: Option<Mouth>,
}

impl Place {
    pub(super) fn new(pool: usize, number: u32, owner: Owner, now: Instant) -> Self {
        Self {
            pool,
            number,
            owner,
            doing: Doing::Gone,
            generation: 0,
            pid: None,
            last_beat: now,
            owes: None,
            settles: 0,
            restarts: 0,
            degraded: None,
            crashes: None,
            claim_seen: 0,
            mouth: None,
        }
    }

    /// Starts the process; what it says comes as `(place, generation, Heard)`.
    pub(super) fn start(
        &mut self,
        index: usize,
        options: &Options,
        rows: bool,
        heard: &mpsc::UnboundedSender<(usize, u64, Heard)>,
        now: Instant,
    ) -> io::Result<()> {
        self.generation += 1;
        let generation = self.generation;
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        let mut child = spawn(options, &self.owner.slot, theirs)?;
        self.pid = child.id();
        ours.set_nonblocking(true)?;
        let (mut ear, mouth) = link::open(tokio::net::UnixStream::from_std(ours)?);
        mouth.say(&Order::Setup(Box::new(setup(options, &options.pools[self.pool], self.number, rows))));
        self.mouth = Some(mouth);
        self.doing = Doing::Starting;
        self.last_beat = now;
        let heard = heard.clone();
        tokio::spawn(async move {
            // A line that is not understood ends the listening: the worker is of another version, and will be killed
            // when it seems silent.
            while let Ok(Some(word)) = ear.hear::<Word>().await {
                drop(heard.send((index, generation, Heard::Word(word))));
            }
            drop(heard.send((index, generation, Heard::Exited(child.wait().await))));
        });
        Ok(())
    }

    pub(super) fn order(&self, order: &Order) {
        if let Some(mouth) = &self.mouth {
            mouth.say(order);
        }
    }

    /// The process is no more.
    pub(super) fn ended(&mut self) {
        if let Doing::Job(job, epoch) = self.doing {
            self.owes = Some((job, epoch));
        }
        self.doing = Doing::Gone;
        self.pid = None;
        self.mouth = None;
        self.degraded = None;
    }

    /// KILL, for a worker that is silent (stopped, stuck) or does not end. Its tasks live on.
    pub(super) fn kill(&self) {
        let pid = self.pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Our child, not yet reaped (`ended` clears the number): the number cannot be another's.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }

    /// How long to wait before the next start: doubles with each start that led to nothing, with jitter so that the
    /// workers of a host do not start in step.
    pub(super) fn backoff(&self, options: &Options) -> Duration {
        let doubled = options.times.backoff.saturating_mul(1 << self.restarts.min(16));
        let jitter = f64::from((self.number * 7 + self.restarts * 3) % 11) / 100.0;
        if failpoint::has(failpoint::Bug::DeadWorkerKept) {
            return Duration::from_secs(20);
        }
        doubled.min(options.times.backoff_max).mul_f64(1.0 + jitter)
    }
}

fn setup(options: &Options, pool: &Pool, number: u32, rows: bool) -> Setup {
    Setup {
        number,
        pool: pool.clone(),
        state_dir: options.layout.state_dir().to_path_buf(),
        run_dir: options.layout.run_dir().to_path_buf(),
        db: options.db.clone(),
        password_file: options.password_file.clone(),
        jobs: options.layout.jobs(),
        identity: options.layout.identity().map(str::to_owned),
        times: options.times,
        task_executor: options.task_executors.get(&pool.executor).cloned().unwrap_or_default(),
        ambient: options.ambient.clone(),
        rows,
        umask: options.umask,
        log: options.log.clone(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the manager is what starts workers")]
fn spawn(options: &Options, slot: &str, stdin: std::os::unix::net::UnixStream) -> io::Result<Child> {
    let mut command = Command::new(&options.qworker);
    // For `ps`: which of the workers this is.
    let title = format!("qworker: {slot} in {}", options.layout.run_dir().display());
    // A group of its own: Ctrl-C at the terminal is for the manager, which tells its workers how to stop.
    command.arg0(title).process_group(0).stdin(OwnedFd::from(stdin)).stdout(Stdio::null());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(false).spawn()
}
