//! Asking the queue what there is to do here, and what follows from its answer.

use std::{sync::Arc, time::Duration};

use job_queue::{CancelHow, Owner, Poll};
use tokio::time::Instant;
use workflow_model::{Epoch, JobId, QueueName};

use super::{
    serve::Manager,
    serving::{Event, Serving},
    workers::Doing,
};
use crate::link::Order;

/// Between two looks at the queue that nobody asked for.
const LOOKS: Duration = Duration::from_secs(1);
/// The queue's clock may go a little slower than ours: not to look just before the moment.
const CLOCKS: Duration = Duration::from_millis(2);

impl Serving {
    pub(super) fn poll(&mut self, manager: &Manager) {
        if self.polling {
            return; // the last one has not answered yet: a busy database is not asked twice
        }
        self.polling = true;
        (self.look_at, self.last_look) = (None, Instant::now());
        let queues: Vec<QueueName> = manager.options.pools.iter().map(|pool| pool.qname.clone()).collect();
        let (queue, host, results) = (Arc::clone(&self.queue), manager.host.clone(), self.results.clone());
        tokio::spawn(async move {
            drop(results.send(Event::Polled(queue.poll(&queues, &host).await)));
        });
    }

    pub(super) fn polled(&mut self, manager: &mut Manager, poll: Result<Poll, job_queue::Error>) {
        self.polling = false;
        let poll = match poll {
            Ok(poll) => poll,
            Err(error) => return self.set_degraded(Some(format!("the queue cannot be polled: {error}"))),
        };
        if std::mem::take(&mut self.poll_again) {
            self.poll(manager);
        }
        self.set_degraded(None);
        let now = Instant::now();
        self.look_again(poll.next_in.map(|wait| now + wait + CLOCKS));
        for queue in poll.ready {
            self.wakes += 1;
            self.ready.insert(queue, true);
        }
        for (job, epoch, how) in poll.cancels {
            self.cancel(manager, job, epoch, how);
        }
        self.leases.see(poll.leases, now);
        self.expired(manager, poll.expired, now);
        self.offer(manager);
    }

    /// Hosts that are gone: their jobs are taken over by whoever is idle.
    fn expired(&mut self, manager: &Manager, owners: Vec<Owner>, now: Instant) {
        let ours = manager.options.layout.run_dir_id();
        let gone = owners.into_iter().filter(|owner| owner.host != manager.host || owner.run_dir != ours);
        for owner in gone {
            if let Some(sure_at) = self.leases.sure_at(&owner, manager.options.times.beat()).filter(|at| *at > now) {
                self.look_again(Some(sure_at));
                continue;
            }
            let queue = owner.slot.trim_end_matches(|c: char| c.is_ascii_digit());
            if let Some(ready) = self.ready.iter_mut().find(|(name, _)| name.as_str() == queue).map(|(_, ready)| ready)
            {
                *ready = true;
                self.wakes += 1;
                if !self.expired.contains(&owner) {
                    self.expired.push(owner);
                }
            }
        }
    }

    /// Asks at that moment, if not before; on its account not more than once a second.
    fn look_again(&mut self, at: Option<Instant>) {
        let at = at.map(|at| at.max(self.last_look + LOOKS));
        self.look_at = self.look_at.into_iter().chain(at).min();
    }

    fn cancel(&self, manager: &Manager, job: JobId, epoch: Epoch, how: CancelHow) {
        if let Some(place) = manager.places.iter().find(|place| place.doing == Doing::Job(job, epoch)) {
            place.order(&Order::Cancel { job, epoch, how });
        }
    }
}
