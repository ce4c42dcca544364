//! The worker's loop for one job: events in, one commit, effects out.

use std::{sync::Arc, time::Duration};

use dag_scheduler::{Cause, JobEnd, StopHow as Urgency};
use executor::{DockerHandle, Handle, ShellHandle, Shutdown};
use failpoint::Bug;
use job_queue::{AttemptProcess, JobQueue, TaskRow};
use task_process::{Exit, Running, TaskReport};
use tokio::time::{sleep_until, timeout};
use workflow_model::{Attempt, ExecutorKind, JobId, JobStatus, TaskIx};

use super::{Error, launch::chain, process::Worker, run::Run};
use crate::link::{Order, StopHow, Word};

/// Beyond the grace period: a task executor that has not ended by then is killed.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// At most so many rows are written at once.
const PART: usize = 4096;

/// How a worker parted with its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// It ended for this round.
    Ended(JobStatus),
    /// It was given back to the queue.
    Released,
    /// Its tasks run on for the next manager's worker.
    HandedOver,
}

/// What is noticed beside reports and orders. It names the job, since a task executor that has reported may end when
/// the worker is at the next one, whose tasks and attempts have the same numbers.
#[derive(Debug)]
pub(super) enum Happened {
    /// A task executor ended.
    Exited(JobId, TaskIx, Attempt, Exit),
    /// A task executor was told to stop a good while ago.
    StopOverdue(JobId, TaskIx, Attempt),
    /// The tree of a lost task executor is dead, or could not be ended.
    TreeEnded(JobId, TaskIx, Attempt, Result<(), String>),
}

#[derive(Debug)]
enum Event {
    Report(Box<TaskReport>),
    Happened(Happened),
    /// `None` = the manager is gone.
    Order(Option<Order>),
    Timer,
    SlotFreed,
}

/// Drives a job to its end.
pub(super) async fn drive(worker: &mut Worker, run: &mut Run) -> Result<Left, Error> {
    let now = run.now();
    run.apply(dag_scheduler::Event::Opened, now);
    loop {
        if let Some(left) = turn(worker, run).await? {
            return Ok(left);
        }
        if run.end.is_some() || run.has_news() {
            continue; // a launch failed: that is to be recorded before anything is waited for
        }
        let mut next = wait(worker, run).await?;
        loop {
            match take(worker, run, next).await? {
                Some(left) => return Ok(left),
                None => match arrived(worker) {
                    Some(event) => next = event,
                    None => break,
                },
            }
        }
        let now = run.now();
        run.fire(now);
    }
}

