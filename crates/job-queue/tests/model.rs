//! The job's state machine against a model of it that is written the obvious way.

use std::sync::Arc;

use job_queue::{
    CancelHow, Claim, Claimed, Error, JobQueue, NewRound, OpenOptions, Owner, Sqlite,
    conformance::{claim_by, ending, job, owner, queue_name, row},
};
use proptest::prelude::*;
use workflow_model::{Epoch, JobId, JobStatus, TaskIx, TaskStatus};

const WORKERS: usize = 3;

#[derive(Debug, Clone)]
enum Step {
    Submit {
        priority: i32,
    },
    /// The worker's slot is held by its new process: what the old one had is its own again.
    Claim {
        worker: usize,
        also_dead: Option<usize>,
        fresh: bool,
    },
    ByWorker {
        job: usize,
        epoch_back: u64,
        what: ByWorker,
    },
    /// An end and a claim at once.
    Next {
        job: usize,
        status: JobStatus,
        worker: usize,
    },
    Cancel {
        job: usize,
        how: CancelHow,
    },
    Retry {
        job: usize,
        round_back: u32,
        task: u32,
    },
    Pause(bool),
    Limit(Option<u32>),
}

#[derive(Debug, Clone)]
enum ByWorker {
    Record { task: u32, status: TaskStatus },
    Cancelling,
    Finish(JobStatus),
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    let job = 0..4_usize;
    let back = prop_oneof![8 => Just(0_u64), 1 => Just(1)];
    let by_worker = prop_oneof![
        6 => (0..3_u32, prop::sample::select(TaskStatus::ALL))
            .prop_map(|(task, status)| ByWorker::Record { task, status }),
        2 => Just(ByWorker::Cancelling),
        4 => prop::sample::select(JobStatus::ALL).prop_map(ByWorker::Finish),
        2 => Just(ByWorker::Release),
    ];
    let how = prop_oneof![Just(CancelHow::Cancel), Just(CancelHow::Now)];
    prop_oneof![
        3 => (-1..2).prop_map(|priority| Step::Submit { priority }),
        6 => (0..WORKERS, prop::option::weighted(0.3, 0..WORKERS), prop::bool::weighted(0.8))
            .prop_map(|(worker, also_dead, fresh)| Step::Claim { worker, also_dead, fresh }),
        14 => (job.clone(), back, by_worker)
            .prop_map(|(job, epoch_back, what)| Step::ByWorker { job, epoch_back, what }),
        3 => (job.clone(), prop::sample::select(JobStatus::ALL), 0..WORKERS)
            .prop_map(|(job, status, worker)| Step::Next { job, status, worker }),
        2 => (job.clone(), how).prop_map(|(job, how)| Step::Cancel { job, how }),
        3 => (job, prop_oneof![6 => Just(0_u32), 1 => Just(1)], 0..3_u32)
            .prop_map(|(job, round_back, task)| Step::Retry { job, round_back, task }),
        1 => any::<bool>().prop_map(Step::Pause),
        1 => prop::option::of(0..3_u32).prop_map(Step::Limit),
    ]
}

/// A job as the model sees it.
#[derive(Debug, Clone, PartialEq)]
struct Model {
    id: JobId,
    priority: i32,
    status: JobStatus,
    owner: Option<Owner>,
    epoch: u64,
    round: u32,
    cancel: Option<CancelHow>,
    tasks: [Option<TaskStatus>; 3],
}

impl Model {
    fn held(&self, epoch: Epoch) -> bool {
        self.epoch == epoch.0 && matches!(self.status, JobStatus::Running | JobStatus::Cancelling)
    }

    fn by_worker(&mut self, epoch: Epoch, what: &ByWorker) -> Answer {
        if matches!(what, ByWorker::Finish(status) if !status.is_terminal()) {
            return Answer::Refused;
        }
        if !self.held(epoch) {
            // Who left the job under this lease may ask again how.
            let left = self.epoch == epoch.0 && self.owner.is_none();
            return match what {
                ByWorker::Finish(_) if left && self.status.is_terminal() => Answer::Status(self.status),
                ByWorker::Release if left => Answer::Status(self.status),
                _ => Answer::Fenced,
            };
        }
        let asked = self.cancel.is_some();
        match what {
            ByWorker::Record { task, status } => {
                let old = &mut self.tasks[*task as usize];
                if old.is_some_and(|old| old.is_terminal() && old != *status) {
                    return Answer::Refused;
                }
                *old = Some(*status);
                return Answer::Done;
            }
            ByWorker::Cancelling => {
                self.status = JobStatus::Cancelling;
                return Answer::Done;
            }
            ByWorker::Finish(status) => self.end(if asked { JobStatus::Cancelled } else { *status }),
            ByWorker::Release if asked => {
                self.end(JobStatus::Cancelled);
                self.cancel_open_tasks();
            }
            ByWorker::Release => self.end(JobStatus::Queued),
        }
        Answer::Status(self.status)
    }

