//! From what the scheduler wants started to a request on a task executor's standard input.

use std::path::PathBuf;

use executor::{ProcessId, TaskSpec, label};
use job_queue::AttemptProcess;
use task_process::{Lease, Paths, SlotGuard, Spare, TaskRequest};
use workflow_model::{Attempt, ExecutorKind, Nonce, TaskIx, TaskName};

use super::{
    attempt::Live,
    process::Worker,
    run::{Run, Start},
};

/// A start that is ready to go once it is recorded.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) task: TaskIx,
    spare: Spare,
    request: TaskRequest,
}

impl Worker {
    /// Prepares as many of the waiting starts as there are slots. They are in `run.live` then, to be recorded.
    pub(super) fn prepare(&mut self, run: &mut Run) -> Vec<Launch> {
        let mut launches = Vec::new();
        if self.inbox.rebinds() != self.rebinds {
            // The run-dir was removed: the slots' files with it.
            self.rebinds = self.inbox.rebinds();
            if let Err(error) = self.slots.reopen_if_lost() {
                self.degraded(Some(format!("slots cannot be made again: {}", chain(&error))));
            }
            // Of the files that are gone: nobody counts them any more.
            self.kept.clear();
        }
        launches.extend(self.prepare_attaches(run));
        while let Some(start) = run.starts.front().copied() {
            if !self.holds_lease(run) {
                // Its task executor would stop it at once, and the attempt would count as lost.
                self.retry_spawn();
                break;
            }
            let weight = self.weight(run, start.task);
            let Some(slots) = self.slots_for(weight) else { break };
            run.starts.pop_front();
            match self.prepare_one(run, start, slots) {
                Ok(launch) => launches.push(launch),
                Err(Hindered::Invalid(message)) => {
                    let now = run.now();
                    run.unlaunchable(start, message, now);
                }
                Err(Hindered::NoProcess) => {
                    // F82: the slot stays free, the task waits; tried again when something ends or in a moment.
                    run.starts.push_front(start);
                    self.retry_spawn();
                    break;
                }
            }
        }
        if run.starts.is_empty() {
            // At the job's end they are for the next one, if there is one.
            if run.end.is_none() {
                self.kept.clear();
            }
            self.slots.give_up();
        }
        launches
    }

    /// Whether the manager still renews the job's lease (it may be stopped, or cut off from the queue). The file is read
    /// only when the last deadline that is known has passed.
    fn holds_lease(&mut self, run: &Run) -> bool {
        let now = task_process::boottime_now();
        if now >= self.lease_deadline
            && let Some(lease) = Lease::read(&Lease::path(self.run_dir.path(), run.job.id))
            && lease.epoch >= run.job.epoch
        {
            self.lease_deadline = lease.deadline;
        }
        now < self.lease_deadline
    }

    /// Task executors for attempts that have lost theirs while their tasks go on elsewhere.
    fn prepare_attaches(&mut self, run: &mut Run) -> Vec<Launch> {
        let mut launches = Vec::new();
        while let Some(task) = run.again.pop_front() {
            let Some(live) = run.live.get(&task) else { continue };
            let (attempt, nonce, paths) = (live.attempt, live.nonce, live.paths.clone());
            let prepared = self.spec(run, task, attempt, &paths.tmp).map_err(Hindered::Invalid).and_then(|spec| {
                self.spares.take().map(|spare| (spec, spare)).map_err(|error| {
                    self.degraded(Some(format!("cannot start a task executor: {}", chain(&error))));
                    Hindered::NoProcess
                })
            });
            match prepared {
                Ok((spec, spare)) => {
                    let name = run.workflow.task(task).name.clone();
                    let mut request = self.request(run, task, (name, attempt, nonce), spec, paths);
                    request.attach = true;
                    let process_row = Some(self.process_row(&spare, nonce));
                    if let Some(live) = run.live.get_mut(&task) {
                        live.process_row = process_row;
                    }
                    launches.push(Launch { task, spare, request });
                }
                Err(Hindered::Invalid(problem)) => {
                    let now = run.now();
                    run.lost(task, dag_scheduler::Cause::LostExecutor, problem, now);
                }
                Err(Hindered::NoProcess) => {
                    run.again.push_front(task);
                    self.retry_spawn();
                    break;
                }
            }
        }
        launches
    }

