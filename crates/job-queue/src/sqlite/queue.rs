//! The handle: which calls run where.
//!
//! Short writes that need no sync (a claim, a record, a renewal) and reads by key take some tens of microseconds, less
//! than handing them to another thread would: they run on the caller's thread, but only if no lock stands in their
//! way. Everything else, and they too when the database is busy, runs on a thread of tokio's that may block.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, TryLockError},
    time::Duration,
};

use async_trait::async_trait;
use workflow_model::{Epoch, JobId, JobStatus, LimitKey, QueueName};

use super::{
    cancel,
    claim::{self, Taken},
    db::{Db, Wait},
    end,
    health::{self, Health},
    keys, lease, manage, open, place, poll, prune, read, record, retry, submit,
};
use crate::{
    CancelHow, Checked, Claim, Claimed, Error, Filter, JobEnding, JobQueue, JobRow, KeyRow, NewJob, NewRound,
    OpenOptions, Poll, Prune, QueueRow, Submitted, TaskRow, open::sqlite_path, wake,
};

/// So many task rows at once are still a short write.
const SHORT: usize = 64;

/// A queue in an SQLite file. Clones share one connection; each process opens its own. Calls must be made within a
/// tokio runtime.
#[derive(Debug, Clone)]
pub struct Sqlite {
    db: Arc<Mutex<Db>>,
    path: Arc<PathBuf>,
    on_caller: bool,
}

impl Sqlite {
    /// Opens the database at a path; makes it if there is none and the options allow. Blocks for about a millisecond.
    ///
    /// # Errors
    /// [`Error::Unusable`] says why the file must not be used as it is, and the remedy.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, Error> {
        let db = open::open(path, options)?;
        let path = Arc::new(db.path().to_owned());
        Ok(Self { db: Arc::new(Mutex::new(db)), path, on_caller: options.on_caller })
    }

    /// As [`Sqlite::open`], by URL (`sqlite:PATH`).
    ///
    /// # Errors
    /// Likewise, and [`Error::Url`].
    pub fn open_url(url: &str, options: &OpenOptions) -> Result<Self, Error> {
        Self::open(sqlite_path(url)?, options)
    }

    /// The file, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that [`JobQueue::wake`] touches; to be watched with [`crate::Wake`].
    #[must_use]
    pub fn wake_path(&self) -> PathBuf {
        place::beside(&self.path, ".wake")
    }

    /// Checks the whole file; takes long for a large one.
    ///
    /// # Errors
    /// When the file cannot be read at all; what is wrong inside it is in the answer.
    pub async fn health(&self) -> Result<Health, Error> {
        self.apart(health::health).await
    }

    /// Writes a consistent copy of the database to a path where nothing is yet, while others go on.
    ///
    /// # Errors
    /// [`Error::Refused`] if something is there.
    pub async fn backup_to(&self, path: &Path) -> Result<(), Error> {
        let path = path.to_owned();
        self.apart(move |db| health::backup(db, &path)).await
    }

    /// Runs `f` on this thread, if it can without waiting. `None`: it could not, nothing happened.
    fn now<T>(&self, f: impl FnOnce(&mut Db) -> Result<T, Error>) -> Option<Result<T, Error>> {
        let wait = if self.on_caller { Wait::Briefly } else { Wait::No };
        let mut db = match self.db.try_lock() {
            Ok(db) => db,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        db.wait_for_locks(wait);
        let result = f(&mut db);
        if db.checkpoint_is_due() {
            self.checkpoint_soon();
        }
        match result {
            Err(Error::Busy(_)) => None,
            other => Some(other),
        }
    }

    /// What a claim took; wakes others where it let in more.
    fn taken(&self, taken: Taken) -> Option<Claimed> {
        if taken.more
            && let Err(error) = wake::touch(&self.wake_path())
        {
            // They poll besides.
            tracing::warn!(%error, "cannot wake those who wait for a job");
        }
        taken.job
    }

    /// Nobody waits for it, but calls that come meanwhile wait for the connection.
    fn checkpoint_soon(&self) {
        let shared = Arc::clone(&self.db);
        tokio::task::spawn_blocking(move || {
            let mut db = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if db.checkpoint_is_due() {
                db.checkpoint();
            }
        });
    }

    /// Runs `f` where it may take long, waiting for locks as long as the busy timeout allows.
    async fn apart<T: Send + 'static>(
        &self,
        f: impl Fn(&mut Db) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if self.on_caller
            && let Some(done) = self.now(&f)
        {
            return done;
        }
        let shared = Arc::clone(&self.db);
        let task = tokio::task::spawn_blocking(move || {
            // A panic in an earlier call has rolled its transaction back; the connection is sound.
            let mut db = shared.lock().unwrap_or_else(PoisonError::into_inner);
            db.wait_for_locks(Wait::Fully);
            let result = f(&mut db);
            if db.checkpoint_is_due() {
                db.checkpoint();
            }
            result
        });
        match task.await {
            Ok(result) => result,
            Err(failed) => match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::Refused("the program is shutting down".into())),
            },
        }
    }
}

