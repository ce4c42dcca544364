//! The manager's life: start, the loop that only builds events, and what it leaves behind.

use std::{sync::Arc, time::Duration};

use executor::ProcessId;
use job_queue::{Filter, JobQueue, Owner, TaskRow, Wake};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    time::{Instant, sleep_until},
};
use workflow_model::{Epoch, JobId, JobStatus};

use super::{
    Error, ManagerState, Options, WorkerState,
    lock::{self, ManagerLock, StateDirLock},
    notify::notify,
    reap::{self, Reaper},
    serving::{Event, Serving},
    sweep::{has_held_slot, sweep},
    workers::{Doing, Heard, Place},
};
use crate::{layout, link::StopHow};

/// A worker whose manager was killed ends at once; on a busy host that takes some tenths of a second.
const LAST_WORKER: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// An engine that does not answer at the end is left alone after this; the next start sweeps again.
const LAST_SWEEP: Duration = Duration::from_secs(10);

/// A queue that does not answer at the end keeps nobody: `prune` takes such a folder.
const LAST_TIDYING: Duration = Duration::from_secs(2);

/// What a foreground run wants to be told.
#[derive(Debug)]
pub enum Notice {
    /// A worker has the job.
    Took {
        /// Whether it goes on with what an earlier worker began.
        resumed: bool,
    },
    /// Task rows as they were recorded.
    Rows(Vec<TaskRow>),
    /// The job ended for this round.
    Ended(JobStatus),
    /// Something a person should know; `None` = it is well again.
    Degraded(Option<String>),
    /// A stop has begun; `true` = at once.
    Stopping(bool),
}

/// Makes a manager a foreground run's: it ends with this job.
#[derive(Debug)]
pub struct Watch {
    /// The job.
    pub job: JobId,
    /// Who is told.
    pub notices: mpsc::UnboundedSender<Notice>,
}

/// A job under a lease, and whose it is.
pub(super) type Held = (JobId, Epoch, Owner);

/// Why a manager ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The watched job ended.
    Job(JobStatus),
    /// Told to stop, by this signal.
    Signal(i32),
}

/// A manager with its workers started; they wait until [`Manager::serve`] has a queue for them.
#[derive(Debug)]
pub struct Manager {
    pub(super) options: Options,
    pub(super) lock: ManagerLock,
    /// A daemon's second lock, which outlives the run-dir: removing that lets no other daemon in.
    _state_dir: Option<StateDirLock>,
    pub(super) host: String,
    process: ProcessId,
    since: u64,
    pub(super) places: Vec<Place>,
    pub(super) rows: bool,
    pub(super) heard_sender: mpsc::UnboundedSender<(usize, u64, Heard)>,
    heard: mpsc::UnboundedReceiver<(usize, u64, Heard)>,
    pub(super) signals: [(i32, Signal); 3],
}

impl Manager {
    /// Takes the run-dir's lock and starts the workers. `rows`: they tell every recorded row (a foreground run).
    ///
    /// # Errors
    /// Another manager serves this run-dir, the folders cannot be made, or a worker cannot be started at all.
    pub fn start(options: Options, rows: bool) -> Result<Self, Error> {
        let layout = options.layout.clone();
        layout.create()?;
        let running = || Error::Running {
            pid: ManagerState::read(&layout).map(|state| state.process.pid),
            run_dir: layout.run_dir().to_path_buf(),
        };
        let lock = ManagerLock::acquire(&layout.manager_lock())
            .map_err(|source| layout::Error { path: layout.manager_lock(), source })?
            .ok_or_else(running)?;
        // Foreground runs share the state-dir with a daemon and with each other.
        let state_dir = match rows {
            true => None,
            false => Some(StateDirLock::acquire(layout.state_dir()).ok_or_else(running)?),
        };
        // Left for a daemon that was killed before it could take it: not meant for us.
        drop(std::fs::remove_file(layout.stop_request()));
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
        let [term, int, hup] = kinds.map(|kind| signal(kind).map(|stream| (kind.as_raw_value(), stream)));
        let wrong = || Error::io("listen for signals");
        let signals = [term.map_err(wrong())?, int.map_err(wrong())?, hup.map_err(wrong())?];
        let (heard_sender, heard) = mpsc::unbounded_channel();
        let host = task_process::host_id();
        let now = Instant::now();
        let mut places = Vec::new();
        for (index, pool) in options.pools.iter().enumerate() {
            for number in 0..pool.count {
                let slot = format!("{}{number:02}", pool.qname);
                let owner = Owner { host: host.clone(), run_dir: layout.run_dir_id(), slot };
                places.push(Place::new(index, number, owner, now));
            }
        }
        for (index, place) in places.iter_mut().enumerate() {
            place
                .start(index, &options, rows, &heard_sender, now)
                .map_err(Error::io(format!("start {}", options.qworker.display())))?;
        }
        let process = task_process::current().map_err(Error::io("read /proc"))?;
        let since = unix_now();
        Ok(Self {
            options,
            lock,
            _state_dir: state_dir,
            host,
            process,
            since,
            places,
            rows,
            heard_sender,
            heard,
            signals,
        })
    }