    fn cancel(&mut self, how: CancelHow) -> Answer {
        match self.status {
            JobStatus::Queued => {
                self.end(JobStatus::Cancelled);
                self.cancel_open_tasks();
            }
            JobStatus::Running | JobStatus::Cancelling => self.cancel = self.cancel.max(Some(how)),
            JobStatus::Succeeded | JobStatus::Cancelled | JobStatus::Failed => {}
        }
        Answer::Status(self.status)
    }

    fn retry(&mut self, round_back: u32, task: u32) -> Answer {
        if !self.status.is_terminal() || round_back > 0 {
            return Answer::Refused;
        }
        self.end(JobStatus::Queued);
        (self.round, self.cancel) = (self.round + 1, None);
        for (at, known) in self.tasks.iter_mut().enumerate() {
            let kept = |known: &TaskStatus| known.is_terminal() && at != task as usize;
            *known = known.map(|known| if kept(&known) { known } else { TaskStatus::Waiting });
        }
        Answer::Done
    }

    fn end(&mut self, status: JobStatus) {
        self.status = status;
        self.owner = None;
    }

    fn cancel_open_tasks(&mut self) {
        for task in self.tasks.iter_mut().flatten().filter(|task| !task.is_terminal()) {
            *task = TaskStatus::Cancelled;
        }
    }
}

#[derive(Debug, Default)]
struct World {
    jobs: Vec<Model>,
    paused: bool,
    limit: Option<u32>,
}

impl World {
    /// Who gets what: the same question, answered by looking at everything.
    fn next(&self, dead: &[Owner], fresh: bool) -> Option<usize> {
        for owner in dead {
            if let Some(found) = self.jobs.iter().position(|job| job.owner.as_ref() == Some(owner)) {
                return Some(found);
            }
        }
        let running = self.jobs.iter().filter(|job| job.owner.is_some()).count();
        if !fresh || self.paused || self.limit.is_some_and(|limit| running >= limit as usize) {
            return None;
        }
        let queued = self.jobs.iter().enumerate().filter(|(_, job)| job.status == JobStatus::Queued);
        queued.max_by_key(|(at, job)| (job.priority, std::cmp::Reverse(*at))).map(|(at, _)| at)
    }
}

/// What a call may answer, as far as the model cares.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Status(JobStatus),
    Fenced,
    Refused,
}

fn answer<T>(result: Result<T, Error>, done: impl FnOnce(T) -> Answer) -> Answer {
    match result {
        Ok(value) => done(value),
        Err(Error::Fenced) => Answer::Fenced,
        Err(Error::Refused(_)) => Answer::Refused,
        Err(other) => panic!("{other:?}"),
    }
}

async fn apply(queue: &dyn JobQueue, world: &mut World, step: Step) {
    let jobs = world.jobs.len();
    let (got, expected) = match step {
        Step::Submit { priority } => {
            let mut new = job();
            new.priority = priority;
            let id = new.id;
            let got = answer(queue.submit(vec![new]).await, |_| Answer::Done);
            let (status, tasks) = (JobStatus::Queued, [None; 3]);
            world.jobs.push(Model { id, priority, status, owner: None, epoch: 0, round: 1, cancel: None, tasks });
            (got, Answer::Done)
        }
        Step::Claim { worker, also_dead, fresh } => return claim(queue, world, worker, also_dead, fresh).await,
        Step::Pause(paused) => {
            world.paused = paused;
            (answer(queue.pause(&queue_name("default"), paused).await, |()| Answer::Done), Answer::Done)
        }
        Step::Limit(limit) => {
            world.limit = limit;
            (answer(queue.limit(&queue_name("default"), limit).await, |()| Answer::Done), Answer::Done)
        }
        Step::ByWorker { .. } | Step::Next { .. } | Step::Cancel { .. } | Step::Retry { .. } if jobs == 0 => return,
        Step::Next { job, status, worker } => {
            let model = &mut world.jobs[job % jobs];
            let (id, epoch) = (model.id, Epoch(model.epoch));
            let expected = model.by_worker(epoch, &ByWorker::Finish(status));
            let claim = claim_by(&slot(worker));
            let got = queue.finish_and_claim(id, epoch, &[], ending(status), &claim).await;
            let (got, next) = match got {
                Ok((status, next)) => (Ok(status), Some(next)),
                Err(error) => (Err(error), None),
            };
            if let Some(next) = next {
                claimed(world, &claim, next);
            }
            (answer(got, Answer::Status), expected)
        }
        Step::ByWorker { job, epoch_back, what } => {
            let model = &mut world.jobs[job % jobs];
            let epoch = Epoch(model.epoch.saturating_sub(epoch_back));
            (by_worker(queue, model.id, epoch, &what).await, model.by_worker(epoch, &what))
        }
        Step::Cancel { job, how } => {
            let model = &mut world.jobs[job % jobs];
            (answer(queue.cancel(model.id, how).await, Answer::Status), model.cancel(how))
        }
        Step::Retry { job, round_back, task } => {
            let model = &mut world.jobs[job % jobs];
            let round = NewRound { seen: model.round - round_back, reset: vec![TaskIx(task)], ..NewRound::default() };
            (answer(queue.retry(model.id, round).await, |()| Answer::Done), model.retry(round_back, task))
        }
    };
    assert_eq!(got, expected);
}

