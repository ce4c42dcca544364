//! What the manager does about each event. Synchronous: queue calls run beside it and come back as events.

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use job_queue::{JobQueue, Owner, Poll};
use task_process::JobDir;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use workflow_model::{JobId, JobStatus, QueueName};

use super::{
    Options,
    leases::{self, NotHeld},
    lock::ManagerLock,
    serve::{Held, Manager, Notice, Watch},
    sweep,
    takeover::SeenLeases,
    workers::{Doing, Heard},
};
use crate::link::{Order, StopHow, Word};

#[derive(Debug)]
pub(super) enum Event {
    Heard(usize, u64, Heard),
    Signal(i32),
    Beat,
    PollDue,
    /// Told that something has changed; `for_all`: to all hosts, so the queue is asked first what there is for us.
    Woken {
        for_all: bool,
    },
    Polled(Result<Poll, job_queue::Error>),
    Renewed(Vec<NotHeld>, Option<job_queue::Error>),
    Restart,
    Overdue,
}

/// What a manager that serves keeps in mind.
#[derive(Debug)]
pub(super) struct Serving {
    /// For a handover: how long the leases last from its end on.
    pub(super) keep: Option<Duration>,
    /// Renewals under way.
    pub(super) renewals: JoinSet<()>,
    /// Folders that are tidied for workers that died.
    pub(super) tidying: JoinSet<()>,
    pub(super) last_beat: Option<Instant>,
    pub(super) queue: Arc<dyn JobQueue>,
    pub(super) watch: Option<Watch>,
    pub(super) results: mpsc::UnboundedSender<Event>,
    /// Counts what may have made a job ready; a claim that began earlier may have missed it.
    pub(super) wakes: u64,
    /// Queues that may have a job to claim.
    pub(super) ready: HashMap<QueueName, bool>,
    /// Jobs that no place of ours has, until a worker takes them.
    pub(super) orphans: Vec<Held>,
    /// Workers of other hosts whose leases have expired.
    pub(super) expired: Vec<Owner>,
    pub(super) restart_at: HashMap<usize, Instant>,
    pub(super) stop: Option<StopHow>,
    pub(super) stop_signal: i32,
    pub(super) stop_deadline: Option<Instant>,
    pub(super) watched_end: Option<JobStatus>,
    pub(super) polling: bool,
    pub(super) poll_again: bool,
    /// When to ask again though nobody has said anything: the next `run_at`, a lease that must be looked at twice.
    pub(super) look_at: Option<Instant>,
    pub(super) last_look: Instant,
    pub(super) leases: SeenLeases,
    pub(super) degraded: Option<String>,
    pub(super) state_dirty: bool,
}

impl Serving {
    pub(super) fn new(
        queue: Arc<dyn JobQueue>,
        watch: Option<Watch>,
        results: mpsc::UnboundedSender<Event>,
        orphans: Vec<Held>,
        options: &Options,
    ) -> Self {
        Self {
            keep: None,
            renewals: JoinSet::new(),
            tidying: JoinSet::new(),
            last_beat: None,
            queue,
            watch,
            results,
            wakes: 0,
            ready: options.pools.iter().map(|pool| (pool.qname.clone(), true)).collect(),
            orphans,
            expired: Vec::new(),
            restart_at: HashMap::new(),
            stop: None,
            stop_signal: 0,
            stop_deadline: None,
            watched_end: None,
            polling: false,
            poll_again: false,
            look_at: None,
            last_look: Instant::now(),
            leases: SeenLeases::default(),
            degraded: None,
            state_dirty: false,
        }
    }

    /// Everything that happens goes through here; nothing in it waits.
    pub(super) fn handle(&mut self, manager: &mut Manager, event: Event) {
        match event {
            Event::Heard(index, generation, heard) if manager.places[index].generation == generation => match heard {
                Heard::Word(word) => self.hear(manager, index, word),
                Heard::Exited(status) => self.exited(manager, index, status),
            },
            Event::Heard(..) => {}
            Event::Signal(number) => self.signalled(manager, number),
            Event::Beat => self.beat(manager),
            Event::PollDue => {
                if !manager.lock.is_in_place() {
                    self.run_dir_gone(manager);
                }
                self.poll(manager);
            }
            Event::Woken { .. } if failpoint::has(failpoint::Bug::WakeIgnored) => {}
            Event::Woken { for_all } => {
                if !for_all {
                    self.wake(manager);
                }
                // One that is under way may have looked too early.
                self.poll_again |= self.polling;
                self.poll(manager);
            }
            Event::Polled(poll) => self.polled(manager, poll),
            Event::Renewed(lost, error) => self.renewed(&lost, error),
            Event::Restart => self.restart(manager),
            Event::Overdue => {
                for place in &manager.places {
                    place.kill();
                }
                self.stop_deadline = None;
            }
        }
    }

