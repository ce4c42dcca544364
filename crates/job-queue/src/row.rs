//! What the queue keeps: jobs, their tasks, and the lease.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use workflow_model::{
    Attempt, Cause, Epoch, ExecutorKind, JobId, JobStatus, LimitKey, Nonce, QueueName, TaskIx, TaskStatus,
};

/// A moment in microseconds since 1970, by the database's clock (SQLite: this host's).
pub type Micros = i64;

/// A job to be put into a queue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Made by the client: repeating a submit with the same id is safe.
    pub id: JobId,
    /// The queue.
    pub queue: QueueName,
    /// A name for people.
    pub name: Option<String>,
    /// The validated definition in its canonical JSON (immutable).
    pub definition: String,
    /// Its hash.
    pub hash: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Idempotency key, unique among the jobs of the queue.
    pub key: Option<String>,
    /// What it shares a limit with ([`JobQueue::limit_key`](crate::JobQueue::limit_key)).
    pub limit_key: Option<LimitKey>,
    /// Higher first.
    pub priority: i32,
    /// Not before.
    pub run_at: Option<Micros>,
    /// Who submitted it (uid or token), for `@last` and `--mine`.
    pub submitter: String,
    /// What the command line adds for this job (environment, timeout, folder of the job files); opaque to the queue.
    pub settings: String,
    /// Where its files are already ([`Claim::place`]), if it comes with some.
    pub store: Option<String>,
}

/// `later` of a job with a limit key that waits for a place: no claim looks at it, and no moment is as late.
pub(crate) const NO_PLACE: Micros = Micros::MAX;

impl NewJob {
    /// `run_at`, told apart from [`NO_PLACE`].
    pub(crate) fn moment(&self) -> Option<Micros> {
        self.run_at.map(|at| if self.limit_key.is_some() { at.min(NO_PLACE - 1) } else { at })
    }
}

/// What a submit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submitted {
    /// The job's id: that of an earlier job if the key was taken by one with the same definition.
    pub id: JobId,
    /// Whether this call made it.
    pub created: bool,
}

/// A job as lists show it: everything but the definition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// The id.
    pub id: JobId,
    /// The queue.
    pub queue: QueueName,
    /// The name for people.
    pub name: Option<String>,
    /// The state.
    pub status: JobStatus,
    /// Why it did not succeed.
    pub cause: Option<Cause>,
    /// In words.
    pub message: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The idempotency key.
    pub key: Option<String>,
    /// What it shares a limit with.
    #[serde(default)]
    pub limit_key: Option<String>,
    /// Higher first.
    pub priority: i32,
    /// Not before.
    pub run_at: Option<Micros>,
    /// Who submitted it.
    pub submitter: String,
    /// The definition's hash.
    pub hash: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// Tasks that are terminal so far, by status, as of the last record.
    pub counts: Counts,
    /// When it was submitted.
    pub created: Micros,
    /// When a worker first took it in this round.
    pub started: Option<Micros>,
    /// When it ended.
    pub ended: Option<Micros>,
    /// From 1; grows with each `retry`.
    pub round: u32,
    /// The lease's fencing number; 0 = never claimed.
    pub epoch: Epoch,
    /// Who has it.
    pub owner: Option<Owner>,
    /// When the lease ends.
    pub lease_until: Option<Micros>,
    /// A cancel that was asked for.
    pub cancel: Option<CancelHow>,
    /// The store its files are in, once known.
    pub store: Option<String>,
}

/// The hash of a text begins so until it has been checked.
const UNCHECKED: &str = "source:";

impl JobRow {
    /// Whether its definition is the text of a workflow file as somebody gave it (from SQL): the worker that claims the
    /// job checks it.
    #[must_use]
    pub fn is_unchecked(&self) -> bool {
        self.hash.starts_with(UNCHECKED)
    }
}

/// Tasks by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Attempts under way.
    pub running: u32,
    /// Ended well.
    pub succeeded: u32,
    /// Ended badly.
    pub failed: u32,
    /// Never started.
    pub skipped: u32,
    /// Cancelled.
    pub cancelled: u32,
}

/// A worker's place: the slot `<queue><NN>` under one run-dir of one host. A later process in the same slot is the
/// same owner; that the earlier one is dead is proved by holding the slot's lock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The host's id.
    pub host: String,
    /// The run-dir's id (a hash of its path).
    pub run_dir: String,
    /// The slot, e.g. `default00`.
    pub slot: String,
}

/// How to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelHow {
    /// Stop what runs; `always` tasks may still clean up, bounded (the table of states).
    Cancel,
    /// Nothing is started any more.
    Now,
}

