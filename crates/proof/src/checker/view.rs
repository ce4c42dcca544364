//! The evidence, put in order: attempts with what was recorded of them and what they said themselves.

use std::collections::{BTreeMap, HashMap};

use crate::{
    audit::{Change, Changed, TaskRow},
    clock::SECOND,
    evidence::Evidence,
    host::CONTROL,
    nemesis::{Fault, Kind},
    plan::{JobPlan, TaskPlan},
    witness::Mark,
};

/// The clocks of database and witnesses are compared to the millisecond.
pub(super) const CLOCKS: i64 = 5_000;

/// A job, a task's index, an attempt.
pub(super) type Key<'a> = (&'a str, usize, u32);

/// What is known of an attempt.
#[derive(Debug, Default)]
pub(super) struct Attempt<'a> {
    /// When it said that it begins (more than once is wrong).
    pub(super) begins: Vec<i64>,
    /// When it said that it ends, and with which code.
    pub(super) end: Option<(i64, i32)>,
    /// The last that was heard of the task itself.
    pub(super) last: i64,
    /// The last that was heard of what it left in the background.
    pub(super) grandchild: Option<i64>,
    /// On which host.
    pub(super) host: &'a str,
    /// The change that recorded it as running.
    pub(super) registered: Option<&'a Change>,
    /// The intents to stop it that were recorded.
    pub(super) stopping: Vec<(&'a Change, &'a str)>,
    /// The change that recorded its end.
    pub(super) closed: Option<(&'a Change, Closed<'a>)>,
}

/// How an attempt ended, as recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed<'a> {
    pub(super) status: &'a str,
    pub(super) cause: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) code: Option<i32>,
    pub(super) retries: u32,
    pub(super) losses: u32,
    /// There is no row of it: the next attempt was recorded in the same step, and the counts tell why.
    pub(super) implied: bool,
}

/// The evidence in order.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) evidence: &'a Evidence,
    /// All that were recorded or that said something.
    pub(super) attempts: BTreeMap<Key<'a>, Attempt<'a>>,
    /// The audit trail by job.
    pub(super) jobs: BTreeMap<&'a str, Vec<&'a Change>>,
    plans: HashMap<&'a str, &'a JobPlan>,
    keys: HashMap<&'a str, &'a str>,
}