    fn hear(&mut self, manager: &mut Manager, index: usize, word: Word) {
        let place = &mut manager.places[index];
        place.last_beat = Instant::now();
        match word {
            Word::Beat => {}
            Word::Ready => {
                (place.doing, place.owes) = (Doing::Idle, None);
                self.offer(manager);
            }
            Word::Idle => {
                place.doing = Doing::Idle;
                self.state_dirty |= place.crashes.take().is_some();
                let queue = manager.options.pools[place.pool].qname.clone();
                let missed = place.claim_seen < self.wakes;
                // It has claimed until there was nothing: the jobs of this queue's orphans are taken.
                let of_queue =
                    |owner: &Owner| owner.slot.trim_end_matches(|c: char| c.is_ascii_digit()) == queue.as_str();
                self.orphans.retain(|(_, _, owner)| !of_queue(owner));
                self.expired.retain(|owner| !of_queue(owner));
                self.ready.insert(queue, missed);
                if missed {
                    self.offer(manager);
                }
            }
            Word::Took { job, epoch, resumed } => {
                (place.doing, place.owes) = (Doing::Job(job, epoch), None);
                self.orphans.retain(|(orphan, ..)| *orphan != job);
                if resumed {
                    // Its executors run under an old lease: tell them of the new one before the old ends.
                    let deadline = task_process::boottime_now() + leases::micros(manager.options.times.lease);
                    leases::write(&manager.options.layout, job, epoch, deadline);
                }
                self.tell(job, Notice::Took { resumed });
                // There may be more where this one came from.
                self.offer(manager);
            }
            Word::Progressed => {
                place.restarts = 0;
                self.state_dirty |= place.crashes.take().is_some();
            }
            Word::Rows(rows) => {
                if let Some(watch) = &self.watch {
                    drop(watch.notices.send(Notice::Rows(rows)));
                }
            }
            Word::Left { job, status } => {
                place.doing = Doing::Claiming;
                place.claim_seen = self.wakes;
                drop(std::fs::remove_file(manager.options.layout.lease(job)));
                if let Some(status) = status.filter(|_| self.is_watched(job)) {
                    self.watched_end = Some(status);
                    self.tell(job, Notice::Ended(status));
                    self.stop(manager, StopHow::Release);
                }
            }
            Word::Degraded(why) => {
                place.degraded.clone_from(&why);
                self.state_dirty = true;
                if let Some(watch) = &self.watch {
                    drop(watch.notices.send(Notice::Degraded(why)));
                }
            }
        }
    }

    fn exited(&mut self, manager: &mut Manager, index: usize, status: std::io::Result<std::process::ExitStatus>) {
        let place = &mut manager.places[index];
        if let Doing::Job(job, _) = place.doing {
            self.tidy(manager, job);
        }
        let place = &mut manager.places[index];
        let last_word = place.degraded.take();
        place.ended();
        self.state_dirty = true;
        if let Some(how) = self.stop {
            // With this code it has stopped its tasks, though it could not write that down.
            if status.as_ref().is_ok_and(|status| status.code() == Some(crate::worker::ABANDONED.into())) {
                place.owes = None;
            }
            return self.settle(manager, how);
        }
        let delay = place.backoff(&manager.options);
        place.restarts += 1;
        let refused = status.as_ref().is_ok_and(|status| status.code() == Some(crate::worker::REFUSED.into()));
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::warn!(worker = place.owner.slot, %status, delay_ms = delay.as_millis(), "a worker ended, restarting");
        if refused && last_word.is_some() {
            place.crashes = last_word;
        } else if place.restarts > 3 {
            place.crashes = Some(format!("ended {} times without doing anything ({status})", place.restarts));
        }
        self.restart_at.insert(index, Instant::now() + delay);
    }

    /// A worker that died with its job may have committed its end already (C17): then no other worker comes, and we do
    /// what it would have done.
    fn tidy(&mut self, manager: &Manager, job: JobId) {
        let (queue, dir) = (Arc::clone(&self.queue), manager.options.layout.job(job));
        while self.tidying.try_join_next().is_some() {}
        self.tidying.spawn(async move { tidy(&*queue, job, dir).await });
    }

