//! Where jobs wait and their state is kept: trait [`JobQueue`], SQLite behind it.
//!
//! The queue knows jobs, task rows and leases; it knows no scheduler. Every write after a claim carries the lease's
//! epoch and changes nothing when that is no longer the newest ([`Error::Fenced`]).

mod error;
mod row;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use workflow_model::{Cause, Epoch, JobId, JobStatus, QueueName};

pub use error::Error;
pub use row::{
    AttemptProcess, CancelHow, Claim, Claimed, Counts, Filter, JobRow, Micros, NewJob, NewRound, Owner, Poll, Prune,
    QueueRow, StopWhy, Submitted, TaskRow,
};

/// A store of jobs that many processes use at once. Calls may block for the busy timeout, never longer.
#[async_trait]
pub trait JobQueue: Send + Sync + fmt::Debug {
    /// Puts jobs in, all or none. When it answers, they are durable.
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error>;

    /// Takes a job: first those of dead owners, then (if `fresh`) the queue's highest priority, oldest first.
    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error>;

    /// Prolongs leases by `ttl` from now, in one statement; answers the jobs still held under the given epoch.
    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error>;

    /// Writes task rows (whole rows, batched). `Error::Fenced` = the lease is another's: stop.
    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error>;

    /// Marks the job as stopping what runs.
    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error>;

    /// Ends the job for this round, durably, with the last task rows.
    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<(), Error>;

    /// Gives the job back to the queue, with the last task rows.
    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error>;

    /// Asks for a cancel. A queued job is cancelled at once; a terminal one is left as it is.
    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error>;

    /// Opens a new round of a terminal job; it is queued again.
    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error>;

    /// A job, or `Error::NotFound`.
    async fn get(&self, job: JobId) -> Result<JobRow, Error>;

    /// A job's definition and settings.
    async fn definition(&self, job: JobId) -> Result<(String, String), Error>;

    /// A job's task rows, by task; tasks that never changed state have none.
    async fn tasks(&self, job: JobId) -> Result<Vec<row::TaskRow>, Error>;

    /// Jobs, newest first.
    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error>;

    /// All queues that have a row or a job.
    async fn queues(&self) -> Result<Vec<QueueRow>, Error>;

    /// Holds back or allows claims.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error>;

    /// Limits how many jobs of a queue run at once.
    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error>;

    /// What there is to do for the workers of a host, in one query.
    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error>;

    /// Forgets terminal jobs, in batches; answers their ids.
    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error>;

    /// Tells sleeping managers that something changed (a file, a NOTIFY). Called by the verbs that change something.
    async fn wake(&self) -> Result<(), Error>;
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnding {
    /// A terminal status.
    pub status: JobStatus,
    /// Why it did not succeed.
    pub cause: Option<Cause>,
    /// In words, under 1 kB.
    pub message: Option<String>,
}