impl<'a> View<'a> {
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let mut view = Self {
            evidence,
            attempts: BTreeMap::new(),
            jobs: BTreeMap::new(),
            plans: evidence.plans.iter().map(|plan| (plan.key.as_str(), plan)).collect(),
            keys: HashMap::new(),
        };
        for change in &evidence.audit {
            view.jobs.entry(&change.job).or_default().push(change);
            match &change.what {
                Changed::Job { key: Some(key), .. } => drop(view.keys.insert(&change.job, key)),
                Changed::Task(row) => view.record(change, row),
                Changed::Job { .. } | Changed::TaskGone { .. } => {}
            }
        }
        for line in &evidence.witness {
            let attempt = view.attempts.entry((&line.job, line.task, line.attempt)).or_default();
            attempt.host = &line.host;
            match line.mark {
                Mark::Begin => attempt.begins.push(line.t),
                Mark::End(rc) => attempt.end = Some((line.t, rc)),
                Mark::Grandchild => attempt.grandchild = attempt.grandchild.max(Some(line.t)),
                Mark::Tick => {}
            }
            if line.mark != Mark::Grandchild {
                attempt.last = attempt.last.max(line.t);
            }
        }
        view
    }

    fn record(&mut self, change: &'a Change, row: &'a TaskRow) {
        if row.status == "running" {
            self.imply(change, row);
        }
        let attempt = self.attempts.entry((&change.job, row.task, row.attempt)).or_default();
        if row.status == "running" {
            attempt.registered.get_or_insert(change);
            if let Some(why) = &row.stopping {
                attempt.stopping.push((change, why));
            }
        } else if attempt.registered.is_some() && attempt.closed.is_none() {
            let closed = Closed {
                status: &row.status,
                cause: row.cause.as_deref(),
                message: row.message.as_deref(),
                code: row.code,
                retries: row.retries,
                losses: row.losses,
                implied: false,
            };
            attempt.closed = Some((change, closed));
        }
    }

    /// A new attempt ends the one before, if nothing else has.
    fn imply(&mut self, change: &'a Change, row: &'a TaskRow) {
        let newer = self.of_task(&change.job, row.task).filter(|((.., n), _)| *n < row.attempt);
        let open = newer.last().filter(|(_, attempt)| attempt.registered.is_some() && attempt.closed.is_none());
        let Some((&(.., n), before)) = open else { return };
        let losses = before.registered.map_or(0, |change| match &change.what {
            Changed::Task(row) => row.losses,
            Changed::Job { .. } | Changed::TaskGone { .. } => 0,
        });
        let cause = (row.losses > losses).then_some("lost_executor");
        let (retries, losses) = (row.retries, row.losses);
        let closed = Closed { status: "retrying", cause, message: None, code: None, retries, losses, implied: true };
        if let Some(before) = self.attempts.get_mut(&(change.job.as_str(), row.task, n)) {
            before.closed = Some((change, closed));
        }
    }

    /// What was planned for a job.
    pub(super) fn plan(&self, job: &str) -> Option<&'a JobPlan> {
        self.plans.get(self.keys.get(job)?).copied()
    }

    /// What was planned for a task.
    pub(super) fn task(&self, job: &str, task: usize) -> Option<&'a TaskPlan> {
        self.plan(job)?.tasks.get(task)
    }

    /// When a change was committed, on the monotonic clock.
    pub(super) fn time(&self, change: &Change) -> i64 {
        change.t - self.evidence.about.offset
    }

    /// Effective faults.
    pub(super) fn faults(&self) -> impl Iterator<Item = &'a Fault> {
        self.evidence.faults.iter().filter(|fault| fault.effective)
    }

    /// Whether a fault that delays jobs, other than `but`, lasted into this time or ended shortly before.
    pub(super) fn is_disturbed(&self, from: i64, to: i64, but: Option<&Fault>) -> bool {
        let about = &self.evidence.about;
        let after = about.lease + about.grace + about.slack;
        self.faults().any(|fault| {
            let same = but.is_some_and(|but| but.t == fault.t && but.kind == fault.kind);
            // The control queue has one worker, which waits for a task executor that is stopped until its lease has ended.
            let of_control = fault.attempt.as_ref().and_then(|(job, ..)| self.plan(job));
            let delays = fault.kind.delays() || of_control.is_some_and(|plan| plan.queue == CONTROL);
            !same && delays && fault.t.0 <= to && fault.t.1 + after >= from
        })
    }

    /// Whether a fault explains that this attempt was lost.
    pub(super) fn may_be_lost(&self, key: Key<'_>) -> bool {
        let Some(attempt) = self.attempts.get(&key) else { return false };
        let (Some(registered), Some((closed, _))) = (attempt.registered, attempt.closed) else { return false };
        let (from, to) = (self.time(registered), self.time(closed));
        let about = &self.evidence.about;
        let after = about.lease + about.grace + 2_000_000 + about.slack;
        self.faults().any(|fault| {
            let hit = fault.attempt.as_ref().is_none_or(|(job, task, n)| (job.as_str(), *task, *n) == key);
            // Where an attempt was is known only if it began.
            let elsewhere =
                fault.kind.is_of_one_host() && !attempt.host.is_empty() && attempt.host != fault.host.as_str();
            fault.kind.may_lose() && hit && !elsewhere && fault.t.0 - CLOCKS <= to && fault.t.1 + after >= from
        })
    }

    /// Whether everything on its host was killed while it lived.
    pub(super) fn is_killed_with_its_host(&self, key: Key<'_>) -> bool {
        let Some(attempt) = self.attempts.get(&key) else { return false };
        let from = attempt.registered.map_or(i64::MAX, |change| self.time(change));
        let to = attempt.closed.map_or(i64::MAX, |(change, _)| self.time(change));
        self.faults().any(|fault| {
            let alive = match attempt.begins.first() {
                Some(begin) => fault.host == attempt.host && *begin <= fault.t.1 && attempt.last + SECOND >= fault.t.0,
                // Killed before it could say that it begins: a container takes a while until then.
                None => from - CLOCKS <= fault.t.1 && to + CLOCKS >= fault.t.0,
            };
            fault.kind == Kind::KillHost && alive && attempt.end.is_none()
        })
    }

    /// Whether its container was ended by somebody else while it lived.
    pub(super) fn is_container_ended(&self, key: Key<'_>) -> bool {
        let Some(attempt) = self.attempts.get(&key) else { return false };
        let from = attempt.registered.map_or(i64::MAX, |change| self.time(change));
        let to = attempt.closed.map_or(i64::MAX, |(change, _)| self.time(change));
        self.faults().any(|fault| {
            let hit = fault.attempt.as_ref().is_none_or(|(job, task, n)| (job.as_str(), *task, *n) == key);
            // The engine that comes back may still end what the killed one had.
            fault.kind.ends_containers() && hit && fault.t.0 - CLOCKS <= to && fault.t.1 + SECOND >= from
        })
    }

    /// Attempts of one task, in order.
    pub(super) fn of_task<'b>(
        &'b self,
        job: &'b str,
        task: usize,
    ) -> impl Iterator<Item = (&'b Key<'b>, &'b Attempt<'b>)> {
        let attempts: &'b BTreeMap<Key<'b>, Attempt<'b>> = &self.attempts;
        attempts.range((job, task, 0)..=(job, task, u32::MAX))
    }

    /// Attempts of one job, by task.
    pub(super) fn of_job<'b>(&'b self, job: &'b str) -> impl Iterator<Item = (&'b Key<'b>, &'b Attempt<'b>)> {
        let attempts: &'b BTreeMap<Key<'b>, Attempt<'b>> = &self.attempts;
        attempts.range((job, 0, 0)..=(job, usize::MAX, u32::MAX))
    }
}

/// `succeeded`, `failed`, `cancelled`, `skipped`.
pub(super) fn is_terminal(status: &str) -> bool {
    matches!(status, "succeeded" | "failed" | "cancelled" | "skipped")
}

/// A cause that says that the attempt was lost.
pub(super) fn is_loss(cause: Option<&str>) -> bool {
    cause.is_some_and(|cause| cause.starts_with("lost_") || cause == "poison")
}
