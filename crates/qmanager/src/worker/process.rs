//! The `qworker` process: set-up, its place, and the loop over jobs.

use std::{
    cell::Cell,
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use executor::Executor;
use job_queue::{Claim, Claimed, JobQueue, OpenOptions, Owner};
use task_process::{Exit, Inbox, JobDir, Leftover, RunDir, SlotGuard, Slots, Spares, WorkerLock};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout},
};
use workflow_model::{Attempt, JobId, QueueName, TaskIx};

use super::{
    Error, Registry,
    launch::chain,
    recover::{self, Opened},
    turn::{Happened, Left, drive},
};
use crate::{
    layout::Layout,
    link::{self, Ear, Mouth, Order, Setup, StopHow, Word},
};

/// After the last job, task executors that have reported are given so long to end.
const LAST_EXITS: Duration = Duration::from_secs(2);
/// More spares than this only cost memory: one is started anew with each that is used.
const MOST_SPARES: usize = 16;
/// When no process can be started, the next try comes after so long at the latest (F82).
const SPAWN_AGAIN: Duration = Duration::from_millis(500);

/// A worker with everything it has.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) setup: Setup,
    pub(super) layout: Layout,
    pub(super) run_dir: RunDir,
    pub(super) host: String,
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) inbox: Inbox,
    pub(super) spares: Spares,
    pub(super) slots: Slots,
    /// Slots that attempts of ours have left, for our next ones.
    pub(super) kept: Vec<SlotGuard>,
    pub(super) watchers: JoinSet<Happened>,
    /// For each stop of a task executor, when it should have had an effect.
    pub(super) overdue: JoinSet<Happened>,
    /// Orders in the order they came; `None` = the manager is gone.
    pub(super) orders: mpsc::UnboundedReceiver<Option<Order>>,
    pub(super) mouth: Mouth,
    /// When to try again to start a process.
    pub(super) spawn_again_at: Option<Instant>,
    /// CLOCK_BOOTTIME at which the lease of the running job ends, as of its claim; renewals come by the lease file.
    pub(super) lease_deadline: u64,
    pub(super) draining: bool,
    /// Whether the manager knows that we are good for something.
    pub(super) progressed: bool,
    /// A stop that is under way.
    pub(super) stopping: Option<StopHow>,
    /// How often the Q socket was bound again, as of the last look.
    pub(super) rebinds: u64,
    /// The job that was claimed with the end of the last one.
    pub(super) next: Option<Claimed>,
    /// What the last job left for the next one.
    pub(super) leftover: Option<Leftover>,
    /// As the manager last said; `None` until it first said that there may be a job.
    orphans: Option<Vec<Owner>>,
    orders_back: mpsc::UnboundedSender<Option<Order>>,
    degraded: Option<String>,
}

/// The ending of a folder that a worker keeps for its next job, in the run-dir.
pub(crate) const KEPT: &str = "kept";

/// With this code a worker ends that has stopped its tasks, though it could not write that down.
pub(crate) const ABANDONED: u8 = 3;
/// With this code a worker ends whose queue belongs to another executor or store; it has said so before.
pub(crate) const REFUSED: u8 = 4;

