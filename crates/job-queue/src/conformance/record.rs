//! Steps of tasks.

use workflow_model::{Attempt, Cause, Epoch, JobId, JobStatus, TaskIx, TaskStatus};

use super::{Store, claim_by, ending, job, process, row};
use crate::{Checked, Counts, Error, JobQueue, StopWhy, TaskRow};

async fn running(queue: &dyn JobQueue, tasks: u32) -> JobId {
    let mut new = job();
    new.tasks = tasks;
    let id = queue.submit(vec![new]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    id
}

/// Each field comes back as it was written; a later row replaces all of an earlier one.
pub async fn rows_are_kept_whole(store: &dyn Store) {
    let queue = store.open();
    let id = running(&*queue, 3).await;
    let mut full = TaskRow {
        task: TaskIx(2),
        status: TaskStatus::Running,
        attempt: Attempt(4),
        retries: 2,
        losses: 1,
        cause: Some(Cause::Signal),
        message: Some("job x, task y: \0 ended by \u{1f4a5}".into()),
        code: Some(-137),
        started: Some(i64::MAX),
        ended: Some(-5),
        retry_at: Some(77),
        attempt_process: Some(process()),
        stopping: Some(StopWhy::Timeout),
    };
    let mut retrying = row(0, TaskStatus::Retrying);
    retrying.retry_at = Some(99);
    queue.record(id, Epoch(1), &[full.clone(), retrying.clone()]).await.unwrap();
    let mut kept = store.open().tasks(id).await.unwrap();
    // What a task wrote may hold anything; a database that knows no zero character keeps another in its place.
    full.message = full.message.map(|message| message.replace('\0', "\u{fffd}"));
    kept[1].message = kept[1].message.take().map(|message| message.replace('\0', "\u{fffd}"));
    assert_eq!(kept, [retrying.clone(), full]);
    let mut bare = row(2, TaskStatus::Retrying);
    bare.stopping = Some(StopWhy::Release);
    queue.record(id, Epoch(1), std::slice::from_ref(&bare)).await.unwrap();
    assert_eq!(store.open().tasks(id).await.unwrap(), [retrying, bare]);
}

/// The job's counts are those of its rows, in the same moment.
pub async fn counts_follow(store: &dyn Store) {
    use TaskStatus::{Cancelled, Failed, Retrying, Running, Skipped, Succeeded, Waiting};
    let queue = store.open();
    let id = running(&*queue, 9).await;
    let steps: &[&[(u32, TaskStatus)]] = &[
        &[(0, Running), (1, Running), (2, Running)],
        &[(0, Succeeded), (1, Retrying), (2, Running)],
        &[(1, Running), (2, Waiting), (3, Skipped), (4, Cancelled)],
        &[(1, Failed), (0, Succeeded)],
        &[(5, Running), (5, Succeeded), (6, Running)],
    ];
    for step in steps {
        let rows: Vec<_> = step.iter().map(|(task, status)| row(*task, *status)).collect();
        queue.record(id, Epoch(1), &rows).await.unwrap();
        counts_are_right(&*queue, id).await;
    }
    queue.release(id, Epoch(1), &[row(6, Waiting)]).await.unwrap();
    counts_are_right(&*queue, id).await;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.finish(id, Epoch(2), &[row(6, Failed), row(2, Skipped)], ending(JobStatus::Failed)).await.unwrap();
    counts_are_right(&*queue, id).await;
    let counts = queue.get(id).await.unwrap().counts;
    assert_eq!(counts, Counts { running: 0, succeeded: 2, failed: 2, skipped: 2, cancelled: 1 });
}

pub(super) async fn counts_are_right(queue: &dyn JobQueue, id: JobId) {
    let mut counts = Counts::default();
    for row in queue.tasks(id).await.unwrap() {
        match row.status {
            TaskStatus::Waiting | TaskStatus::Retrying => {}
            TaskStatus::Running => counts.running += 1,
            TaskStatus::Succeeded => counts.succeeded += 1,
            TaskStatus::Skipped => counts.skipped += 1,
            TaskStatus::Cancelled => counts.cancelled += 1,
            TaskStatus::Failed => counts.failed += 1,
        }
    }
    assert_eq!(queue.get(id).await.unwrap().counts, counts);
}

/// A task ends once in a round (I2); writing the same end again is no step.
pub async fn terminal_tasks_are_absorbing(store: &dyn Store) {
    let queue = store.open();
    let id = running(&*queue, 3).await;
    let done = row(0, TaskStatus::Succeeded);
    queue.record(id, Epoch(1), std::slice::from_ref(&done)).await.unwrap();
    queue.record(id, Epoch(1), std::slice::from_ref(&done)).await.unwrap();
    for status in [TaskStatus::Running, TaskStatus::Waiting, TaskStatus::Failed] {
        assert!(matches!(queue.record(id, Epoch(1), &[row(0, status)]).await, Err(Error::Refused(_))), "{status}");
    }
    assert_eq!(queue.tasks(id).await.unwrap(), [done]);
}

/// A batch is written whole or not at all.
pub async fn refusal_changes_nothing(store: &dyn Store) {
    let queue = store.open();
    let id = running(&*queue, 3).await;
    queue.record(id, Epoch(1), &[row(0, TaskStatus::Succeeded)]).await.unwrap();
    let before = (queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap());
    let batch = [row(1, TaskStatus::Running), row(0, TaskStatus::Failed), row(2, TaskStatus::Running)];
    assert!(queue.record(id, Epoch(1), &batch).await.is_err());
    let ended = queue.finish(id, Epoch(1), &batch, ending(JobStatus::Failed)).await;
    assert!(ended.is_err());
    assert!(queue.finish(id, Epoch(1), &[], ending(JobStatus::Running)).await.is_err());
    assert_eq!((queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap()), before);
}

/// Thousands of rows in a call, and one by one.
pub async fn a_large_job(store: &dyn Store) {
    let queue = store.open();
    let id = running(&*queue, 10_000).await;
    for ix in 0..200 {
        queue.record(id, Epoch(1), &[row(ix, TaskStatus::Running)]).await.unwrap();
    }
    let rows: Vec<_> = (200..10_000).map(|ix| row(ix, TaskStatus::Skipped)).collect();
    queue.record(id, Epoch(1), &rows).await.unwrap();
    assert_eq!(queue.tasks(id).await.unwrap().len(), 10_000);
    let counts = queue.get(id).await.unwrap().counts;
    assert_eq!((counts.running, counts.skipped), (200, 9_800));
}

/// A text that came unchecked gets its checked form, from the lease's holder alone.
pub async fn defines_what_came_unchecked(store: &dyn Store) {
    let queue = store.open();
    let mut new = job();
    new.hash = "source:0123".into();
    new.tasks = 0;
    new.definition = "- name: a".into();
    let id = queue.submit(vec![new.clone()]).await.unwrap()[0].id;
    let claimed = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert!(claimed.job.is_unchecked() && claimed.definition == new.definition);
    let checked = Checked { definition: "[1]".into(), hash: "hash".into(), tasks: 1, settings: "{\"a\":1}".into() };
    assert!(matches!(queue.define(id, Epoch(2), checked.clone()).await, Err(Error::Fenced)));
    assert!(queue.get(id).await.unwrap().is_unchecked());
    queue.define(id, Epoch(1), checked).await.unwrap();
    let row = queue.get(id).await.unwrap();
    assert_eq!((row.hash.as_str(), row.tasks, row.is_unchecked()), ("hash", 1, false));
    assert_eq!(queue.definition(id).await.unwrap(), ("[1]".into(), "{\"a\":1}".into()));
}