/// What is kept of a task, from its first change of state on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    /// The task.
    pub task: TaskIx,
    /// The state.
    pub status: TaskStatus,
    /// The newest attempt's number; 0 = none yet.
    pub attempt: Attempt,
    /// Retries spent in this round.
    pub retries: u32,
    /// Attempts lost to the infrastructure in this round.
    pub losses: u32,
    /// Why it did not succeed (for `waiting` and `retrying`: why the last attempt did not).
    pub cause: Option<Cause>,
    /// In words, under 1 kB.
    pub message: Option<String>,
    /// The program's return code or 128 + signal, where there is one.
    pub code: Option<i32>,
    /// When the newest attempt was launched.
    pub started: Option<Micros>,
    /// When the newest attempt ended.
    pub ended: Option<Micros>,
    /// When the next attempt may begin (`retrying`).
    pub retry_at: Option<Micros>,
    /// The running attempt's process, while there is one.
    pub attempt_process: Option<AttemptProcess>,
    /// The intent to stop the running attempt, committed before the stop.
    pub stopping: Option<StopWhy>,
}

impl TaskRow {
    /// A task that waits, and whose newest attempt was this one (0 = it had none).
    #[must_use]
    pub fn waiting(task: TaskIx, attempt: Attempt) -> Self {
        Self {
            task,
            status: TaskStatus::Waiting,
            attempt,
            retries: 0,
            losses: 0,
            cause: None,
            message: None,
            code: None,
            started: None,
            ended: None,
            retry_at: None,
            attempt_process: None,
            stopping: None,
        }
    }

    /// Rows at the places that their tasks have in a new definition; `kept` names the old task of each new one, where there
    /// is one (see [`NewRound::definition`]).
    #[must_use]
    pub fn moved(rows: &[Self], kept: &[Option<TaskIx>]) -> Vec<Self> {
        let by_task: HashMap<TaskIx, &Self> = rows.iter().map(|row| (row.task, row)).collect();
        let moved = (0..).zip(kept).filter_map(|(ix, from)| {
            let task = TaskIx(ix);
            match from.and_then(|from| by_task.get(&from)) {
                Some(row) => Some(Self { task, ..(*row).clone() }),
                // Another task had attempts at this index: go on counting from there.
                None => by_task.get(&task).map(|row| Self::waiting(task, row.attempt)),
            }
        });
        moved.collect()
    }
}

/// Who runs an attempt: what a later worker needs to adopt it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptProcess {
    /// The task executor's process number.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// The boot of the host.
    pub boot_id: String,
    /// The host.
    pub host: String,
    /// What its report must carry.
    pub nonce: Nonce,
}

/// Why an attempt is being stopped; its end is mapped by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhy {
    /// The worker is shutting down: the task waits again, no retry is spent.
    Release,
    /// The task's timeout, seen by the worker (the executor did not enforce it).
    Timeout,
    /// The job is being cancelled.
    Cancel,
}

/// A worker asks for a job.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The queue.
    pub queue: QueueName,
    /// Who asks.
    pub owner: Owner,
    /// The executor that the worker has: written down by a queue's first worker, checked ever after.
    pub executor: ExecutorKind,
    /// The store that the worker sees, likewise.
    pub store: String,
    /// Which store that is, where several hosts have one of that name each (a folder of the host's own): a job whose files
    /// are in one is given only to workers that name it. `None`: the name says it.
    pub place: Option<String>,
    /// Owners known dead since the caller holds their slots' locks (its own slot among them): their jobs of this queue
    /// come first. Of owners under the caller's run-dir the list is believed, and nothing else takes a job from them, not
    /// even an expired lease. Jobs of other owners (another host's) are taken only if their lease has expired besides.
    pub dead: Vec<Owner>,
    /// The lease's length.
    pub ttl: Duration,
    /// Whether queued jobs are wanted too, or only those of `dead`.
    pub fresh: bool,
}

impl Claim {
    /// Where the files of its jobs are.
    #[must_use]
    pub fn place(&self) -> &str {
        self.place.as_deref().unwrap_or(&self.store)
    }

    /// The queue is another's.
    pub(crate) fn mismatch(&self, executor: &str, store: &str) -> crate::Error {
        crate::Error::Mismatch(format!(
            "queue {} belongs to executor {executor} with job files in {store}, as its first worker wrote down; this worker \
             has executor {} and {}: configure it likewise, or serve another queue (`--qname`)",
            self.queue, self.executor, self.store
        ))
    }
}