async fn by_worker(queue: &dyn JobQueue, id: JobId, epoch: Epoch, what: &ByWorker) -> Answer {
    match what {
        ByWorker::Record { task, status } => {
            answer(queue.record(id, epoch, &[row(*task, *status)]).await, |()| Answer::Done)
        }
        ByWorker::Cancelling => answer(queue.cancelling(id, epoch).await, |()| Answer::Done),
        ByWorker::Finish(status) => answer(queue.finish(id, epoch, &[], ending(*status)).await, Answer::Status),
        ByWorker::Release => answer(queue.release(id, epoch, &[]).await, Answer::Status),
    }
}

fn slot(worker: usize) -> String {
    format!("default{worker:02}")
}

async fn claim(queue: &dyn JobQueue, world: &mut World, worker: usize, also_dead: Option<usize>, fresh: bool) {
    let mut claim = claim_by(&slot(worker));
    claim.dead.extend(also_dead.map(|dead| owner(&slot(dead))));
    claim.fresh = fresh;
    let got = queue.claim(&claim).await.expect("an answer");
    claimed(world, &claim, got);
}

/// What was given is what the model would give.
fn claimed(world: &mut World, claim: &Claim, got: Option<Claimed>) {
    let expected = world.next(&claim.dead, claim.fresh);
    assert_eq!(got.as_ref().map(|claimed| claimed.job.id), expected.map(|at| world.jobs[at].id));
    if let (Some(got), Some(at)) = (got, expected) {
        let model = &mut world.jobs[at];
        assert_eq!(got.resumed, model.owner.is_some());
        if model.status == JobStatus::Queued {
            model.status = JobStatus::Running;
        }
        model.epoch += 1;
        model.owner = Some(claim.owner.clone());
        let rows: Vec<_> = got.tasks.iter().map(|row| (row.task.0, row.status)).collect();
        let known = (0..).zip(model.tasks).filter_map(|(at, status)| Some((at, status?)));
        assert_eq!(rows, known.collect::<Vec<_>>());
    }
}

async fn check(queue: &dyn JobQueue, world: &World) {
    for model in &world.jobs {
        let job = queue.get(model.id).await.expect("an answer");
        assert_eq!((job.status, job.epoch.0, job.round), (model.status, model.epoch, model.round));
        assert_eq!(&job.owner, &model.owner);
        if !model.status.is_terminal() {
            assert_eq!(job.cancel, model.cancel);
        }
        assert_eq!(job.ended.is_some(), model.status.is_terminal());
        let count = |status| model.tasks.iter().filter(|task| **task == Some(status)).count() as u32;
        assert_eq!(job.counts.running, count(TaskStatus::Running));
        assert_eq!(job.counts.succeeded, count(TaskStatus::Succeeded));
        assert_eq!(job.counts.failed, count(TaskStatus::Failed));
        assert_eq!(job.counts.skipped, count(TaskStatus::Skipped));
        assert_eq!(job.counts.cancelled, count(TaskStatus::Cancelled));
    }
    let ready = queue.poll(&[queue_name("default")], "here").await.expect("an answer");
    assert_eq!(ready.ready.len(), usize::from(world.next(&[], true).is_some()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_job_steps_as_the_model_does(steps in prop::collection::vec(step(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let queue: Arc<dyn JobQueue> =
                Arc::new(Sqlite::open(&folder.path().join("queue.db"), &OpenOptions::default()).unwrap());
            let mut world = World::default();
            for step in steps {
                apply(&*queue, &mut world, step).await;
                check(&*queue, &world).await;
            }
        });
    }
}
