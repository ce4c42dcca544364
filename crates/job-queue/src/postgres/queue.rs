//! The handle: which calls go through which lane, and what is remembered of calls without an answer.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};
use workflow_model::{Epoch, JobId, JobStatus, LimitKey, QueueName};

use super::{
    cancel,
    claim::{self, Asked, Mark, Tokens},
    connect::{CHANNEL, Purpose},
    define, health,
    health::ServerHealth,
    keys,
    lane::{Lane, Times},
    lease, manage, poll, presence, prune, read, release, retry, schema,
    session::Session,
    step, submit,
    target::Target,
};
use crate::{
    CancelHow, Checked, Claim, Claimed, Error, Filter, JobEnding, JobQueue, JobRow, KeyRow, NewJob, NewRound,
    OpenOptions, Poll, Prune, QueueRow, Submitted, TaskRow, Wake,
};

/// Calls: a worker that has nothing to do holds no connection.
const CALLS: Times = Times { answer: Duration::from_secs(35), idle: Some(Duration::from_secs(10)) };
/// Steps of a job: whoever waits for them also hears whether to stop.
const STEPS: Times = Times { answer: Duration::from_secs(10), idle: Some(Duration::from_secs(10)) };
/// Listening, polling: the poll is also how a half-open connection is found (F39).
const EARS: Times = Times { answer: Duration::from_secs(10), idle: None };
/// Renewals wait for nothing of ours (F44).
const BEATS: Times = Times { answer: Duration::from_secs(10), idle: None };
/// Polling takes at most one in so many times its length, whoever wakes us.
const POLL_SHARE: u32 = 4;
const LONGEST_POLL_PAUSE: Duration = Duration::from_secs(1);

/// A queue in a PostgreSQL database. Clones share their connections: one for most calls, and in a manager one for
/// renewals and one for listening and polling. Calls must be made within a tokio runtime.
#[derive(Clone)]
pub struct Postgres(Arc<Inner>);

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Postgres").field(&self.0.target.shown).finish()
    }
}

struct Inner {
    target: Arc<Target>,
    steps: Lane,
    calls: Lane,
    beats: Lane,
    ears: Lane,
    signal: Arc<Notify>,
    /// Whether this is a manager's, which serves the queues that it polls.
    serves: AtomicBool,
    mark: Mutex<Mark>,
    /// A claim without an answer: the next one asks for what it took.
    claimed: Mutex<Option<Tokens>>,
    /// Rounds that were asked for without an answer.
    retried: Mutex<HashSet<(JobId, u32)>>,
    poll_again: Mutex<Option<Instant>>,
    /// In which life of the database the last job was claimed.
    claimed_in: Mutex<Option<String>>,
}

impl Postgres {
    /// Reads the URL; the first call connects.
    ///
    /// # Errors
    /// [`Error::Url`].
    pub fn open(url: &str, options: &OpenOptions) -> Result<Self, Error> {
        let target = Arc::new(Target::new(url, options)?);
        let signal = Arc::new(Notify::new());
        Ok(Self(Arc::new(Inner {
            steps: Lane::new(&target, Purpose::Calls, STEPS),
            calls: Lane::new(&target, Purpose::Calls, CALLS),
            beats: Lane::new(&target, Purpose::Calls, BEATS),
            ears: Lane::new(&target, Purpose::Listen(Arc::clone(&signal)), EARS),
            target,
            signal,
            serves: AtomicBool::new(false),
            mark: Mutex::default(),
            claimed: Mutex::default(),
            retried: Mutex::default(),
            poll_again: Mutex::default(),
            claimed_in: Mutex::default(),
        })))
    }

    /// Brings the database to this version's form; answers what was done, in words.
    ///
    /// # Errors
    /// The user lacks the rights, or a newer qmanager made the database.
    pub async fn migrate(&self) -> Result<String, Error> {
        let times = Times { answer: Duration::from_secs(3600), idle: None };
        let lane = Lane::new(&self.0.target, Purpose::Migrate, times);
        let had = lane.run(|session| async move { schema::migrate(&session).await }).await?;
        let shown = &self.0.target.shown;
        Ok(match had {
            had if had == schema::VERSION => format!("{shown} has this version's form already"),
            0 => format!("{shown} holds a queue now (schema {})", schema::VERSION),
            had => format!("{shown} was brought from schema {had} to {}", schema::VERSION),
        })
    }