/// A job that was claimed.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The job, with the new epoch.
    pub job: JobRow,
    /// Its definition.
    pub definition: String,
    /// What the command line added.
    pub settings: String,
    /// Its tasks so far.
    pub tasks: Vec<TaskRow>,
    /// Whether it was taken over from a dead owner (its attempts may still run), not from the queue.
    pub resumed: bool,
}

/// A new round of a terminal job.
#[derive(Debug, Clone, Default)]
pub struct NewRound {
    /// The round that the caller saw; another = refused.
    pub seen: u32,
    /// These tasks wait again (attempt numbers are kept, retries and losses start at 0). Tasks of the new definition,
    /// where there is one. Rows that are not terminal wait again in any case.
    pub reset: Vec<TaskIx>,
    /// A corrected definition (JSON, hash, number of tasks) and, for each of its tasks, the old task whose row it keeps.
    pub definition: Option<(String, String, u32, Vec<Option<TaskIx>>)>,
    /// New settings.
    pub settings: Option<String>,
    /// The queue to put it in (a `run` job's new reserved queue), if not the old one.
    pub queue: Option<QueueName>,
}

/// Which jobs a list shows; all conditions hold, newest first.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this queue.
    pub queue: Option<QueueName>,
    /// With this name.
    pub name: Option<String>,
    /// With all these labels.
    pub labels: Vec<(String, String)>,
    /// In one of these states; empty = any.
    pub states: Vec<JobStatus>,
    /// Of this submitter.
    pub submitter: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// With this limit key.
    pub limit_key: Option<String>,
    /// Whose id ends in this text.
    pub id_suffix: Option<String>,
    /// At most so many; `None` = all.
    pub limit: Option<u32>,
}

/// A queue as `queue ls` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRow {
    /// The name.
    pub name: QueueName,
    /// Whether claims are held back.
    pub paused: bool,
    /// At most so many jobs of it run at once, over all hosts.
    pub limit: Option<u32>,
    /// At most so many jobs of each limit key run at once, if the key has no limit of its own; `None` = 1.
    pub key_limit: Option<u32>,
    /// Written down by its first worker.
    pub executor: Option<ExecutorKind>,
    /// Written down by its first worker.
    pub store: Option<String>,
    /// Jobs waiting.
    pub queued: u64,
    /// Jobs under way.
    pub running: u64,
}

/// A limit key of a queue: one that has jobs, or a limit of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// The key.
    pub key: String,
    /// At most so many jobs with it run at once.
    pub limit: u32,
    /// Whether that was set for this key, not for all keys of the queue.
    pub own: bool,
    /// Jobs under way. (They are counted: nothing else says how much of the limit is taken.)
    pub running: u64,
    /// Jobs that wait, but for those whose time has not come.
    pub queued: u64,
    /// The one of them that comes next.
    pub next: Option<JobId>,
}

/// What a manager's poll found: one query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Poll {
    /// Queues that have a job to claim now.
    pub ready: Vec<QueueName>,
    /// When the next `run_at` comes, if there is one.
    pub next: Option<Micros>,
    /// How long that is from now by the queue's clock, which may not be the caller's.
    pub next_in: Option<Duration>,
    /// Cancels asked for among the jobs that this host's workers have.
    pub cancels: Vec<(JobId, Epoch, CancelHow)>,
    /// Who has jobs of these queues under way. An owner here that is no worker of the caller's, and whose slot's lock
    /// the caller can take, is dead: its jobs are to be claimed ([`Claim::dead`]).
    pub owners: Vec<Owner>,
    /// Those whose leases have expired. Jobs of such that are not under the caller's run-dir may be claimed
    /// ([`Claim::dead`]). SQLite names none.
    pub expired: Vec<Owner>,
    /// Of each of `owners`, when the first of its leases ends by the queue's clock. One that lives changes this with every
    /// beat, so a caller can tell it from a dead one also when that clock has been set (F80). SQLite names none.
    pub leases: Vec<(Owner, Micros)>,
}

/// Which jobs to forget: terminal ones that `ended_before` or `keep` names, and those of `abandoned`. Without any rule,
/// none.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Those that ended before this moment.
    pub ended_before: Option<Micros>,
    /// Failed and cancelled ones when they ended before this moment, and only then (they are kept longer).
    pub failed_before: Option<Micros>,
    /// Those beyond the newest so many that ended.
    pub keep: Option<u64>,
    /// Jobs that have not ended and never will: the caller knows that nobody has them, or will (interrupted foreground
    /// runs). Each goes if it still has this epoch, so not if somebody claimed it meanwhile.
    pub abandoned: Vec<(JobId, Epoch)>,
    /// Only say which.
    pub dry_run: bool,
}
