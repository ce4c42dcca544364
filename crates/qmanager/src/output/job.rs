//! Jobs and tasks as `--json` shows them. Fields are added, never changed.

use std::collections::BTreeMap;

use job_queue::{CancelHow, Counts, JobRow, Micros, TaskRow};
use serde::Serialize;
use workflow_model::{Attempt, Cause, JobId, JobStatus, QueueName, TaskIx, TaskStatus};

use super::{JSON_VERSION, clock::rfc3339};

/// A job.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    /// [`JSON_VERSION`].
    pub v: u16,
    /// The id.
    pub id: JobId,
    /// The queue.
    pub queue: &'a QueueName,
    /// The name for people.
    pub name: Option<&'a str>,
    /// The state.
    pub status: JobStatus,
    /// Why it did not succeed.
    pub cause: Option<Cause>,
    /// In words.
    pub message: Option<&'a str>,
    /// Labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The idempotency key.
    pub key: Option<&'a str>,
    /// What it shares a limit with.
    pub limit_key: Option<&'a str>,
    /// Higher first.
    pub priority: i32,
    /// Not before.
    pub run_at: Option<String>,
    /// Who submitted it.
    pub submitter: &'a str,
    /// The definition's hash.
    pub hash: &'a str,
    /// How many tasks it has.
    pub tasks: u32,
    /// Tasks by what became of them.
    pub counts: Counts,
    /// When it was submitted.
    pub created: String,
    /// When a worker first took it in this round.
    pub started: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// From 1.
    pub round: u32,
    /// Who has it: host and slot.
    pub worker: Option<WorkerView<'a>>,
    /// A cancel that was asked for.
    pub cancel: Option<CancelHow>,
}

/// Who has a job.
#[derive(Debug, Serialize)]
pub struct WorkerView<'a> {
    /// The host's id.
    pub host: &'a str,
    /// `<queue><NN>`.
    pub slot: &'a str,
}

impl<'a> JobView<'a> {
    /// A row of the queue.
    #[must_use]
    pub fn new(row: &'a JobRow) -> Self {
        let time = |moment: Option<Micros>| moment.map(rfc3339);
        Self {
            v: JSON_VERSION,
            id: row.id,
            queue: &row.queue,
            name: row.name.as_deref(),
            status: row.status,
            cause: row.cause,
            message: row.message.as_deref(),
            labels: &row.labels,
            key: row.key.as_deref(),
            limit_key: row.limit_key.as_deref(),
            priority: row.priority,
            run_at: time(row.run_at),
            submitter: &row.submitter,
            hash: &row.hash,
            tasks: row.tasks,
            counts: row.counts,
            created: rfc3339(row.created),
            started: time(row.started),
            ended: time(row.ended),
            round: row.round,
            worker: row.owner.as_ref().map(|owner| WorkerView { host: &owner.host, slot: &owner.slot }),
            cancel: row.cancel,
        }
    }
}

/// A task of a job.
#[derive(Debug, Serialize)]
pub struct TaskView<'a> {
    /// The task's index.
    pub task: TaskIx,
    /// Its name.
    pub name: &'a str,
    /// The state.
    pub status: TaskStatus,
    /// The newest attempt; 0 = none yet.
    pub attempt: Attempt,
    /// Retries spent in this round.
    pub retries: u32,
    /// Attempts lost to the infrastructure in this round.
    pub losses: u32,
    /// Why it did not succeed.
    pub cause: Option<Cause>,
    /// In words.
    pub message: Option<&'a str>,
    /// The program's return code or 128 + signal.
    pub code: Option<i32>,
    /// When the newest attempt was launched.
    pub started: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// When the next attempt may begin.
    pub retry_at: Option<String>,
    /// Where it runs.
    pub host: Option<&'a str>,
    /// The task executor's process there.
    pub pid: Option<i32>,
}

impl<'a> TaskView<'a> {
    /// A task with its row, if it has one.
    #[must_use]
    pub fn new(task: TaskIx, name: &'a str, row: Option<&'a TaskRow>) -> Self {
        let time = |moment: Option<Micros>| moment.map(rfc3339);
        let process = row.and_then(|row| row.attempt_process.as_ref());
        Self {
            task,
            name,
            status: row.map_or(TaskStatus::Waiting, |row| row.status),
            attempt: row.map_or(Attempt(0), |row| row.attempt),
            retries: row.map_or(0, |row| row.retries),
            losses: row.map_or(0, |row| row.losses),
            cause: row.and_then(|row| row.cause),
            message: row.and_then(|row| row.message.as_deref()),
            code: row.and_then(|row| row.code),
            started: time(row.and_then(|row| row.started)),
            ended: time(row.and_then(|row| row.ended)),
            retry_at: time(row.and_then(|row| row.retry_at)),
            host: process.map(|process| process.host.as_str()),
            pid: process.map(|process| process.pid),
        }
    }
}

#[cfg(test)]
mod tests {
    use workflow_model::Epoch;

    use super::*;

    /// Programs rely on this text: fields may be added to it, never renamed or removed.
    #[test]
    fn the_form_of_a_job_is_stable() {
        let row = JobRow {
            id: "01a20c76-512e-70e9-87fc-5643a3c71c22".parse().unwrap(),
            queue: QueueName::default(),
            name: Some("nightly \u{1b}[31m".into()),
            status: JobStatus::Failed,
            cause: Some(Cause::UserExit),
            message: Some("1 of 2 tasks failed".into()),
            labels: BTreeMap::from([("team".into(), "x".into())]),
            key: None,
            limit_key: Some("db".into()),
            priority: -5,
            run_at: None,
            submitter: "1000@ab".into(),
            hash: "f00".into(),
            tasks: 2,
            counts: Counts { failed: 1, skipped: 1, ..Counts::default() },
            created: 1_774_958_400_000_000,
            started: Some(1_774_958_400_500_000),
            ended: Some(1_774_958_401_000_000),
            round: 1,
            epoch: Epoch(1),
            owner: None,
            lease_until: None,
            cancel: None,
            store: None,
        };
        insta::assert_snapshot!(
            serde_json::to_string(&JobView::new(&row)).unwrap(),
            @r#"{"v":1,"id":"01a20c76-512e-70e9-87fc-5643a3c71c22","queue":"default","name":"nightly \u001b[31m","status":"failed","cause":"user_exit","message":"1 of 2 tasks failed","labels":{"team":"x"},"key":null,"limit_key":"db","priority":-5,"run_at":null,"submitter":"1000@ab","hash":"f00","tasks":2,"counts":{"running":0,"succeeded":0,"failed":1,"skipped":1,"cancelled":0},"created":"2026-03-31T12:00:00Z","started":"2026-03-31T12:00:00.5Z","ended":"2026-03-31T12:00:01Z","round":1,"worker":null,"cancel":null}"#
        );
        insta::assert_snapshot!(
            serde_json::to_string(&TaskView::new(TaskIx(3), "a b", None)).unwrap(),
            @r#"{"task":3,"name":"a b","status":"waiting","attempt":0,"retries":0,"losses":0,"cause":null,"message":null,"code":null,"started":null,"ended":null,"retry_at":null,"host":null,"pid":null}"#
        );
    }
}
