//! A queue with injected faults (feature `failpoints`, which no release has): any call may fail before it is made or after,
//! be late, or find the database busy; and the points of the crash matrix that lie at calls of the queue.

use std::{
    fs,
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use failpoint::{Bug, Point};
use workflow_model::{Epoch, JobId, JobStatus, LimitKey, QueueName, TaskStatus};

use crate::{
    CancelHow, Checked, Claim, Claimed, Error, Filter, JobEnding, JobQueue, JobRow, KeyRow, NewJob, NewRound, Poll,
    Prune, QueueRow, Submitted, TaskRow, Wake,
};

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is not made, and fails.
    FailBefore,
    /// It is made, and its answer is lost: it seems to have failed.
    ExecuteThenFail,
    /// It is made later.
    Delay(Duration),
    /// It is not made, since the database is busy.
    Busy,
}

/// Decides what happens to each call.
#[derive(Debug)]
pub enum Faults {
    /// Nothing.
    Never,
    /// Random faults, so many in a million calls.
    Random {
        /// The state of the random numbers.
        state: AtomicU64,
        /// In a million.
        rate: u64,
    },
    /// One fault, at the call with this number (from 1), counted over all processes by the length of a file.
    Nth {
        /// The call.
        number: u64,
        /// What happens to it.
        fault: Fault,
        /// The file.
        counter: std::path::PathBuf,
    },
}

/// A queue whose calls may fail.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn JobQueue>,
    faults: Faults,
}

impl Faults {
    /// Random faults of a seed, so many in a million calls.
    #[must_use]
    pub fn random(seed: u64, rate: u64) -> Self {
        Self::Random { state: AtomicU64::new(seed), rate }
    }

    /// As the files in the folder of failpoints say: `rate` (a seed and a number in a million), `call` (a number, and
    /// `before` or `after`).
    fn of(folder: &Path) -> Self {
        let words = |name: &str| {
            let text = fs::read_to_string(folder.join(name)).ok()?;
            let (number, word) = text.trim().split_once(' ')?;
            Some((number.parse::<u64>().ok()?, word.to_owned()))
        };
        if let Some((seed, rate)) = words("rate") {
            // Each process has its own.
            return Self::random(seed ^ (u64::from(std::process::id()) << 20), rate.parse().unwrap_or(0));
        }
        match words("call") {
            Some((number, word)) => {
                let fault = if word == "after" { Fault::ExecuteThenFail } else { Fault::FailBefore };
                Self::Nth { number, fault, counter: folder.join("calls") }
            }
            None => Self::Never,
        }
    }

    fn next(&self, may_be_repeated: bool) -> Fault {
        match self {
            Self::Never => Fault::None,
            Self::Random { state, rate } => {
                let number = random(state);
                if number % 1_000_000 >= *rate {
                    return Fault::None;
                }
                match (number >> 32) % 4 {
                    0 => Fault::FailBefore,
                    1 if may_be_repeated => Fault::ExecuteThenFail,
                    2 => Fault::Delay(Duration::from_millis(number >> 40 & 0xff)),
                    _ => Fault::Busy,
                }
            }
            Self::Nth { number, fault, counter } => match count(counter) {
                Ok(calls) if calls == *number => *fault,
                _ => Fault::None,
            },
        }
    }
}

