//! One job as its worker drives it: what is known, and what each event does to it. Nothing here waits; what is to be
//! written and done is collected in a [`Turn`] (see `turn`).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use dag_scheduler::{Action, End, Event, JobEnd, Scheduler, StopHow, StopWhy, TaskState, Time, Timer};
use executor::Outcome;
use failpoint::Bug;
use job_queue::{CancelHow, JobEnding, JobRow, TaskRow};
use task_process::{JobDir, Paths, Places, SlotGuard, TaskReport};
use tokio::time::Instant;
use workflow_model::{Attempt, Cause, JobStatus, TaskIx, TaskStatus, Workflow};

use super::{
    attempt::{self, Live},
    record,
};
use crate::{cut, settings::JobSettings};

/// A task executor that is lost again and again is not replaced for ever.
const MOST_ATTACHES: u32 = 5;

/// The scheduler's clock: monotonic, with the wall time at its origin for what people and later workers read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) origin: Instant,
    pub(super) origin_wall: i64,
}

/// An attempt that the scheduler wants, and that waits for slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    pub(super) task: TaskIx,
    pub(super) attempt: Attempt,
}

/// An attempt that ended, and whose files are not needed once that is committed.
#[derive(Debug)]
pub(super) struct Done {
    paths: Paths,
    /// By a report: then its place is good for another attempt.
    reported: bool,
}

/// What one loop turn writes, and does once that is committed.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// The tasks whose rows are committed first, in an order that can be cut anywhere: what ended, what was skipped or
    /// cancelled for it, and then what starts after both.
    pub(super) changed: Vec<TaskIx>,
    /// Then these are stopped,
    pub(super) stops: Vec<(TaskIx, StopHow)>,
    /// and the reports of what ended are removed.
    pub(super) done: Vec<Done>,
    /// Whether an attempt ended.
    pub(super) progressed: bool,
}

/// What is said of a task beyond the scheduler's row.
#[derive(Debug, Clone, Default)]
struct Words {
    message: Option<String>,
    code: Option<i32>,
    started: Option<i64>,
    ended: Option<i64>,
}

/// A job under way.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) job: JobRow,
    pub(super) workflow: Workflow,
    pub(super) settings: JobSettings,
    pub(super) dir: JobDir,
    pub(super) places: Places,
    pub(super) clock: Clock,
    pub(super) scheduler: Scheduler,
    /// Attempts recorded as running.
    pub(super) live: HashMap<TaskIx, Live>,
    /// Attempts that wait for slots, first come first served.
    pub(super) starts: VecDeque<Start>,
    /// Attempts whose task executor is gone and whose task may go on: another one is to take hold of it.
    pub(super) again: VecDeque<TaskIx>,
    /// How the job ended, once the scheduler said so.
    pub(super) end: Option<JobEnd>,
    /// The job's own timeout.
    pub(super) deadline: Option<Instant>,
    /// Whether no attempt was started before this claim.
    pub(super) is_first_claim: bool,
    /// Whether this worker gives the job back.
    pub(super) releasing: bool,
    timed_out: bool,
    failed_fast: bool,
    timers: BinaryHeap<Reverse<(Time, Timer)>>,
    events: VecDeque<Event>,
    actions: Vec<Action>,
    words: HashMap<TaskIx, Words>,
    freed: Vec<SlotGuard>,
    turn: Turn,
}

impl Run {
    pub(super) fn new(
        job: JobRow,
        workflow: Workflow,
        settings: JobSettings,
        dir: JobDir,
        scheduler: Scheduler,
        clock: Clock,
    ) -> Self {
        let epoch = job.epoch;
        // Counted from the round's first start, so that a restart of the worker does not prolong it.
        let deadline = settings.timeout.map(|timeout| {
            let spent = job.started.map_or(0, |started| u64::try_from(clock.origin_wall - started).unwrap_or(0));
            clock.origin + timeout.saturating_sub(std::time::Duration::from_micros(spent))
        });
        Self {
            job,
            workflow,
            settings,
            places: Places::new(&dir, epoch),
            dir,
            clock,
            scheduler,
            live: HashMap::new(),
            starts: VecDeque::new(),
            again: VecDeque::new(),
            end: None,
            deadline,
            is_first_claim: false,
            releasing: false,
            timed_out: false,
            failed_fast: false,
            timers: BinaryHeap::new(),
            events: VecDeque::new(),
            actions: Vec::new(),
            words: HashMap::new(),
            freed: Vec::new(),
            turn: Turn::default(),
        }
    }

