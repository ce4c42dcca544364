//! The conformance suite with injected faults: as a caller that tries again while an error says that this helps, nobody
//! notices that one call in two hundred fails, is late, finds the database busy, or loses its answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use job_queue::{
    CancelHow, Checked, Claim, Claimed, Error, Filter, JobEnding, JobQueue, JobRow, KeyRow, NewJob, NewRound,
    OpenOptions, Poll, Postgres, Prune, QueueRow, Sqlite, Submitted, TaskRow, Wake,
    conformance::{
        Store,
        server::{Database, Server},
    },
    faulty::{Faults, Faulty},
};
use workflow_model::{Epoch, JobId, JobStatus, LimitKey, QueueName};

/// In a million calls.
const RATE: u64 = 5_000;

struct File {
    folder: tempfile::TempDir,
    opened: AtomicU64,
}

impl Store for File {
    fn open(&self) -> Arc<dyn JobQueue> {
        let queue = Sqlite::open(&self.folder.path().join("queue.db"), &OpenOptions::default()).expect("a queue");
        let seed = self.opened.fetch_add(1, Ordering::Relaxed);
        Arc::new(Insisting(Faulty::new(Arc::new(queue), Faults::random(seed, RATE))))
    }
}

struct Fresh {
    database: Database,
    opened: AtomicU64,
}

impl Store for Fresh {
    fn open(&self) -> Arc<dyn JobQueue> {
        let options = OpenOptions { migrate: true, ..OpenOptions::default() };
        let queue = Postgres::open(&self.database.url(), &options).expect("a queue");
        let seed = self.opened.fetch_add(1, Ordering::Relaxed);
        Arc::new(Insisting(Faulty::new(Arc::new(queue), Faults::random(seed, RATE))))
    }
}

/// Calls until it is answered, as a worker does.
#[derive(Debug)]
struct Insisting(Faulty);

macro_rules! insist {
    ($call:expr) => {
        loop {
            match $call.await {
                Err(error) if error.is_transient() => tokio::task::yield_now().await,
                other => break other,
            }
        }
    };
}

#[async_trait]
impl JobQueue for Insisting {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error> {
        insist!(self.0.submit(jobs.clone()))
    }
    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        insist!(self.0.claim(claim))
    }
    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: std::time::Duration) -> Result<Vec<JobId>, Error> {
        insist!(self.0.renew(leases, ttl))
    }
    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error> {
        insist!(self.0.record(job, epoch, rows))
    }
    async fn define(&self, job: JobId, epoch: Epoch, checked: Checked) -> Result<(), Error> {
        insist!(self.0.define(job, epoch, checked.clone()))
    }
    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error> {
        insist!(self.0.cancelling(job, epoch))
    }
    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<JobStatus, Error> {
        insist!(self.0.finish(job, epoch, rows, end.clone()))
    }
    async fn finish_and_claim(
        &self,
        job: JobId,
        epoch: Epoch,
        rows: &[TaskRow],
        end: JobEnding,
        claim: &Claim,
    ) -> Result<(JobStatus, Option<Claimed>), Error> {
        insist!(self.0.finish_and_claim(job, epoch, rows, end.clone(), claim))
    }
    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error> {
        insist!(self.0.release(job, epoch, rows))
    }
    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error> {
        insist!(self.0.cancel(job, how))
    }
    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error> {
        insist!(self.0.retry(job, round.clone()))
    }
    async fn get(&self, job: JobId) -> Result<JobRow, Error> {
        insist!(self.0.get(job))
    }
    async fn definition(&self, job: JobId) -> Result<(String, String), Error> {
        insist!(self.0.definition(job))
    }
    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, Error> {
        insist!(self.0.tasks(job))
    }
    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error> {
        insist!(self.0.list(filter))
    }
    async fn queues(&self) -> Result<Vec<QueueRow>, Error> {
        insist!(self.0.queues())
    }
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        insist!(self.0.pause(queue, paused))
    }
    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error> {
        insist!(self.0.limit(queue, limit))
    }
    async fn limit_key(&self, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error> {
        insist!(self.0.limit_key(queue, key, limit))
    }
    async fn keys(&self, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error> {
        insist!(self.0.keys(queue, key))
    }
    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error> {
        insist!(self.0.poll(queues, host))
    }
    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error> {
        insist!(self.0.prune(what))
    }
    async fn wake(&self) -> Result<(), Error> {
        insist!(self.0.wake())
    }
    fn watch(&self) -> Result<Wake, Error> {
        self.0.watch()
    }
}

mod sqlite {
    use super::*;

    job_queue::conformance!(|| Some(File { folder: tempfile::tempdir().unwrap(), opened: AtomicU64::new(1) }));
}

mod postgres {
    use super::*;

    job_queue::conformance!(
        || Server::shared().map(|server| Fresh { database: server.database(), opened: AtomicU64::new(1) })
    );
}
