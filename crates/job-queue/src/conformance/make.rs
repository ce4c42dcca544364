//! Jobs, rows and claims for the cases.

use std::time::Duration;

use workflow_model::{Attempt, ExecutorKind, JobId, JobStatus, Nonce, QueueName, TaskIx, TaskStatus};

use crate::{AttemptProcess, Claim, JobEnding, NewJob, Owner, TaskRow};

/// A queue's name from a text that is one.
#[must_use]
pub fn queue_name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// A job of three tasks for the default queue.
#[must_use]
pub fn job() -> NewJob {
    NewJob {
        id: JobId::generate(),
        queue: QueueName::default(),
        name: None,
        definition: r#"[{"name":"a"},{"name":"b"},{"name":"c"}]"#.into(),
        hash: "hash".into(),
        tasks: 3,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: "uid:1".into(),
        settings: "{}".into(),
        store: None,
    }
}

/// A worker's place on host `here`.
#[must_use]
pub fn owner(slot: &str) -> Owner {
    Owner { host: "here".into(), run_dir: "run".into(), slot: slot.into() }
}

/// A claim by the worker in a slot, on the default queue; it is dead to itself, as a worker that starts is.
#[must_use]
pub fn claim_by(slot: &str) -> Claim {
    Claim {
        queue: QueueName::default(),
        owner: owner(slot),
        executor: ExecutorKind::Shell,
        store: "fs:/jobs".into(),
        place: None,
        dead: vec![owner(slot)],
        ttl: Duration::from_secs(60),
        fresh: true,
    }
}

/// A row of a task in its first attempt.
#[must_use]
pub fn row(task: u32, status: TaskStatus) -> TaskRow {
    let begun = !matches!(status, TaskStatus::Waiting | TaskStatus::Skipped);
    TaskRow {
        task: TaskIx(task),
        status,
        attempt: Attempt(u32::from(begun)),
        retries: 0,
        losses: 0,
        cause: None,
        message: None,
        code: None,
        started: begun.then_some(1),
        ended: status.is_terminal().then_some(2),
        retry_at: None,
        attempt_process: (status == TaskStatus::Running).then(process),
        stopping: None,
    }
}

/// An attempt's process.
#[must_use]
pub fn process() -> AttemptProcess {
    AttemptProcess {
        pid: 4711,
        start_time: u64::from(u32::MAX) * 7,
        boot_id: "8f6c0b7e-4a68-4bf6-a8a1-2c1f0d9c7a11".into(),
        host: "here".into(),
        nonce: Nonce::generate(),
    }
}

/// An end without a cause.
#[must_use]
pub fn ending(status: JobStatus) -> JobEnding {
    JobEnding { status, cause: None, message: None }
}
