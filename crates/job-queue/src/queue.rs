//! The trait that every store of jobs has: what may be asked, what each answer promises.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use workflow_model::{Cause, Epoch, JobId, JobStatus, LimitKey, QueueName};

use crate::{
    CancelHow, Claim, Claimed, Error, Filter, JobRow, KeyRow, NewJob, NewRound, Poll, Prune, QueueRow, Submitted,
    TaskRow, Wake,
};

/// A store of jobs that many processes use at once.
///
/// No call blocks the caller's runtime; each waits for a busy database at most the busy timeout (5 s) and then answers
/// [`Error::Busy`]. A call whose future is dropped may still have happened. All writes are all-or-nothing.
#[async_trait]
pub trait JobQueue: Send + Sync + fmt::Debug {
    /// Puts jobs in, all or none. When it answers, they are durable. Repeating it (same ids) is safe.
    ///
    /// # Errors
    /// [`Error::KeyTaken`] if a key stands for another definition, [`Error::Refused`] if an id does.
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error>;

    /// Takes a job: first those of dead owners, then (if `fresh`) the queue's highest priority, oldest first. A paused
    /// queue, or one at its limit, gives no fresh job, and a job whose limit key is at its limit is passed over; jobs of
    /// dead owners are given even so: they have their place. A lease's expiry alone never takes a job away.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the queue belongs to another executor or store.
    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error>;

    /// Prolongs leases to `ttl` from now, in one statement; answers the jobs still held under the given epoch.
    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error>;

    /// Writes task rows (whole rows, batched). `Error::Fenced` = the lease is another's: stop.
    ///
    /// # Errors
    /// [`Error::Refused`] if a task that is terminal in this round would change its state.
    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error>;

    /// Replaces a definition that came unchecked ([`JobRow::is_unchecked`]) by its checked form.
    async fn define(&self, job: JobId, epoch: Epoch, checked: Checked) -> Result<(), Error>;

    /// Marks the job as stopping what runs.
    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error>;

    /// Ends the job for this round, durably, with the last task rows. Answers the status that stands: a job whose
    /// cancel was accepted before this call ends as cancelled, whatever `end` says. Repeating it under the same epoch is
    /// safe: the first end stands and is answered.
    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<JobStatus, Error>;

    /// [`finish`](Self::finish), and then [`claim`](Self::claim), in one commit: a worker goes from job to job at the cost
    /// of one. Answers what both answer. The end counts for the claim (a queue at its limit of 1 gives the next job). A
    /// claim that is refused does not keep the job from ending: no job is answered, and the next `claim` says why.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish); nothing was claimed then. Repeating it is safe for whoever names itself among the
    /// claim's dead: a job that was claimed without an answer comes first.
    async fn finish_and_claim(
        &self,
        job: JobId,
        epoch: Epoch,
        rows: &[TaskRow],
        end: JobEnding,
        claim: &Claim,
    ) -> Result<(JobStatus, Option<Claimed>), Error>;

    /// Gives the job back to the queue, with the last task rows. A job whose cancel was accepted ends as cancelled
    /// instead. Answers the status that stands, also when it is repeated under the same epoch.
    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error>;

    /// Asks for a cancel; answers the status after it. A queued job is cancelled at once; of a job under way the
    /// intent is kept for [`poll`](Self::poll) (`Now` replaces `Cancel`, never the reverse); a terminal one is left
    /// as it is. Asking twice changes nothing.
    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error>;

    /// Opens a new round of a terminal job; it is queued again, at its old place in the order.
    ///
    /// # Errors
    /// [`Error::Refused`] if the job is not terminal, or in another round than the caller saw.
    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error>;

    /// A job, or `Error::NotFound`.
    async fn get(&self, job: JobId) -> Result<JobRow, Error>;

    /// A job's definition and settings.
    async fn definition(&self, job: JobId) -> Result<(String, String), Error>;

    /// A job's task rows, by task; tasks that never changed state have none.
    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, Error>;

    /// Jobs, newest first.
    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error>;

    /// All queues that have a row or a job.
    async fn queues(&self) -> Result<Vec<QueueRow>, Error>;

    /// Holds back or allows claims.
    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error>;

    /// Limits how many jobs of a queue run at once.
    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error>;

    /// Limits how many jobs of a queue with this limit key run at once, or, without a key, with any one that has no limit
    /// of its own. `None`: what holds without this call (1, where nothing else was said). Jobs under way go on.
    async fn limit_key(&self, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error>;

    /// A queue's limit keys, in their order, or the one that is named if it has jobs or a limit of its own.
    async fn keys(&self, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error>;

    /// What there is to do for the workers of a host, in one query.
    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error>;

    /// Forgets jobs, in batches; answers their ids.
    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error>;

    /// Tells sleeping managers that something changed (a file, a NOTIFY). Called by the verbs that change something.
    async fn wake(&self) -> Result<(), Error>;

    /// Whether a manager with workers for this queue is connected; `None` where the queue does not know (SQLite: there
    /// all managers are this host's).
    async fn is_served(&self, queue: &QueueName) -> Result<Option<bool>, Error> {
        let _any = queue;
        Ok(None)
    }

    /// The other end of [`JobQueue::wake`], for a manager: from then on its polls say what it serves
    /// ([`is_served`](Self::is_served)). Within a tokio runtime.
    ///
    /// # Errors
    /// The file cannot be watched.
    fn watch(&self) -> Result<Wake, Error>;
}

/// A definition in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its canonical JSON.
    pub definition: String,
    /// Its hash.
    pub hash: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// The settings that the text brought.
    pub settings: String,
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