/// SplitMix64.
fn random(state: &AtomicU64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn count(counter: &Path) -> std::io::Result<u64> {
    let mut file = fs::OpenOptions::new().append(true).create(true).open(counter)?;
    file.write_all(b".")?;
    Ok(file.metadata()?.len())
}

fn failed() -> Error {
    Error::Disk("a fault that was injected".into())
}

impl Faulty {
    /// The queue with faults.
    #[must_use]
    pub fn new(inner: Arc<dyn JobQueue>, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// The queue as it is where no folder of failpoints is beside the program.
    pub(crate) fn wrap(inner: Arc<dyn JobQueue>) -> Arc<dyn JobQueue> {
        match failpoint::folder() {
            None => inner,
            Some(folder) => Arc::new(Self::new(inner, Faults::of(folder))),
        }
    }

    async fn around<T: Send>(&self, call: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        self.with(self.faults.next(true), call).await
    }

    async fn with<T: Send>(
        &self,
        fault: Fault,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        match fault {
            Fault::None => call.await,
            Fault::FailBefore => Err(failed()),
            Fault::Busy => Err(Error::Busy("a fault that was injected".into())),
            Fault::Delay(time) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Fault::ExecuteThenFail => {
                call.await?;
                Err(failed())
            }
        }
    }
}

/// Lets the answer of a call be lost at a point.
fn after<T>(point: Point, answer: Result<T, Error>) -> Result<T, Error> {
    let answer = answer?;
    if failpoint::at(point) { Err(failed()) } else { Ok(answer) }
}

/// Whether the rows tell of an attempt's end.
fn has_end(rows: &[TaskRow]) -> bool {
    rows.iter().any(|row| row.status != TaskStatus::Running && row.attempt.0 > 0)
}

#[async_trait]
impl JobQueue for Faulty {
    async fn submit(&self, jobs: Vec<NewJob>) -> Result<Vec<Submitted>, Error> {
        if failpoint::at(Point::C1) {
            return Err(failed());
        }
        if failpoint::has(Bug::SubmitLost) && jobs.iter().any(|job| job.id.to_string().ends_with(['0', '5', 'a', 'f']))
        {
            return Ok(jobs.iter().map(|job| Submitted { id: job.id, created: true }).collect());
        }
        after(Point::C3, self.around(self.inner.submit(jobs)).await)
    }

    async fn claim(&self, claim: &Claim) -> Result<Option<Claimed>, Error> {
        // The answer may be lost only to one who can claim it as its own again.
        let own = claim.dead.contains(&claim.owner);
        let claimed = self.with(self.faults.next(own), self.inner.claim(claim)).await?;
        if claimed.is_some() { after(Point::C4, Ok(claimed)) } else { Ok(claimed) }
    }

    async fn renew(&self, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error> {
        self.around(self.inner.renew(leases, ttl)).await
    }

    async fn record(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<(), Error> {
        let end = has_end(rows);
        if end && failpoint::at(Point::C13) {
            return Err(failed());
        }
        let answer = self.around(self.inner.record(job, epoch, rows)).await;
        if end { after(Point::C14, answer) } else { answer }
    }

    async fn define(&self, job: JobId, epoch: Epoch, checked: Checked) -> Result<(), Error> {
        self.around(self.inner.define(job, epoch, checked)).await
    }

    async fn cancelling(&self, job: JobId, epoch: Epoch) -> Result<(), Error> {
        self.around(self.inner.cancelling(job, epoch)).await
    }

    async fn finish(&self, job: JobId, epoch: Epoch, rows: &[TaskRow], end: JobEnding) -> Result<JobStatus, Error> {
        if failpoint::at(Point::C16) {
            return Err(failed());
        }
        after(Point::C17, self.around(self.inner.finish(job, epoch, rows, end)).await)
    }

    async fn finish_and_claim(
        &self,
        job: JobId,
        epoch: Epoch,
        rows: &[TaskRow],
        end: JobEnding,
        claim: &Claim,
    ) -> Result<(JobStatus, Option<Claimed>), Error> {
        if failpoint::at(Point::C16) {
            return Err(failed());
        }
        let fault = self.faults.next(claim.dead.contains(&claim.owner));
        let answer = self.with(fault, self.inner.finish_and_claim(job, epoch, rows, end, claim)).await;
        let (status, next) = after(Point::C17, answer)?;
        if next.is_some() { after(Point::C4, Ok((status, next))) } else { Ok((status, next)) }
    }

    async fn release(&self, job: JobId, epoch: Epoch, rows: &[TaskRow]) -> Result<JobStatus, Error> {
        self.around(self.inner.release(job, epoch, rows)).await
    }

    async fn cancel(&self, job: JobId, how: CancelHow) -> Result<JobStatus, Error> {
        self.around(self.inner.cancel(job, how)).await
    }

    async fn retry(&self, job: JobId, round: NewRound) -> Result<(), Error> {
        // Repeated it is refused, since the round is another by then: its answer is not lost.
        self.with(self.faults.next(false), self.inner.retry(job, round)).await
    }

    async fn get(&self, job: JobId) -> Result<JobRow, Error> {
        self.around(self.inner.get(job)).await
    }

    async fn definition(&self, job: JobId) -> Result<(String, String), Error> {
        self.around(self.inner.definition(job)).await
    }

    async fn tasks(&self, job: JobId) -> Result<Vec<TaskRow>, Error> {
        self.around(self.inner.tasks(job)).await
    }

    async fn list(&self, filter: &Filter) -> Result<Vec<JobRow>, Error> {
        self.around(self.inner.list(filter)).await
    }

    async fn queues(&self) -> Result<Vec<QueueRow>, Error> {
        self.around(self.inner.queues()).await
    }

    async fn pause(&self, queue: &QueueName, paused: bool) -> Result<(), Error> {
        self.around(self.inner.pause(queue, paused)).await
    }

    async fn limit(&self, queue: &QueueName, limit: Option<u32>) -> Result<(), Error> {
        self.around(self.inner.limit(queue, limit)).await
    }

    async fn limit_key(&self, queue: &QueueName, key: Option<&LimitKey>, limit: Option<u32>) -> Result<(), Error> {
        self.around(self.inner.limit_key(queue, key, limit)).await
    }

    async fn keys(&self, queue: &QueueName, key: Option<&str>) -> Result<Vec<KeyRow>, Error> {
        self.around(self.inner.keys(queue, key)).await
    }

    async fn poll(&self, queues: &[QueueName], host: &str) -> Result<Poll, Error> {
        self.around(self.inner.poll(queues, host)).await
    }

    async fn prune(&self, what: &Prune) -> Result<Vec<JobId>, Error> {
        // The ids are told once: whoever lost them would keep the folders.
        self.with(self.faults.next(false), self.inner.prune(what)).await
    }

    async fn wake(&self) -> Result<(), Error> {
        self.inner.wake().await
    }

    async fn is_served(&self, queue: &QueueName) -> Result<Option<bool>, Error> {
        self.around(self.inner.is_served(queue)).await
    }

    fn watch(&self) -> Result<Wake, Error> {
        self.inner.watch()
    }
}