    fn prepare_one(&mut self, run: &mut Run, start: Start, slots: SlotGuard) -> Result<Launch, Hindered> {
        let Start { task, attempt } = start;
        let name = run.workflow.task(task).name.clone();
        let mut paths = run.dir.paths(task, &name, attempt, Lease::path(self.run_dir.path(), run.job.id));
        if self.setup.pool.executor == ExecutorKind::Shell {
            // Elsewhere the handle is needed as long as the task is, and a TMPDIR never.
            run.places.lend(&mut paths);
        }
        let spec = match self.spec(run, task, attempt, &paths.tmp) {
            Ok(spec) => spec,
            Err(problem) => {
                self.keep(slots);
                return Err(Hindered::Invalid(problem));
            }
        };
        let _goes_on = failpoint::at(failpoint::Point::C5);
        let spare = match self.spares.take() {
            Ok(spare) => spare,
            Err(error) => {
                self.degraded(Some(format!("cannot start a task executor: {}", chain(&error))));
                self.keep(slots);
                return Err(Hindered::NoProcess);
            }
        };
        let nonce = Nonce::generate();
        let request = self.request(run, task, (name, attempt, nonce), spec, paths.clone());
        let process_row = Some(self.process_row(&spare, nonce));
        let started = run.clock.now_wall();
        let live = Live { attempt, nonce, paths, process: None, slots: Some(slots), process_row, attaches: 0, started };
        run.live.insert(task, live);
        Ok(Launch { task, spare, request })
    }

    fn request(
        &self,
        run: &Run,
        task: TaskIx,
        attempt: (TaskName, Attempt, Nonce),
        mut spec: TaskSpec,
        paths: Paths,
    ) -> TaskRequest {
        let (name, attempt, nonce) = attempt;
        if let Some(container) = &mut spec.container {
            container.pulls = Some(self.run_dir.path().join("pulls"));
            container.labels.push((label::EPOCH.into(), run.job.epoch.to_string()));
            container.labels.push((label::HOST.into(), self.host.clone()));
        }
        TaskRequest {
            v: task_process::VERSION,
            job: run.job.id,
            task,
            name,
            attempt,
            epoch: run.job.epoch,
            nonce,
            executor: self.setup.pool.executor,
            spec,
            paths,
            reply: Some(PathBuf::from(self.inbox.path())),
            deadline: Some(self.lease_deadline),
            umask: Some(self.setup.umask),
            attach: false,
        }
    }

    fn process_row(&self, spare: &Spare, nonce: Nonce) -> AttemptProcess {
        let ProcessId { pid, start_time, boot_id } = spare.id().clone();
        AttemptProcess { pid, start_time, boot_id, host: self.host.clone(), nonce }
    }

    /// Hands over the request: from here on the task runs. Only after the attempt is recorded.
    pub(super) async fn launch(&mut self, run: &mut Run, launch: Launch) {
        let Launch { task, spare, request } = launch;
        let Some(live) = run.live.get_mut(&task) else { return };
        let fds = live.slots.as_ref().map(SlotGuard::fds).unwrap_or_default();
        let attempt = live.attempt;
        match spare.send(&request, &fds).await {
            Ok(running) => {
                drop(fds);
                self.watch(run.job.id, task, attempt, &running);
                live.process = Some(running);
                if !request.attach {
                    let now = run.now();
                    let (task, attempt) = (task.into(), attempt.into());
                    run.apply(dag_scheduler::Event::Started { task, attempt }, now);
                }
            }
            // The task goes on without it: another one, as if this had ended later.
            Err(_) if request.attach => self.watch_ended(run.job.id, task, attempt),
            Err(error) => {
                drop(fds);
                let now = run.now();
                let message = format!("the task executor ended before the task was launched: {}", chain(&error));
                run.lost(task, dag_scheduler::Cause::LostExecutor, message, now);
            }
        }
    }

    /// How many slots a task takes: its CPUs, rounded up, at most all (design §6 Parallelism).
    fn weight(&self, run: &Run, task: TaskIx) -> usize {
        let cpus = run.workflow.task(task).params.as_ref().and_then(|params| params.resources.cpus).unwrap_or(1.0);
        (cpus.ceil().max(1.0) as usize).min(self.slots.count())
    }

    /// Slots that an attempt of ours has just left, or free ones.
    fn slots_for(&mut self, weight: usize) -> Option<SlotGuard> {
        if let Some(fitting) = self.kept.iter().position(|slots| slots.weight() == weight) {
            return Some(self.kept.swap_remove(fitting));
        }
        // They may be just the ones that are missing, whatever the weight: a kept guard is locked for us too.
        self.kept.clear();
        match self.slots.try_acquire(weight) {
            Ok(slots) => slots,
            Err(error) => {
                self.degraded(Some(format!("slots cannot be locked: {}", chain(&error))));
                None
            }
        }
    }

    /// Keeps slots for our next start, unless another worker waits for some.
    pub(super) fn keep(&mut self, slots: SlotGuard) {
        if !self.slots.contended() {
            self.kept.push(slots);
        }
    }
}

/// Why a start could not be prepared.
enum Hindered {
    /// The task cannot run here as it is written.
    Invalid(String),
    /// No process can be started just now.
    NoProcess,
}

/// An error with its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