    /// Serves a queue until told to stop, or until the watched job has ended. When it answers, the workers are gone
    /// and, unless it handed over, nothing of ours is left in the run-dir.
    ///
    /// # Errors
    /// The queue cannot be asked for this host's jobs at the start.
    pub async fn serve(mut self, queue: Arc<dyn JobQueue>, watch: Option<Watch>) -> Result<Ended, Error> {
        let orphans = self.orphans(&*queue).await?;
        // A foreground run needs no wake-up but its own, and has no time to close a watch (the kernel takes some 20 ms).
        let mut wake = if watch.is_some() { None } else { Some(queue.watch()?) };
        let (results, mut done) = mpsc::unbounded_channel();
        let mut serving = Serving::new(queue, watch, results, orphans, &self.options);
        let mut beat = tokio::time::interval(self.options.times.beat());
        // After a pause (SIGSTOP, suspend) one beat, not all that were missed.
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let deaf = failpoint::has(failpoint::Bug::WakeIgnored);
        let mut poll =
            tokio::time::interval(if deaf { std::time::Duration::from_secs(8) } else { self.options.times.poll });
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let reaper = Reaper::new(&self.options, Arc::clone(&serving.queue), &self.host);
        let mut sweeps = tokio::time::interval(reap::EVERY);
        // Whoever is told that we are ready may look at once.
        self.write_state(&serving);
        self.announce("READY=1\n");
        serving.wake(&mut self);
        // A foreground run looks after its own job only, and has no time.
        if serving.watch.is_none() {
            serving.tidy_after_the_dead(&self);
        }
        loop {
            let [term, int, hup] = &mut self.signals;
            let deadline = serving.stop_deadline;
            let restart = serving.restart_at.values().min().copied();
            let look = serving.look_at;
            let event = tokio::select! {
                biased;
                Some((index, generation, heard)) = self.heard.recv() => Event::Heard(index, generation, heard),
                _ = term.1.recv() => Event::Signal(term.0),
                _ = int.1.recv() => Event::Signal(int.0),
                _ = hup.1.recv(), if self.options.hangup => Event::Signal(hup.0),
                Some(result) = done.recv() => result,
                for_all = woken(&mut wake) => Event::Woken { for_all },
                _ = beat.tick() => Event::Beat,
                _ = sweeps.tick(), if reaper.is_some() => {
                    tokio::spawn(reaper.clone().map(Reaper::sweep).expect("BUG: there is one"));
                    continue;
                }
                _ = poll.tick() => Event::PollDue,
                () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => Event::PollDue,
                () = sleep_until(restart.unwrap_or_else(Instant::now)), if restart.is_some() => Event::Restart,
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::Overdue,
            };
            serving.handle(&mut self, event);
            if serving.stop.is_some() && self.places.iter().all(|place| place.doing == Doing::Gone) {
                break;
            }
            if serving.state_dirty {
                serving.state_dirty = false;
                self.write_state(&serving);
            }
        }
        if serving.stop != Some(StopHow::Handover) && has_held_slot(&self.options.layout.run_dir().join("slots")) {
            self.end_strays(serving.stop).await;
        }
        // A worker that died while we stopped may have left a folder to us.
        let tidied = async { while serving.tidying.join_next().await.is_some() {} };
        drop(tokio::time::timeout(LAST_TIDYING, tidied).await);
        if let Some(reaper) = reaper.filter(|_| serving.stop != Some(StopHow::Handover)) {
            drop(tokio::time::timeout(LAST_SWEEP, reaper.sweep()).await);
        }
        if let (Some(StopHow::Handover), Some(keep)) = (serving.stop, serving.keep) {
            serving.prolong(&self, keep).await;
        }
        self.leave(&serving).await;
        Ok(serving.watched_end.map_or(Ended::Signal(serving.stop_signal), Ended::Job))
    }

    /// Ends before it served: a foreground run whose queue cannot be used. Leaves nothing in its run-dir.
    pub async fn give_up(mut self) {
        for place in &self.places {
            place.kill();
        }
        let mut left = self.places.len();
        let gone = async {
            while left > 0 {
                if let Some((_, _, Heard::Exited(_))) = self.heard.recv().await {
                    left -= 1;
                }
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(2), gone).await);
        if self.lock.is_in_place() {
            drop(std::fs::remove_dir_all(self.options.layout.run_dir()));
        }
    }