/// The body of `qworker`: runs a worker on the socket pair that is its standard input, until its manager says stop or
/// is gone. Code 1: it was not started by a manager, cannot have its place, or lost its job to another worker.
#[must_use]
pub fn run(registry: &Registry) -> ExitCode {
    crate::memory::keep();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let result = runtime.block_on(main(registry));
    // A tree that is still being ended, or a database that does not answer, holds nobody up.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is there to be told; the next manager's worker goes on.
        Err(Error::ManagerGone) => ExitCode::FAILURE,
        Err(error) => {
            let started_by_hand = matches!(error, Error::NotStartedByManager);
            if started_by_hand {
                crate::telemetry::init(tracing::level_filters::LevelFilter::ERROR, false);
            }
            tracing::error!("{}", chain(&error));
            // With the queue failed for good its tasks were stopped first.
            match error {
                Error::Queue(job_queue::Error::Mismatch(_)) => ExitCode::from(REFUSED),
                Error::Queue(_) => ExitCode::from(ABANDONED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn main(registry: &Registry) -> Result<(), Error> {
    let stream = from_stdin().map_err(Error::io("use standard input"))?;
    let (mut ear, mouth) = link::open(stream);
    let Ok(Some(Order::Setup(setup))) = ear.hear().await else { return Err(Error::NotStartedByManager) };
    crate::telemetry::init(setup.log.parse().unwrap_or(tracing::level_filters::LevelFilter::WARN), false);
    let mut worker = Worker::new(*setup, registry, ear, mouth)?;
    worker.beat();
    let result = worker.serve().await;
    if let Err(Error::Queue(error @ job_queue::Error::Mismatch(_))) = &result {
        worker.degraded(Some(format!("refused: {}", chain(error))));
    }
    worker.mouth.flush().await;
    worker.inbox.leave();
    result
}

impl Worker {
    fn new(setup: Setup, registry: &Registry, ear: Ear, mouth: Mouth) -> Result<Self, Error> {
        let kind = setup.pool.executor;
        let executor = registry.get(kind, &setup.task_executor).ok_or(Error::NoExecutor(kind))?;
        let run_dir = RunDir::open(&setup.run_dir)?;
        let layout = Layout::existing(&setup.state_dir, &setup.run_dir)
            .with_store(&format!("fs:{}", setup.jobs.display()))
            .with_identity(setup.identity.clone());
        let lock = WorkerLock::acquire(&run_dir, &setup.pool.qname, setup.number)?;
        task_process::remove_kept(&run_dir.path().join(format!("{}.{KEPT}", lock.name())));
        let log = io::stderr().as_fd().try_clone_to_owned().map_err(Error::io("use standard error"))?;
        let title = task_process::title(run_dir.path());
        // First, since it takes a processor of its own for as long as the rest takes us.
        let mut spares = Spares::new(&setup.task_executor, Some(log), 1)?.titled(title);
        spares.refill()?;
        let inbox = Inbox::bind(lock)?;
        let more = if failpoint::has(failpoint::Bug::SlotsIgnored) { 3 } else { 1 };
        let slots = Slots::open(&RunDir::open(layout.slots(&setup.pool.qname))?, more * setup.pool.parallel as usize)?;
        // Its manager stays longer, and writes the WAL back. A daemon's queue is there before its workers: one that was
        // removed is not to be replaced by an empty one. (A foreground run's worker may be first.)
        let options = OpenOptions {
            create: setup.rows,
            checkpoint_on_close: false,
            // Until a step is recorded there is nothing else to do.
            on_caller: true,
            password_file: setup.password_file.clone(),
            ..OpenOptions::default()
        };
        let queue = job_queue::open(&setup.db, &options).map_err(Error::Queue)?;
        let (orders_back, orders) = mpsc::unbounded_channel();
        tokio::spawn(forward(ear, orders_back.clone()));
        Ok(Self {
            host: task_process::host_id(),
            layout,
            run_dir,
            queue,
            executor,
            inbox,
            spares,
            slots,
            kept: Vec::new(),
            watchers: JoinSet::new(),
            overdue: JoinSet::new(),
            orders,
            mouth,
            spawn_again_at: None,
            lease_deadline: 0,
            draining: false,
            progressed: false,
            stopping: None,
            rebinds: 0,
            next: None,
            leftover: None,
            orphans: None,
            orders_back,
            degraded: None,
            setup,
        })
    }

    /// First the job that an earlier worker in this place left, then whatever the manager points at.
    async fn serve(&mut self) -> Result<(), Error> {
        if let Some(claimed) = self.claim(false).await?
            && !self.job(claimed).await?
        {
            return self.end().await;
        }
        self.mouth.say(&Word::Ready);
        while let Some(Some(order)) = self.orders.recv().await {
            match order {
                Order::Claim { orphans } => {
                    self.orphans = Some(orphans);
                    while let Some(claimed) = self.claim(true).await? {
                        if !self.job(claimed).await? {
                            return self.end().await;
                        }
                    }
                    // Idle costs one waiting process, not as many as the last job could use.
                    self.spares.set_ahead(1);
                    self.mouth.say(&Word::Idle);
                }
                Order::Stop(_) => return self.end().await,
                Order::Cancel { .. } | Order::Setup(_) => {}
            }
        }
        Err(Error::ManagerGone)
    }

    /// Runs a job; whether to go on with another one after it.
    async fn job(&mut self, claimed: Claimed) -> Result<bool, Error> {
        let (job, epoch) = (claimed.job.id, claimed.job.epoch);
        self.mouth.say(&Word::Took { job, epoch, resumed: claimed.resumed });
        // Before anything of it is launched: the manager keeps the leases of the jobs that it knows of, whatever becomes of
        // us from here on (F14).
        self.mouth.flush().await;
        let left = match recover::open(self, claimed).await? {
            Opened::Invalid(ending, rows) => {
                let status = self.insist(async |queue| queue.finish(job, epoch, &rows, ending.clone()).await).await?;
                tidy(&JobDir::new(self.layout.job(job), rows.len()));
                Left::Ended(status)
            }
            Opened::Run(mut run) => {
                let left = match drive(self, &mut run).await {
                    // Told to stop while the queue cannot be written: nothing may be left running all the same.
                    Err(error @ Error::Queue(_)) => {
                        self.abandon(&run).await;
                        return Err(error);
                    }
                    left => left?,
                };
                if left != Left::HandedOver {
                    self.leave_folder(*run);
                }
                left
            }
        };
        let status = if let Left::Ended(status) = left { Some(status) } else { None };
        if left == Left::HandedOver {
            // They run on: nobody waits for their ends.
            self.watchers.abort_all();
        } else {
            let left = Word::Left { job, status };
            // The manager wakes once, for this and that the next was taken.
            if self.next.is_some() { self.mouth.say_late(&left) } else { self.mouth.say(&left) }
        }
        if self.next.is_none() {
            self.kept.clear();
        }
        self.overdue.abort_all();
        Ok(matches!(left, Left::Ended(_)) && !self.draining)
    }

    async fn claim(&mut self, fresh: bool) -> Result<Option<Claimed>, Error> {
        let next = self.next.take();
        // A stop that came while the last job ended is not to be overtaken by the next job; a cancel of that job is stale.
        while fresh && let Ok(order) = self.orders.try_recv() {
            if matches!(order, None | Some(Order::Stop(_))) {
                let is_stop = order.is_some();
                self.put_back(order);
                // Nothing of it was started. Without a manager it is left to the next worker in this place.
                if let Some(Claimed { job, .. }) = next.filter(|_| is_stop) {
                    self.insist(async |queue| queue.release(job.id, job.epoch, &[]).await).await?;
                }
                return Ok(None);
            }
        }
        if next.is_some() {
            return Ok(next);
        }
        // Locks of places that nobody has any more; held until the claim is through.
        let orphans = self.orphans.as_deref().unwrap_or_default();
        let own = self.owner();
        let (ours, others): (Vec<&Owner>, Vec<&Owner>) =
            orphans.iter().partition(|owner| owner.host == own.host && owner.run_dir == own.run_dir);
        let locks: Vec<(Owner, WorkerLock)> =
            ours.into_iter().filter_map(|owner| Some((owner.clone(), self.lock_of(owner)?))).collect();
        // Of other hosts' places the queue itself says whether their leases have expired.
        let others: Vec<Owner> = others.into_iter().cloned().collect();
        let claim = self.claim_of(fresh, locks.iter().map(|(owner, _)| owner.clone()).chain(others));
        // A try that failed may have taken a job all the same, and its answer was lost for longer than a call waits: it is
        // ours, and nobody else would ever come to it.
        let mut again = claim.clone();
        if !again.dead.contains(&own) {
            again.dead.insert(0, own);
        }
        let tried = Cell::new(false);
        let next = async |queue: &dyn JobQueue| queue.claim(if tried.replace(true) { &again } else { &claim }).await;
        let claimed = self.insist(next).await?;
        drop(locks);
        Ok(claimed)
    }

    /// The claim to make with the end of a job; `None` when there is something else to be done first.
    pub(super) fn next_claim(&mut self) -> Option<Claim> {
        // Orphans' jobs come first, and need their locks.
        let goes_on = self.orphans.as_ref().is_some_and(Vec::is_empty) && self.orders.is_empty();
        let is_stopping = self.draining || self.stopping.is_some();
        (goes_on && !is_stopping && !self.setup.rows).then(|| self.claim_of(true, std::iter::empty()))
    }

    fn claim_of(&mut self, fresh: bool, dead: impl Iterator<Item = Owner>) -> Claim {
        // Taken before the claim is sent, so that it never outlives the database's idea of the lease.
        self.lease_deadline = task_process::deadline_in(self.setup.times.lease);
        let own = self.owner();
        Claim {
            queue: self.setup.pool.qname.clone(),
            // What an earlier process here left was asked for at the start; a server finds by itself what a claim took
            // whose answer was lost.
            dead: (!fresh || !job_queue::is_shared(&self.setup.db))
                .then(|| own.clone())
                .into_iter()
                .chain(dead)
                .collect(),
            owner: own,
            executor: self.setup.pool.executor,
            store: self.setup.pool.store.clone(),
            place: self.setup.pool.place.clone(),
            ttl: self.setup.times.lease,
            fresh,
        }
    }

    /// Nothing of a job's attempts is left in its folder; what serves the next job's is kept for that.
    fn leave_folder(&mut self, run: super::run::Run) {
        // Under `run_as` the places belong to that user; with earlier attempts there may be more than places.
        let serves_a_next =
            !self.setup.rows && run.is_first_claim && self.setup.pool.settings.executors.shell.run_as.is_none();
        let left = if serves_a_next { run.dir.leave(run.places) } else { run.dir.finish().map(|()| None) };
        match left {
            Ok(leftover) if self.next.is_some() => self.leftover = leftover,
            // Its job is not to look as if it went on.
            Ok(leftover) => self.leftover = leftover.and_then(|leftover| leftover.keep(&self.kept_folder())),
            Err(error) => tracing::warn!(error = chain(&error), "cannot tidy the job's folder"),
        }
    }

    /// Where the folder of the last job waits for the next one.
    fn kept_folder(&self) -> PathBuf {
        self.run_dir.path().join(format!("{}.{KEPT}", self.inbox.lock().name()))
    }

    fn lock_of(&self, owner: &Owner) -> Option<WorkerLock> {
        let digits = owner.slot.len() - owner.slot.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (queue, number) = owner.slot.split_at(owner.slot.len() - digits);
        let queue = QueueName::new(queue).ok()?;
        WorkerLock::try_acquire(&self.run_dir, &queue, number.parse().ok()?).ok().flatten()
    }

    fn owner(&self) -> Owner {
        let slot = task_process::worker_name(&self.setup.pool.qname, self.setup.number);
        Owner { host: self.host.clone(), run_dir: self.layout.run_dir_id(), slot }
    }

    /// Starts spares while no order waits: as many as the tasks that are left can use at once, and for the next job one
    /// (a foreground run has none).
    pub(super) fn refill(&mut self, run: &super::run::Run) {
        let counts = run.scheduler.counts();
        let left = (counts.waiting + counts.ready + counts.retrying) as usize;
        let next = usize::from(!self.setup.rows);
        self.spares.set_ahead(left.min(self.slots.count()).min(MOST_SPARES).max(next));
        while self.orders.is_empty() {
            match self.spares.refill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    self.degraded(Some(format!("cannot start a task executor: {}", chain(&error))));
                    break;
                }
            }
        }
    }

    pub(super) fn retry_spawn(&mut self) {
        self.spawn_again_at = Some(Instant::now() + SPAWN_AGAIN);
    }

    /// Says what is wrong, or that it is well again; once.
    pub(super) fn degraded(&mut self, why: Option<String>) {
        if self.degraded != why {
            // A foreground run shows it itself.
            if let Some(why) = why.as_ref().filter(|_| !self.setup.rows) {
                tracing::warn!("{why}");
            }
            self.degraded.clone_from(&why);
            self.mouth.say(&Word::Degraded(why));
        }
    }

    /// Looks at an attempt whose task executor has ended without our watching.
    pub(super) fn watch_ended(&mut self, job: JobId, task: TaskIx, attempt: Attempt) {
        self.watchers.spawn(async move { Happened::Exited(job, task, attempt, Exit::Unknown) });
    }

    /// An order that came while something else was waited for.
    pub(super) fn put_back(&self, order: Option<Order>) {
        drop(self.orders_back.send(order));
    }

    /// Alive, three times a lease: a worker that is silent for two beats is killed (SIGSTOP, a stuck disk).
    fn beat(&self) {
        let (mouth, every) = (self.mouth.clone(), self.setup.times.beat());
        tokio::spawn(async move {
            let mut beats = tokio::time::interval(every);
            loop {
                beats.tick().await;
                mouth.say(&Word::Beat);
            }
        });
    }

    /// Stops what runs without a record of it, as the order says that waits. The reports are read, or the attempts found lost, by the next worker.
    async fn abandon(&mut self, run: &super::run::Run) {
        let (watchers, orders) = (&mut self.watchers, &mut self.orders);
        let ended = async {
            loop {
                let at_once = tokio::select! {
                    biased;
                    order = orders.recv() => match order.flatten() {
                        Some(Order::Stop(how)) => how == StopHow::Now,
                        Some(_) => continue,
                        None => return,
                    },
                    exit = watchers.join_next() => match exit {
                        Some(_) => continue,
                        None => return,
                    },
                };
                for process in run.live.values().filter_map(|live| live.process.as_ref()) {
                    let asked = if at_once { process.stop_now() } else { process.stop() };
                    if let Err(error) = asked {
                        tracing::warn!(error = chain(&error), "cannot stop a task executor");
                    }
                }
            }
        };
        drop(timeout(self.setup.pool.settings.tasks.grace + LAST_EXITS, ended).await);
    }

    /// The last job is done; task executors that have reported are about to end, and are waited for, so that nothing
    /// is left behind.
    async fn end(&mut self) -> Result<(), Error> {
        self.spares.set_ahead(0);
        let exits = async { while self.watchers.join_next().await.is_some() {} };
        drop(timeout(LAST_EXITS, exits).await);
        Ok(())
    }
}

fn tidy(dir: &JobDir) {
    if let Err(error) = dir.finish() {
        tracing::warn!(error = chain(&error), "cannot tidy the job's folder");
    }
}

/// Orders come through a channel, so that they can be looked at without waiting.
async fn forward(mut ear: Ear, orders: mpsc::UnboundedSender<Option<Order>>) {
    let end = loop {
        match ear.hear::<Order>().await {
            Ok(Some(order)) => drop(orders.send(Some(order))),
            Ok(None) => break None,
            Err(error) => {
                tracing::error!(%error, "an order is not understood: is the manager of another version?");
                break None;
            }
        }
    };
    drop(orders.send(end));
}

fn from_stdin() -> io::Result<tokio::net::UnixStream> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}