#[async_trait]
impl JobQueue for Sqlite {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error> {
        self.apart(move |db| submit::submit(db, &jobs)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        let taken = match self.now(|db| claim::claim(db, claim)) {
            Some(done) => done?,
            None => {
                let claim = claim.clone();
                self.apart(move |db| claim::claim(db, &claim)).await?
            }
        };
        Ok(self.taken(taken))
    }

    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error> {
        if let Some(done) = self.now(|db| lease::renew(db, leases, ttl)) {
            return done;
        }
        let leases = leases.to_vec();
        self.apart(move |db| lease::renew(db, &leases, ttl)).await
    }

    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error> {
        if rows.len() <= SHORT
            && let Some(done) = self.now(|db| record::record(db, job, epoch, rows))
        {
            return done;
        }
        let rows = rows.to_vec();
        self.apart(move |db| record::record(db, job, epoch, &rows)).await
    }

    async fn define(&self, job: JobId, epoch: Epoch, checked: Checked) -> Result<(), Error> {
        self.apart(move |db| record::define(db, job, epoch, &checked)).await
    }

    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error> {
        self.apart(move |db| record::cancelling(db, job, epoch)).await
    }

    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<JobStatus, Error> {
        let rows = rows.to_vec();
        let (status, taken) = self.apart(move |db| end::finish(db, (job, epoch), &rows, &end, None)).await?;
        self.taken(taken);
        Ok(status)
    }

    async fn finish_and_claim(
        &self,
        job: JobId,
        epoch: Epoch,
        rows: &[TaskRow],
        end: JobEnding,
        claim: &Claim,
    ) -> Result<(JobStatus, Option<Claimed>), Error> {
        let (rows, claim) = (rows.to_vec(), claim.clone());
        let (status, taken) = self.apart(move |db| end::finish(db, (job, epoch), &rows, &end, Some(&claim))).await?;
        Ok((status, self.taken(taken)))
    }

    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error> {
        let rows = rows.to_vec();
        self.apart(move |db| end::release(db, job, epoch, &rows)).await
    }

    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error> {
        self.apart(move |db| cancel::cancel(db, job, how)).await
    }

    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error> {
        self.apart(move |db| retry::retry(db, job, &round)).await
    }

    async fn get(&self, job: JobId) -> Result<JobRow, Error> {
        match self.now(|db| read::get(db, job)) {
            Some(done) => done,
            None => self.apart(move |db| read::get(db, job)).await,
        }
    }

    async fn definition(&self, job: JobId) -> Result<(String, String), Error> {
        self.apart(move |db| read::definition(db, job)).await
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, Error> {
        self.apart(move |db| read::tasks(db, job)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error> {
        let filter = filter.clone();
        self.apart(move |db| read::list(db, &filter)).await
    }

    async fn queues(&self) -> Result<Vec<QueueRow>, Error> {
        self.apart(manage::queues).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        let queue = queue.clone();
        self.apart(move |db| manage::pause(db, &queue, paused)).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error> {
        let queue = queue.clone();
        self.apart(move |db| manage::limit(db, &queue, limit)).await
    }

    async fn limit_key(&self, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error> {
        let (queue, key) = (queue.clone(), key.cloned());
        self.apart(move |db| keys::limit(db, &queue, key.as_ref(), limit)).await
    }

    async fn keys(&self, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error> {
        let (queue, key) = (queue.clone(), key.map(str::to_owned));
        self.apart(move |db| keys::keys(db, &queue, key.as_deref())).await
    }

    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error> {
        if let Some(done) = self.now(|db| poll::poll(db, queues, host)) {
            return done;
        }
        let (queues, host) = (queues.to_vec(), host.to_owned());
        self.apart(move |db| poll::poll(db, &queues, &host)).await
    }

    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error> {
        let what = what.clone();
        self.apart(move |db| prune::prune(db, &what)).await
    }

    async fn wake(&self) -> Result<(), Error> {
        wake::touch(&self.wake_path())
    }

    fn watch(&self) -> Result<wake::Wake, Error> {
        wake::Wake::watch(self.wake_path())
    }
}