    /// The jobs that this run-dir has, as the queue says.
    pub(super) async fn jobs(&self, queue: &dyn JobQueue) -> Result<Vec<Held>, job_queue::Error> {
        let filter = Filter { states: vec![JobStatus::Running, JobStatus::Cancelling], ..Filter::default() };
        let ours = self.options.layout.run_dir_id();
        let owned = queue.list(&filter).await?.into_iter().filter_map(|job| Some((job.id, job.epoch, job.owner?)));
        Ok(owned.filter(|(_, _, owner)| owner.host == self.host && owner.run_dir == ours).collect())
    }

    /// Those of them that have no place any more (fewer workers than before), in queues that are served.
    async fn orphans(&self, queue: &dyn JobQueue) -> Result<Vec<Held>, Error> {
        let mut orphans = self.jobs(queue).await?;
        let served = |owner: &Owner| self.options.pools.iter().any(|pool| owner.slot.starts_with(pool.qname.as_str()));
        orphans.retain(|(_, _, owner)| self.places.iter().all(|place| place.owner != *owner) && served(owner));
        orphans.sort_by(|(_, _, a), (_, _, b)| a.slot.cmp(&b.slot));
        Ok(orphans)
    }

    pub(super) fn announce(&self, message: &str) {
        if let Some(socket) = &self.options.notify_socket
            && let Err(error) = notify(socket, message)
            // Whoever waited only for the start (`start -d`) is gone by now.
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "cannot notify the service manager");
        }
    }

    fn write_state(&self, serving: &Serving) {
        let workers = self.places.iter().map(|place| WorkerState {
            slot: place.owner.slot.clone(),
            queue: self.options.pools[place.pool].qname.clone(),
            executor: self.options.pools[place.pool].executor,
            pid: place.pid,
            job: if let Doing::Job(job, _) = place.doing { Some(job) } else { None },
            degraded: place.crashes.clone().or_else(|| place.degraded.clone()),
            restarts: place.restarts,
        });
        let state = ManagerState {
            v: 1,
            version: env!("CARGO_PKG_VERSION").into(),
            process: self.process.clone(),
            host: self.host.clone(),
            since: self.since,
            workers: workers.collect(),
            degraded: serving.degraded.clone(),
        };
        if let Err(error) = state.write(&self.options.layout) {
            tracing::warn!(%error, "cannot write the manager's state");
        }
    }

    /// Removes what is ours. After a handover sockets are gone with their workers, but leases and slots must stay.
    async fn leave(&self, serving: &Serving) {
        let layout = &self.options.layout;
        drop(std::fs::remove_file(layout.manager_state()));
        drop(std::fs::remove_file(layout.stop_request()));
        if serving.stop != Some(StopHow::Handover) {
            drop(std::fs::remove_dir_all(layout.leases()));
            drop(std::fs::remove_dir_all(layout.run_dir().join("slots")));
            self.leave_places().await;
        }
        if serving.watch.is_some() && self.lock.is_in_place() {
            // The lock's file goes last, with the folder that only this run had.
            drop(std::fs::remove_file(layout.manager_lock()));
            drop(std::fs::remove_dir(layout.run_dir()));
        }
        // Here and not at the start: nobody waits for it.
        let base = if serving.watch.is_some() { layout.run_dir().parent() } else { Some(layout.run_dir()) };
        if let Some(base) = base {
            sweep(base, wall_now());
        }
    }

    /// After this stop no process is left: also none of a manager before us that was killed a moment ago, whose workers
    /// are about to notice. There is nothing to be woken by, they are not our children.
    async fn leave_places(&self) {
        let run_dir = self.options.layout.run_dir();
        let gone = async {
            while lock::sweep(run_dir) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(LAST_WORKER, gone).await.is_err() {
            tracing::warn!("a worker of an earlier manager does not end; `ps` shows it by this run-dir");
        }
    }
}

/// Microseconds since 1970, for people.
fn unix_now() -> u64 {
    let since = wall_now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "people and files use wall time")]
fn wall_now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// Answers when there was a wake-up (and whether it was for all hosts); never where nothing is watched.
async fn woken(wake: &mut Option<Wake>) -> bool {
    match wake {
        // A file that cannot be made again (its folder is gone) is not asked in a loop: the poll stays on.
        Some(wake) => {
            if wake.woken().await.is_err() {
                std::future::pending::<()>().await;
            }
            wake.is_for_all()
        }
        None => std::future::pending().await,
    }
}
