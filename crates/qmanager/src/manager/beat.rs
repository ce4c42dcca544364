//! The manager's beat: whose worker is silent is killed, the leases of the others are renewed.

use std::sync::Arc;

use tokio::time::Instant;
use workflow_model::{Epoch, JobId};

use super::{
    leases::{self, NotHeld},
    serve::Manager,
    serving::{Event, Serving},
    workers::Doing,
};

impl Serving {
    pub(super) fn beat(&mut self, manager: &mut Manager) {
        let silent_after = manager.options.times.beat() * 2;
        let now = Instant::now();
        // We were paused ourselves: what the workers said meanwhile is still to be heard.
        let late = self.last_beat.is_some_and(|last| now.duration_since(last) > manager.options.times.beat() * 3 / 2);
        self.last_beat = Some(now);
        if late {
            manager.places.iter_mut().for_each(|place| place.last_beat = now);
        }
        // The tasks of jobs that still wait for a worker of ours run on.
        let mut jobs: Vec<(JobId, Epoch)> = self.orphans.iter().map(|(job, epoch, _)| (*job, *epoch)).collect();
        for place in &manager.places {
            let silent = now.duration_since(place.last_beat) > silent_after;
            if silent && place.doing != Doing::Gone {
                tracing::warn!(worker = place.owner.slot, "a worker is silent, killing it");
                place.kill();
            } else if let Doing::Job(job, epoch) = place.doing {
                jobs.push((job, epoch));
            }
        }
        leases::keep_reserves(&manager.options.layout, manager.places.len());
        if !jobs.is_empty() {
            let (queue, layout, ttl) =
                (Arc::clone(&self.queue), manager.options.layout.clone(), manager.options.times.lease);
            let (results, shared) = (self.results.clone(), manager.options.is_shared());
            while self.renewals.try_join_next().is_some() {}
            self.renewals.spawn(async move {
                let (lost, error) = leases::renew(queue, layout, jobs, ttl, shared).await;
                drop(results.send(Event::Renewed(lost, error)));
            });
        }
    }

    pub(super) fn renewed(&mut self, lost: &[NotHeld], error: Option<job_queue::Error>) {
        for NotHeld { job, taken } in lost {
            self.orphans.retain(|(orphan, ..)| orphan != job);
            if *taken {
                // The worker finds out with its next write, and then writes nothing more.
                tracing::warn!(%job, "the lease of this job is another worker's");
            }
        }
        self.set_degraded(error.map(|error| format!("leases could not be renewed: {error}")));
    }
}