    /// The same for jobs whose worker and manager died together: nobody else comes to them before `prune`.
    pub(super) fn tidy_after_the_dead(&mut self, manager: &Manager) {
        let (queue, jobs) = (Arc::clone(&self.queue), manager.options.layout.jobs());
        self.tidying.spawn(async move {
            let looked = tokio::task::spawn_blocking(move || sweep::untidied(&jobs)).await;
            for (job, dir) in looked.unwrap_or_default() {
                tidy(&*queue, job, dir).await;
            }
        });
    }

    fn restart(&mut self, manager: &mut Manager) {
        let now = Instant::now();
        let due: Vec<usize> = self.restart_at.iter().filter(|(_, at)| **at <= now).map(|(index, _)| *index).collect();
        for index in due {
            self.restart_at.remove(&index);
            let place = &mut manager.places[index];
            if let Err(error) = place.start(index, &manager.options, manager.rows, &manager.heard_sender, now) {
                tracing::warn!(worker = place.owner.slot, %error, "cannot start a worker");
                place.restarts += 1;
                place.crashes = Some(format!("cannot be started: {error}"));
                let delay = place.backoff(&manager.options);
                self.restart_at.insert(index, now + delay);
            }
            self.state_dirty = true;
        }
    }

    /// Something may have become ready.
    pub(super) fn wake(&mut self, manager: &mut Manager) {
        self.wakes += 1;
        for ready in self.ready.values_mut() {
            *ready = true;
        }
        self.offer(manager);
    }

    /// Lets one idle worker of each queue that may have a job claim; when it took one, the next is asked.
    pub(super) fn offer(&mut self, manager: &mut Manager) {
        if self.stop.is_some() {
            return;
        }
        for (pool, options) in manager.options.pools.iter().enumerate() {
            if !self.ready.get(&options.qname).is_some_and(|ready| *ready) {
                continue;
            }
            if manager.places.iter().any(|place| place.pool == pool && place.doing == Doing::Claiming) {
                continue;
            }
            if let Some(place) = manager.places.iter_mut().find(|p| p.pool == pool && p.doing == Doing::Idle) {
                place.doing = Doing::Claiming;
                place.claim_seen = self.wakes;
                let ours = self.orphans.iter().map(|(_, _, owner)| owner);
                let orphans = ours.chain(&self.expired).cloned().collect();
                place.order(&Order::Claim { orphans });
            }
        }
    }

    /// The run-dir was removed under us: without its lock another manager could start. Tasks are in the reports and
    /// the queue, so a new start loses nothing.
    fn run_dir_gone(&mut self, manager: &mut Manager) {
        let layout = &manager.options.layout;
        let made = layout.create().map_err(|error| error.source);
        match made.and_then(|()| ManagerLock::acquire(&layout.manager_lock())) {
            Ok(Some(lock)) => {
                tracing::warn!(run_dir = %manager.options.layout.run_dir().display(), "the run-dir was removed, made again");
                manager.lock = lock;
                self.state_dirty = true;
            }
            Ok(None) => {
                tracing::error!("the run-dir was removed and another qmanager has taken it: handing over to it");
                self.stop(manager, StopHow::Handover);
            }
            Err(error) => self.set_degraded(Some(format!("the run-dir is gone and cannot be made again: {error}"))),
        }
    }

    pub(super) fn set_degraded(&mut self, why: Option<String>) {
        if self.degraded != why {
            if let Some(why) = &why {
                tracing::warn!("{why}");
            }
            self.degraded = why;
            self.state_dirty = true;
        }
    }

    fn is_watched(&self, job: JobId) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.job == job)
    }

    fn tell(&self, job: JobId, notice: Notice) {
        if let Some(watch) = self.watch.as_ref().filter(|watch| watch.job == job) {
            drop(watch.notices.send(notice));
        }
    }
}

/// Removes what only running attempts need of a job that has ended.
async fn tidy(queue: &dyn JobQueue, job: JobId, dir: PathBuf) {
    if queue.get(job).await.is_ok_and(|job| job.status.is_terminal())
        && let Err(error) = JobDir::new(dir, 0).finish()
    {
        tracing::warn!(%error, "cannot tidy a job's folder");
    }
}