    /// Which server it is, and how large the queue has become.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub async fn health(&self) -> Result<ServerHealth, Error> {
        self.0.calls.run(|session| async move { health::health(&session).await }).await
    }

    /// A standby that was promoted, or a backup that was restored, may lack what we recorded, and may give out our epoch a
    /// second time: whoever claimed before counts as fenced, and goes on from what the database knows now.
    fn same_life(&self, session: &Session) -> Result<(), Error> {
        let now = session.incarnation();
        match &*locked(&self.0.claimed_in) {
            Some(before) if before != now && !before.is_empty() && !now.is_empty() => Err(Error::Fenced),
            _ => Ok(()),
        }
    }

    fn claimed(&self, session: &Session, claimed: Option<&Claimed>) {
        if claimed.is_some() {
            *locked(&self.0.claimed_in) = Some(session.incarnation().to_owned());
        }
    }

    /// The tokens of a claim: those of the last one if that has had no answer.
    fn tokens(&self) -> (Tokens, AtomicBool) {
        let doubtful = locked(&self.0.claimed).take();
        (doubtful.unwrap_or_else(Tokens::generate), AtomicBool::new(doubtful.is_some()))
    }

    fn remember(&self, tokens: Tokens, unsure: &AtomicBool, failed: Option<&Error>) {
        if failed.is_some_and(Error::is_transient) && unsure.load(Ordering::Relaxed) {
            *locked(&self.0.claimed) = Some(tokens);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl JobQueue for Postgres {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error> {
        let jobs = &jobs;
        // What an earlier try put in was made by this call all the same.
        let unsure = AtomicBool::new(false);
        let done =
            self.0.calls.run_noting(&unsure, |session| async move { submit::submit(&session, jobs).await }).await;
        let mut done = done?;
        if unsure.load(Ordering::Relaxed) {
            done.iter_mut().zip(jobs).for_each(|(done, job)| done.created |= done.id == job.id);
        }
        Ok(done)
    }

    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        let (tokens, unsure) = self.tokens();
        let result = self
            .0
            .steps
            .run_noting(&unsure, |session| {
                let asked = Asked { claim, tokens, unsure: unsure.load(Ordering::Relaxed), within: false };
                async move {
                    let mut mark = *locked(&self.0.mark);
                    let claimed = claim::claim(&session, &asked, &mut mark).await;
                    *locked(&self.0.mark) = mark;
                    let claimed = claimed?;
                    self.claimed(&session, claimed.as_ref());
                    Ok(claimed)
                }
            })
            .await;
        self.remember(tokens, &unsure, result.as_ref().err());
        result
    }

    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.0.beats.run(|session| async move { lease::renew(&session, leases, ttl).await }).await
    }

    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error> {
        let call = |session: Arc<Session>| async move {
            self.same_life(&session)?;
            step::record(&session, job, epoch, rows).await
        };
        self.0.steps.run(call).await
    }

    async fn define(&self, job: JobId, epoch: Epoch, checked: Checked) -> Result<(), Error> {
        let checked = &checked;
        let call = |session: Arc<Session>| async move {
            self.same_life(&session)?;
            define::define(&session, job, epoch, checked).await
        };
        self.0.steps.run(call).await
    }

    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error> {
        let call = |session: Arc<Session>| async move {
            self.same_life(&session)?;
            release::cancelling(&session, job, epoch).await
        };
        self.0.steps.run(call).await
    }

    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<JobStatus, Error> {
        let end = &end;
        self.0
            .steps
            .run(|session| async move {
                self.same_life(&session)?;
                step::finish(&session, (job, epoch), rows, end).await
            })
            .await
    }

    async fn finish_and_claim(
        &self,
        job: JobId,
        epoch: Epoch,
        rows: &[TaskRow],
        end: JobEnding,
        claim: &Claim,
    ) -> Result<(JobStatus, Option<Claimed>), Error> {
        let end = &end;
        let (tokens, unsure) = self.tokens();
        let result = self
            .0
            .steps
            .run_noting(&unsure, |session| {
                let asked = Asked { claim, tokens, unsure: unsure.load(Ordering::Relaxed), within: true };
                async move {
                    self.same_life(&session)?;
                    let mut mark = *locked(&self.0.mark);
                    let done = step::finish_and_claim(&session, (job, epoch), rows, end, &asked, &mut mark).await;
                    *locked(&self.0.mark) = mark;
                    done
                }
            })
            .await;
        self.remember(tokens, &unsure, result.as_ref().err());
        result
    }

    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error> {
        *locked(&self.0.mark) = Mark::default();
        self.0
            .steps
            .run(|session| async move {
                self.same_life(&session)?;
                release::release(&session, (job, epoch), rows).await
            })
            .await
    }

    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error> {
        self.0.calls.run(|session| async move { cancel::cancel(&session, job, how).await }).await
    }

    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error> {
        *locked(&self.0.mark) = Mark::default();
        let (round, key) = (&round, (job, round.seen));
        let unsure = AtomicBool::new(locked(&self.0.retried).contains(&key));
        let result = self
            .0
            .steps
            .run_noting(&unsure, |session| {
                let unsure = unsure.load(Ordering::Relaxed);
                async move { retry::retry(&session, job, round, unsure).await }
            })
            .await;
        let doubtful = unsure.load(Ordering::Relaxed) && result.as_ref().is_err_and(Error::is_transient);
        if doubtful {
            locked(&self.0.retried).insert(key);
        } else {
            locked(&self.0.retried).remove(&key);
        }
        result
    }

    async fn get(&self, job: JobId) -> Result<JobRow, Error> {
        self.0.calls.run(|session| async move { read::job(&session, job).await }).await
    }

    async fn definition(&self, job: JobId) -> Result<(String, String), Error> {
        self.0.calls.run(|session| async move { read::definition(&session, job).await }).await
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, Error> {
        self.0.calls.run(|session| async move { read::tasks(&session, job).await }).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error> {
        self.0.calls.run(|session| async move { read::list(&session, filter).await }).await
    }

    async fn queues(&self) -> Result<Vec<QueueRow>, Error> {
        self.0.calls.run(|session| async move { manage::queues(&session).await }).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        self.0.calls.run(|session| async move { manage::pause(&session, queue, paused).await }).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error> {
        self.0.calls.run(|session| async move { manage::limit(&session, queue, limit).await }).await
    }

    async fn limit_key(&self, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error> {
        self.0.calls.run(|session| async move { keys::limit(&session, queue, key, limit).await }).await
    }

    async fn keys(&self, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error> {
        self.0.calls.run(|session| async move { keys::keys(&session, queue, key).await }).await
    }

    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error> {
        let again = *locked(&self.0.poll_again);
        if let Some(again) = again {
            tokio::time::sleep_until(again).await;
        }
        let began = Instant::now();
        let serves = self.0.serves.load(Ordering::Relaxed);
        let call = |session: Arc<Session>| async move {
            if serves {
                presence::say(&session, queues).await?;
            }
            poll::poll(&session, queues, host).await
        };
        let result = self.0.ears.run(call).await;
        let pause = (began.elapsed() * POLL_SHARE).min(LONGEST_POLL_PAUSE);
        *locked(&self.0.poll_again) = Some(Instant::now() + pause);
        result
    }

    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error> {
        prune::prune(&self.0.calls, what).await
    }

    async fn wake(&self) -> Result<(), Error> {
        self.0.calls.run(|session| async move { session.batch(&format!("NOTIFY {CHANNEL}")).await }).await
    }

    async fn is_served(&self, queue: &QueueName) -> Result<Option<bool>, Error> {
        self.0.calls.run(|session| async move { presence::is_served(&session, queue).await }).await.map(Some)
    }

    fn watch(&self) -> Result<Wake, Error> {
        self.0.serves.store(true, Ordering::Relaxed);
        Ok(Wake::notified(Arc::clone(&self.0.signal)))
    }
}