/// One loop turn. *Record before act*: the rows are committed before anything of them is done.
async fn turn(worker: &mut Worker, run: &mut Run) -> Result<Option<Left>, Error> {
    for slots in run.take_freed() {
        worker.keep(slots);
    }
    let mut launches = if run.releasing { Vec::new() } else { worker.prepare(run) };
    let launched: Vec<TaskIx> = launches.iter().map(|launch| launch.task).collect();
    let mut turn = run.take_turn(&launched);
    if failpoint::has(Bug::LaunchedUnrecorded) {
        for launch in launches.drain(..) {
            worker.launch(run, launch).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (job, epoch) = (run.job.id, run.job.epoch);
    // A fan-out of a million tasks that is cancelled is written in parts: no turn needs the memory for all rows.
    while turn.changed.len() > PART {
        let rows = run.rows(&turn.changed[..PART]);
        worker.insist(async |queue| queue.record(job, epoch, &rows).await).await?;
        worker.tell(false, rows);
        turn.changed.drain(..PART);
    }
    let rows = run.rows(&turn.changed);
    if let Some(end) = run.end {
        let status = finish(worker, run, &rows, end).await?;
        worker.tell(turn.progressed, rows);
        run.forget(turn.done);
        return Ok(Some(Left::Ended(status)));
    }
    if run.releasing && run.live.is_empty() {
        worker.insist(async |queue| queue.release(job, epoch, &rows).await).await?;
        worker.tell(turn.progressed, rows);
        run.forget(turn.done);
        return Ok(Some(Left::Released));
    }
    if !rows.is_empty() {
        worker.insist(async |queue| queue.record(job, epoch, &rows).await).await?;
    }
    for launch in launches {
        worker.launch(run, launch).await;
    }
    if turn.progressed {
        let _goes_on = failpoint::at(failpoint::Point::C15);
    }
    for (task, urgency) in turn.stops {
        stop(worker, run, task, urgency);
    }
    run.forget(turn.done);
    worker.tell(turn.progressed, rows);
    worker.refill(run);
    Ok(None)
}

/// Ends the job, and takes the next one with the same commit.
async fn finish(worker: &mut Worker, run: &Run, rows: &[TaskRow], end: JobEnd) -> Result<JobStatus, Error> {
    let (job, epoch, ending, claim) = (run.job.id, run.job.epoch, run.ending(end), worker.next_claim());
    let call = async |queue: &dyn JobQueue| match &claim {
        Some(claim) => queue.finish_and_claim(job, epoch, rows, ending.clone(), claim).await,
        None => queue.finish(job, epoch, rows, ending.clone()).await.map(|status| (status, None)),
    };
    let (status, next) = worker.insist(call).await?;
    worker.next = next;
    Ok(status)
}

/// Waits for the first event; the rest that has come by then is taken without waiting.
async fn wait(worker: &mut Worker, run: &Run) -> Result<Event, Error> {
    let timer = run.next_timer().into_iter().chain(worker.spawn_again_at).min();
    let wants_slots = !run.starts.is_empty() && !run.releasing && worker.spawn_again_at.is_none();
    tokio::select! {
        biased;
        report = worker.inbox.recv() => Ok(Event::Report(Box::new(report?))),
        Some(happened) = worker.watchers.join_next(), if !worker.watchers.is_empty() => match happened {
            Ok(happened) => Ok(Event::Happened(happened)),
            Err(error) => Err(Error::io("watch a task executor")(std::io::Error::other(error))),
        },
        Some(Ok(overdue)) = worker.overdue.join_next(), if !worker.overdue.is_empty() => Ok(Event::Happened(overdue)),
        order = worker.orders.recv() => Ok(Event::Order(order.flatten())),
        () = sleep_until(timer.unwrap_or(run.clock.origin)), if timer.is_some() => Ok(Event::Timer),
        freed = worker.slots.freed(), if wants_slots => freed.map(|()| Event::SlotFreed).map_err(Error::from),
    }
}

/// Something that has come already.
fn arrived(worker: &mut Worker) -> Option<Event> {
    if let Some(report) = worker.inbox.try_recv() {
        return Some(Event::Report(Box::new(report)));
    }
    if let Some(Ok(happened)) = worker.watchers.try_join_next() {
        return Some(Event::Happened(happened));
    }
    worker.orders.try_recv().ok().map(Event::Order)
}

async fn take(worker: &mut Worker, run: &mut Run, event: Event) -> Result<Option<Left>, Error> {
    let now = run.now();
    match event {
        Event::Report(report) => run.reported(&report, now),
        Event::Happened(Happened::Exited(job, ..) | Happened::TreeEnded(job, ..) | Happened::StopOverdue(job, ..))
            if job != run.job.id => {}
        Event::Happened(Happened::Exited(_, task, attempt, exit)) => exited(worker, run, task, attempt, exit),
        Event::Happened(Happened::StopOverdue(_, task, attempt)) => stop_overdue(run, task, attempt),
        Event::Happened(Happened::TreeEnded(_, task, attempt, result)) => tree_ended(run, task, attempt, result),
        Event::Order(None) => return Err(Error::ManagerGone),
        Event::Order(Some(Order::Claim { .. } | Order::Setup(_))) => {}
        Event::Order(Some(Order::Cancel { job, epoch, how })) => {
            if (job, epoch) == (run.job.id, run.job.epoch) {
                worker.insist(async |queue| queue.cancelling(job, epoch).await).await?;
                if !failpoint::has(Bug::CancelIgnored) {
                    run.cancel(how, now);
                }
            }
        }
        Event::Order(Some(Order::Stop(how))) => match how {
            StopHow::Release | StopHow::Now => {
                worker.stopping = Some(how);
                run.release(how == StopHow::Now, now);
            }
            StopHow::Drain => worker.draining = true,
            StopHow::Handover => return Ok(Some(Left::HandedOver)),
        },
        Event::Timer => {
            let instant = run.clock.instant();
            if worker.spawn_again_at.is_some_and(|at| at <= instant) {
                worker.spawn_again_at = None;
            }
            if run.deadline.is_some_and(|at| at <= instant) {
                run.time_out(now);
            }
        }
        Event::SlotFreed => {}
    }
    Ok(None)
}

/// A task executor ended. Usually its report has come; if not, the file is looked at; if there is none, it is lost,
/// and its tree is ended before anything else is done about the task (F02).
fn exited(worker: &mut Worker, run: &mut Run, task: TaskIx, attempt: Attempt, exit: Exit) {
    let now = run.now();
    // Its message may be in the socket still.
    while let Some(report) = worker.inbox.try_recv() {
        run.reported(&report, now);
    }
    let Some(live) = run.live.get_mut(&task).filter(|live| live.attempt == attempt) else { return };
    if let Some(report) = task_process::read_report(&live.paths, live.nonce) {
        return run.reported(&report, now);
    }
    if exit == Exit::Code(task_process::exit::MESSAGE_ONLY.into()) {
        // The report could not be stored (a full disk), but libzmq has taken it: it is on its way through the socket.
        let job = run.job.id;
        worker.watchers.spawn(async move {
            tokio::time::sleep(task_process::LINGER).await;
            Happened::Exited(job, task, attempt, Exit::Unknown)
        });
        return;
    }
    live.process = None;
    if failpoint::has(Bug::PhantomSuccess) {
        let outcome = executor::Outcome::new(executor::Ending::Exited { code: 0 }, "");
        return run.ended(task, &outcome, None, (None, run.clock.now_wall()), now);
    }
    if worker.setup.pool.executor != ExecutorKind::Shell && run.attach_again(task) {
        // Its task lives elsewhere, and goes on: another task executor takes hold of it (design §6).
        return;
    }
    let Some(live) = run.live.get(&task) else { return };
    let handle = task_process::read_handle(&live.paths).or_else(|| unwritten_handle(worker, run, task));
    let Some(handle) = handle else {
        return tree_ended(run, task, attempt, Ok(()));
    };
    let (executor, job_files, job) = (Arc::clone(&worker.executor), run.job_files(), run.job.id);
    worker.watchers.spawn(async move {
        // Blocks (design: shell's futures block in poll), so not in the worker's own thread.
        let runtime = tokio::runtime::Handle::current();
        let stopped =
            tokio::task::spawn_blocking(move || runtime.block_on(executor.stop(&handle, Shutdown::Twice, &job_files)));
        Happened::TreeEnded(job, task, attempt, stopped.await.unwrap_or_else(|error| Err(error.to_string())))
    });
}

/// A task executor that died between the launch and the handle: its session and the marker find what it started.
fn unwritten_handle(worker: &Worker, run: &Run, task: TaskIx) -> Option<Handle> {
    let live = run.live.get(&task)?;
    marked_handle(worker, live.process_row.as_ref()?, run.job.id, task, live.attempt)
}

pub(super) fn marked_handle(
    worker: &Worker,
    row: &AttemptProcess,
    job: JobId,
    task: TaskIx,
    attempt: Attempt,
) -> Option<Handle> {
    let marker = executor::marker(job, task, attempt);
    let settings = &worker.setup.pool.settings;
    let grace = settings.tasks.grace;
    match worker.setup.pool.executor {
        ExecutorKind::Shell => {}
        ExecutorKind::Docker => {
            let host = executor::engine_address(&settings.executors.docker, &worker.setup.ambient);
            return Some(Handle::Docker(DockerHandle::new(host, marker, grace)));
        }
        ExecutorKind::Kube | ExecutorKind::Api => return None,
    }
    let leader = executor::ProcessId { pid: row.pid, start_time: row.start_time, boot_id: row.boot_id.clone() };
    Some(Handle::Shell(ShellHandle { session: leader.pid, leader, cgroup: None, grace, marker }))
}

fn tree_ended(run: &mut Run, task: TaskIx, attempt: Attempt, result: Result<(), String>) {
    if run.live.get(&task).is_none_or(|live| live.attempt != attempt) {
        return;
    }
    let name = run.workflow.task(task).name.as_str();
    let message = match result {
        Ok(()) => {
            format!("the task executor of {name:?} ended without a word (killed?); what it had started was ended")
        }
        Err(error) => {
            format!("the task executor of {name:?} ended without a word, and something it started may live on: {error}")
        }
    };
    let now = run.now();
    run.lost(task, Cause::LostExecutor, message, now);
}

fn stop(worker: &mut Worker, run: &Run, task: TaskIx, urgency: Urgency) {
    let Some(live) = run.live.get(&task) else { return };
    let (job, attempt) = (run.job.id, live.attempt);
    let Some(process) = live.process.as_ref() else { return };
    let (asked, patience) = match urgency {
        Urgency::Grace => (process.stop(), worker.setup.pool.settings.tasks.grace + STOP_PATIENCE),
        Urgency::Kill => (process.stop_now(), STOP_PATIENCE),
    };
    if let Err(error) = asked {
        tracing::warn!(%task, error = chain(&error), "cannot stop a task executor");
    }
    worker.overdue.spawn(async move {
        tokio::time::sleep(patience).await;
        Happened::StopOverdue(job, task, attempt)
    });
}

/// A task executor that does not end when it is told to (it is stopped itself, or stuck) is killed; its tree is then
/// ended as that of any that is lost.
fn stop_overdue(run: &Run, task: TaskIx, attempt: Attempt) {
    let live = run.live.get(&task).filter(|live| live.attempt == attempt);
    if let Some(process) = live.and_then(|live| live.process.as_ref()) {
        tracing::warn!(job = %run.job.id, %task, "a task executor does not stop, killing it");
        if let Err(error) = process.kill() {
            tracing::warn!(%task, error = chain(&error), "cannot kill a task executor");
        }
    }
}

impl Worker {
    /// Calls the queue until it answers, however long it is locked or full: what happened must be recorded, and tasks
    /// run on meanwhile. Only a stop ends the patience: then the tasks are stopped without record.
    pub(super) async fn insist<T>(
        &mut self,
        call: impl AsyncFn(&dyn JobQueue) -> Result<T, job_queue::Error>,
    ) -> Result<T, Error> {
        let mut pause = Duration::from_millis(20);
        // Orders that can wait until the queue answers.
        let mut later = Vec::new();
        let result = loop {
            match call(&*self.queue).await {
                Ok(value) => {
                    self.degraded(None);
                    break Ok(value);
                }
                Err(error) if error.is_transient() => {
                    self.degraded(Some(format!("the queue cannot be written: {}", chain(&error))));
                    // The intent to stop cannot be recorded, and the tasks are not to run on for that.
                    if let Some(how) = self.stopping {
                        later.insert(0, Order::Stop(how));
                        break Err(Error::Queue(error));
                    }
                    if let Ok(order) = timeout(pause, self.orders.recv()).await {
                        match order {
                            None | Some(None) => break Err(Error::ManagerGone),
                            // As if it were gone: everything is left as it is, for the next one's worker.
                            Some(Some(Order::Stop(StopHow::Handover))) => break Err(Error::ManagerGone),
                            Some(Some(stop @ Order::Stop(StopHow::Release | StopHow::Now))) => {
                                later.insert(0, stop);
                                break Err(Error::Queue(error));
                            }
                            Some(Some(other)) => later.push(other),
                        }
                    }
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                Err(error) => {
                    // As above: the stop is not forgotten with the queue.
                    later.splice(0..0, self.stopping.map(Order::Stop));
                    break Err(error.into());
                }
            }
        };
        for order in later {
            self.put_back(Some(order));
        }
        result
    }

    /// Tells the manager what was recorded.
    fn tell(&mut self, progressed: bool, rows: Vec<TaskRow>) {
        // Once is enough: it is about this process, and its manager wakes for each word.
        if progressed && !std::mem::replace(&mut self.progressed, true) {
            self.mouth.say(&Word::Progressed);
        }
        if self.setup.rows && !rows.is_empty() {
            self.mouth.say_late(&Word::Rows(rows));
        }
    }

    /// Watches a task executor; its end comes as [`Happened::Exited`].
    pub(super) fn watch(&mut self, job: JobId, task: TaskIx, attempt: Attempt, running: &Running) {
        let exited = running.exited();
        self.watchers.spawn(async move { Happened::Exited(job, task, attempt, exited.await) });
    }
}