    /// Tells the scheduler, and takes in what it wants.
    pub(super) fn apply(&mut self, event: Event, now: Time) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            if let Err(illegal) = self.scheduler.apply(event, now, &mut self.actions) {
                // A report of an attempt that is not ours was dropped by its nonce already.
                tracing::error!(job = %self.job.id, %illegal, "BUG: the driver told the scheduler what cannot be");
            }
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                self.take_in(action);
            }
            self.actions = actions;
        }
    }

    fn take_in(&mut self, action: Action) {
        match action {
            Action::Start { task, attempt } => {
                if self.workflow.task(task.into()).params.is_none() {
                    // A join: no process, succeeds (design §3).
                    self.events.push_back(Event::Reported { task, attempt, end: End::Succeeded });
                } else {
                    self.starts.push_back(Start { task: task.into(), attempt: attempt.into() });
                }
            }
            Action::Stop { task, attempt, why, how } => {
                let ix = task.into();
                if self.live.contains_key(&ix) {
                    self.turn.stops.push((ix, how));
                } else {
                    // Not launched: it still waits for a slot, and never will have one.
                    self.starts.retain(|start| start.task != ix);
                    self.events.push_back(match why {
                        StopWhy::Release => Event::Released { task, attempt },
                        StopWhy::Timeout => {
                            Event::Reported { task, attempt, end: End::Failed(dag_scheduler::Cause::Timeout) }
                        }
                        StopWhy::Cancel => {
                            Event::Reported { task, attempt, end: End::Failed(dag_scheduler::Cause::Cancelled) }
                        }
                    });
                }
            }
            Action::Arm { timer, at } => self.timers.push(Reverse((at, timer))),
            Action::Finish(end) => self.end = Some(end),
        }
    }

    /// A report arrived, by message or as a file. What does not carry the recorded nonce is dropped.
    pub(super) fn reported(&mut self, report: &TaskReport, now: Time) {
        let known = self.live.get(&report.task);
        if report.job != self.job.id || !known.is_some_and(|live| live.nonce == report.nonce) {
            tracing::debug!(job = %report.job, task = %report.task, "dropped a report that is not of a running attempt");
            return;
        }
        if failpoint::has(Bug::SuccessForgotten)
            && report.outcome.is_success()
            && report.attempt.0 == 1
            && report.task.0 == 1
        {
            return self.lost(report.task, dag_scheduler::Cause::LostExecutor, "forgotten".into(), now);
        }
        let started = (report.started > 0).then(|| i64::try_from(report.started).unwrap_or(i64::MAX));
        let message = cut::say(&report.outcome.message, report);
        let ended = i64::try_from(report.ended).unwrap_or(i64::MAX);
        self.ended(report.task, &report.outcome, message, (started, ended), now);
    }

    /// A running attempt ended like this.
    pub(super) fn ended(
        &mut self,
        task: TaskIx,
        outcome: &Outcome,
        message: Option<String>,
        (started, ended): (Option<i64>, i64),
        now: Time,
    ) {
        let Some(live) = self.live.remove(&task) else { return };
        let stopping = self.scheduler.row(task.into()).stopping.map(record::stopping);
        self.words.insert(
            task,
            Words {
                message,
                code: attempt::code(outcome),
                started: started.or(Some(live.started)),
                ended: Some(ended),
            },
        );
        let event = attempt::meaning(task.into(), live.attempt, outcome, stopping);
        self.turn.progressed |= !matches!(event, Event::Lost { .. } | Event::Released { .. });
        self.turn.done.push(Done { paths: live.paths, reported: true });
        self.freed.extend(live.slots);
        self.apply(event, now);
        self.fail_fast(task, now);
    }

    /// Whether another task executor is to take hold of this attempt: not if it is being stopped anyway, and not for
    /// ever.
    pub(super) fn attach_again(&mut self, task: TaskIx) -> bool {
        let stopping = self.scheduler.row(task.into()).stopping.is_some();
        let Some(live) = self.live.get_mut(&task).filter(|live| !stopping && live.attaches < MOST_ATTACHES) else {
            return false;
        };
        live.attaches += 1;
        self.again.push_back(task);
        true
    }

    /// An attempt is gone without a report.
    pub(super) fn lost(&mut self, task: TaskIx, cause: dag_scheduler::Cause, message: String, now: Time) {
        let Some(live) = self.live.remove(&task) else { return };
        let wall = self.wall(now);
        self.words
            .insert(task, Words { message: Some(message), code: None, started: Some(live.started), ended: Some(wall) });
        self.turn.done.push(Done { paths: live.paths, reported: false });
        self.freed.extend(live.slots);
        let (ix, attempt) = (task.into(), live.attempt.into());
        let releasing = self.scheduler.row(ix).stopping == Some(StopWhy::Release);
        let event =
            if releasing { Event::Released { task: ix, attempt } } else { Event::Lost { task: ix, attempt, cause } };
        self.apply(event, now);
        self.fail_fast(task, now);
    }

    /// An attempt that could not even be prepared: the task cannot run here as it is written.
    pub(super) fn unlaunchable(&mut self, start: Start, message: String, now: Time) {
        self.words
            .insert(start.task, Words { message: Some(message), ended: Some(self.wall(now)), ..Words::default() });
        let (task, attempt) = (start.task.into(), start.attempt.into());
        self.apply(Event::Reported { task, attempt, end: End::Failed(dag_scheduler::Cause::Invalid) }, now);
        self.fail_fast(start.task, now);
    }

    /// A person cancels the job, or its own timeout does.
    pub(super) fn cancel(&mut self, how: CancelHow, now: Time) {
        self.apply(Event::CancelRequested { now: how == CancelHow::Now }, now);
    }

    /// The job ran longer than it may.
    pub(super) fn time_out(&mut self, now: Time) {
        self.deadline = None;
        self.timed_out = true;
        self.cancel(CancelHow::Cancel, now);
    }

    /// This worker gives the job back.
    pub(super) fn release(&mut self, at_once: bool, now: Time) {
        self.releasing = true;
        self.apply(Event::ReleaseRequested { now: at_once }, now);
    }

    /// Gives the scheduler its timers that are due.
    pub(super) fn fire(&mut self, now: Time) {
        while let Some(Reverse((at, timer))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            self.apply(Event::Fired(timer), now);
        }
    }

    /// When the next timer is due.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let scheduler = self
            .timers
            .peek()
            .map(|Reverse((at, _))| self.clock.origin + std::time::Duration::from_micros(at.as_micros()));
        scheduler.into_iter().chain(self.deadline).min()
    }

    /// After the commit the reports have done their work.
    pub(super) fn forget(&mut self, done: Vec<Done>) {
        for Done { paths, reported } in done {
            let forgotten = if reported { self.places.take_back(&paths) } else { task_process::remove(&paths) };
            if let Err(error) = forgotten {
                tracing::warn!(error = super::launch::chain(&error), "cannot remove a report");
            }
        }
    }

    /// The slots of what has ended.
    pub(super) fn take_freed(&mut self) -> Vec<SlotGuard> {
        std::mem::take(&mut self.freed)
    }

    /// Takes what is to be written and done. Attempts that wait for slots are left out: they are recorded with the turn
    /// that launches them.
    pub(super) fn take_turn(&mut self, launched: &[TaskIx]) -> Turn {
        let mut turn = std::mem::take(&mut self.turn);
        let mut undone = Vec::new();
        for (task, row) in self.scheduler.drain_changes() {
            let ix = TaskIx::from(task);
            match row.state {
                TaskState::Skipped | TaskState::Cancelled => undone.push(ix),
                _ if !launched.contains(&ix) => turn.changed.push(ix),
                _ => {}
            }
        }
        turn.changed.append(&mut undone);
        turn.changed.extend(launched);
        turn
    }

    /// What is to be written of tasks that changed.
    pub(super) fn rows(&mut self, changed: &[TaskIx]) -> Vec<TaskRow> {
        let mut rows = Vec::with_capacity(changed.len());
        for ix in changed.iter().copied() {
            let mut row = record::row(ix, &self.scheduler.row(ix.into()), &self.clock);
            if row.status == TaskStatus::Running {
                let Some(live) = self.live.get(&ix) else { continue };
                (row.started, row.attempt_process) = (Some(live.started), live.process_row.clone());
            } else if let Some(words) = self.words.remove(&ix) {
                (row.message, row.started, row.ended) = (words.message, words.started, words.ended);
                row.code = row.code.or(words.code);
            } else if self.workflow.task(ix).params.is_none() && row.status == TaskStatus::Succeeded {
                let now = self.clock.now_wall();
                (row.started, row.ended) = (Some(now), Some(now));
            }
            if row.status == TaskStatus::Skipped && row.message.is_none() {
                row.message = Some("not started: what its ancestors did does not fit its `when`".into());
            }
            rows.push(row);
        }
        rows
    }

    /// The queue's word for the end.
    pub(super) fn ending(&self, end: JobEnd) -> JobEnding {
        if self.timed_out {
            let message = Some("the job ran longer than its timeout".into());
            return JobEnding { status: JobStatus::Failed, cause: Some(Cause::Timeout), message };
        }
        let counts = self.scheduler.counts();
        let failed = counts.failed;
        match end {
            JobEnd::Failed if failpoint::has(Bug::FailureHidden) => {
                JobEnding { status: JobStatus::Succeeded, cause: None, message: None }
            }
            JobEnd::Succeeded => JobEnding { status: JobStatus::Succeeded, cause: None, message: None },
            JobEnd::Cancelled if !self.failed_fast => {
                JobEnding { status: JobStatus::Cancelled, cause: Some(Cause::Cancelled), message: None }
            }
            JobEnd::Cancelled | JobEnd::Failed => JobEnding {
                status: JobStatus::Failed,
                cause: self.first_failure().filter(|_| !failpoint::has(Bug::CauseMissing)),
                message: Some(format!("{failed} of {} tasks failed", self.workflow.len())),
            },
        }
    }

    /// Whether something is to be written or done without waiting for an event.
    pub(super) fn has_news(&self) -> bool {
        !self.turn.done.is_empty() || !self.turn.stops.is_empty() || !self.again.is_empty()
    }

    /// The folder of the job files.
    pub(super) fn job_files(&self) -> std::path::PathBuf {
        self.settings.job_files.clone().unwrap_or_else(|| self.dir.files())
    }

    /// The moment as the scheduler counts.
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    fn wall(&self, now: Time) -> i64 {
        self.clock.origin_wall + i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
    }

    fn fail_fast(&mut self, task: TaskIx, now: Time) {
        let failed = self.scheduler.row(task.into()).state == TaskState::Failed;
        if failed && self.settings.fail_fast && !self.failed_fast && !self.workflow.task(task).allow_failure {
            self.failed_fast = true;
            self.cancel(CancelHow::Cancel, now);
        }
    }

    fn first_failure(&self) -> Option<Cause> {
        let failed = self
            .workflow
            .iter()
            .find(|(ix, task)| !task.allow_failure && self.scheduler.row((*ix).into()).state == TaskState::Failed);
        let (ix, _) = failed?;
        record::row(ix, &self.scheduler.row(ix.into()), &self.clock).cause
    }
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the worker's driver owns the clock of its job")]
    pub(super) fn start() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_wall: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX) }
    }

    pub(super) fn now(&self) -> Time {
        Time::from(self.origin.elapsed())
    }

    pub(super) fn instant(&self) -> Instant {
        self.origin + self.origin.elapsed()
    }

    /// Wall time that a change of the host's clock does not disturb.
    pub(super) fn now_wall(&self) -> i64 {
        self.origin_wall + i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
