//! How a manager stops: what a signal means, and that no job is left to itself.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    StopRequest, leases,
    serve::{Manager, Notice},
    serving::Serving,
    workers::Doing,
};
use crate::link::{Order, StopHow};

/// A worker that has not ended so long after its tasks' grace period is killed. A locked database answers after 5 s (its
/// busy timeout), and only then are the tasks stopped.
const STOP_MARGIN: Duration = Duration::from_secs(12);
/// During a stop, a worker that ends with its job is replaced so often.
const SETTLE_TRIES: u32 = 3;

impl Serving {
    pub(super) fn signalled(&mut self, manager: &mut Manager, number: i32) {
        if failpoint::has(failpoint::Bug::StopIgnored) {
            std::thread::sleep(Duration::from_secs(9));
        }
        let request = StopRequest::take(&manager.options.layout);
        let how = match self.stop {
            None | Some(StopHow::Drain) => {
                self.keep = request.and_then(|request| request.keep_s).map(Duration::from_secs);
                // Someone waits for a drain no longer: stop as usual.
                request.map_or(StopHow::Release, |request| request.how)
            }
            // Any other second signal.
            Some(_) => StopHow::Now,
        };
        self.stop_signal = number;
        self.stop(manager, how);
    }

    /// The end of a handover, when the workers are gone and so nothing is claimed any more: the leases of all jobs that
    /// are ours last until the next manager is there. Never shorter than what their task executors count on already.
    pub(super) async fn prolong(&mut self, manager: &Manager, keep: Duration) {
        let keep = keep.max(manager.options.times.lease);
        // One that began earlier would end the leases earlier.
        while self.renewals.join_next().await.is_some() {}
        let (queue, options) = (Arc::clone(&self.queue), &manager.options);
        let jobs = match manager.jobs(&*queue).await {
            Ok(jobs) => jobs.into_iter().map(|(job, epoch, _)| (job, epoch)).collect(),
            Err(error) => {
                tracing::warn!(%error, "the queue does not say which jobs are ours, prolonging those that are known");
                let owed = manager.places.iter().filter_map(|place| place.owes);
                owed.chain(self.orphans.iter().map(|(job, epoch, _)| (*job, *epoch))).collect()
            }
        };
        let (lost, error) = {
            let layout = options.layout.clone();
            leases::renew(queue, layout, jobs, keep, options.is_shared()).await
        };
        if let Some(error) = error {
            tracing::warn!(%error, ?lost, "the queue does not know of the longer leases, only their task executors do");
        }
    }

    pub(super) fn stop(&mut self, manager: &mut Manager, how: StopHow) {
        self.stop = Some(how);
        self.restart_at.clear();
        manager.announce("STOPPING=1\n");
        if let Some(watch) = &self.watch
            && self.watched_end.is_none()
        {
            drop(watch.notices.send(Notice::Stopping(how == StopHow::Now)));
        }
        for place in &manager.places {
            place.order(&Order::Stop(how));
        }
        self.stop_deadline = deadline(grace(manager), how);
        self.settle(manager, how);
    }

    /// A worker that ended with a job left its tasks running: one more in its place takes the job and stops as all do.
    pub(super) fn settle(&mut self, manager: &mut Manager, how: StopHow) {
        if how == StopHow::Handover {
            return;
        }
        let (now, grace) = (Instant::now(), grace(manager));
        for (index, place) in manager.places.iter_mut().enumerate() {
            if place.doing != Doing::Gone || place.owes.is_none() || place.settles == SETTLE_TRIES {
                continue;
            }
            place.settles += 1;
            match place.start(index, &manager.options, manager.rows, &manager.heard_sender, now) {
                Ok(()) => place.order(&Order::Stop(how)),
                Err(error) => tracing::warn!(worker = place.owner.slot, %error, "cannot start a worker"),
            }
            self.stop_deadline = deadline(grace, how);
        }
    }
}

impl Manager {
    /// Task executors that live although their workers are gone: no worker could take their job, since the queue cannot be
    /// used (its file was removed, say). They are stopped without record; their reports stay for whoever mends the queue.
    pub(super) async fn end_strays(&mut self, how: Option<StopHow>) {
        let strays = task_process::strays(self.options.layout.run_dir());
        if strays.is_empty() {
            return;
        }
        tracing::warn!(count = strays.len(), "stopping task executors that no worker has");
        let tell = |now: bool| {
            for stray in &strays {
                if let Err(error) = if now { stray.stop_now() } else { stray.stop() } {
                    tracing::warn!(%error, pid = stray.id().pid, "cannot stop a task executor");
                }
            }
        };
        tell(how == Some(StopHow::Now));
        let ended = async {
            for stray in &strays {
                stray.exited().await;
            }
        };
        let all = tokio::time::timeout(grace(self) + STOP_MARGIN, ended);
        tokio::pin!(all);
        let [term, int, hup] = &mut self.signals;
        let result = loop {
            tokio::select! {
                result = &mut all => break result,
                _ = term.1.recv() => tell(true),
                _ = int.1.recv() => tell(true),
                _ = hup.1.recv(), if self.options.hangup => tell(true),
            }
        };
        if result.is_err() {
            tracing::error!("a task executor does not stop; `ps` shows it by this run-dir");
        }
    }
}

/// The longest grace period of a task.
fn grace(manager: &Manager) -> Duration {
    manager.options.pools.iter().map(|pool| pool.settings.tasks.grace).max().unwrap_or_default()
}

/// When workers that have not ended are killed; a drain has no limit.
fn deadline(grace: Duration, how: StopHow) -> Option<Instant> {
    match how {
        StopHow::Drain => None,
        StopHow::Release => Some(Instant::now() + grace + STOP_MARGIN),
        StopHow::Now | StopHow::Handover => Some(Instant::now() + STOP_MARGIN),
    }
}
