//! New rounds.

use workflow_model::{Attempt, Cause, Epoch, JobId, JobStatus, TaskIx, TaskStatus};

use super::{Store, claim_by, ending, job, queue_name, record::counts_are_right, row};
use crate::{CancelHow, Error, JobQueue, NewRound, Prune, TaskRow};

/// A job that failed: task 0 succeeded, task 1 failed in its third attempt, task 2 was skipped.
async fn failed(queue: &dyn JobQueue) -> JobId {
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    let third = TaskRow {
        attempt: Attempt(3),
        retries: 2,
        losses: 1,
        cause: Some(Cause::UserExit),
        message: Some("exit 1".into()),
        code: Some(1),
        ..row(1, TaskStatus::Failed)
    };
    let rows = [row(0, TaskStatus::Succeeded), third, row(2, TaskStatus::Skipped)];
    let mut end = ending(JobStatus::Failed);
    end.cause = Some(Cause::UserExit);
    end.message = Some("task b failed".into());
    queue.finish(id, Epoch(1), &rows, end).await.unwrap();
    id
}

fn waiting(task: u32, attempt: u32) -> TaskRow {
    TaskRow { attempt: Attempt(attempt), ..row(task, TaskStatus::Waiting) }
}

/// The tasks named wait again, the others stand; the job is as new.
pub async fn opens_a_round(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    let round = NewRound { seen: 1, reset: vec![TaskIx(1), TaskIx(2)], ..NewRound::default() };
    queue.retry(id, round).await.unwrap();
    let row = queue.get(id).await.unwrap();
    assert_eq!((row.status, row.round, row.epoch), (JobStatus::Queued, 2, Epoch(1)));
    assert_eq!((row.cause, &row.message, row.started, row.ended, row.cancel), (None, &None, None, None, None));
    counts_are_right(&*queue, id).await;
    let claimed = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!((claimed.job.epoch, claimed.resumed), (Epoch(2), false));
    let rows = [super::row(0, TaskStatus::Succeeded), waiting(1, 3), waiting(2, 0)];
    assert_eq!(claimed.tasks, rows);
}

/// A queued or running job is refused, and nothing changes.
pub async fn only_of_a_terminal_job(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    let round = NewRound { seen: 1, ..NewRound::default() };
    assert!(matches!(queue.retry(id, round.clone()).await, Err(Error::Refused(_))));
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    let before = queue.get(id).await.unwrap();
    assert!(matches!(queue.retry(id, round.clone()).await, Err(Error::Refused(_))));
    assert_eq!(queue.get(id).await.unwrap(), before);
    assert!(matches!(queue.retry(JobId::generate(), round).await, Err(Error::NotFound(_))));
}

/// Two people press the button: one round.
pub async fn only_of_the_round_seen(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    let round = NewRound { seen: 1, reset: vec![TaskIx(1)], ..NewRound::default() };
    queue.retry(id, round.clone()).await.unwrap();
    queue.cancel(id, CancelHow::Cancel).await.unwrap();
    assert!(matches!(queue.retry(id, round).await, Err(Error::Refused(_))));
    assert_eq!(queue.get(id).await.unwrap().round, 2);
}

/// Attempt numbers never restart within a job.
pub async fn keeps_attempt_numbers(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    for seen in 1..4 {
        queue.retry(id, NewRound { seen, reset: vec![TaskIx(1)], ..NewRound::default() }).await.unwrap();
        let claimed = queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        let before = claimed.tasks.iter().find(|row| row.task.0 == 1).unwrap();
        assert_eq!((before.attempt, before.retries, before.losses), (Attempt(2 + seen), 0, 0));
        let again = TaskRow { attempt: Attempt(3 + seen), ..row(1, TaskStatus::Failed) };
        queue.finish(id, claimed.job.epoch, &[again], ending(JobStatus::Failed)).await.unwrap();
    }
}

/// Rows move to where their tasks are in the corrected definition; attempts at an index go on counting.
pub async fn with_a_new_definition(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    // Old: 0 succeeded, 1 failed, 2 skipped. New: a task put in front, then 0, then 1 corrected; 2 is gone.
    let round = NewRound {
        seen: 1,
        reset: vec![TaskIx(2)],
        definition: Some(("[1,2,3,4]".into(), "hash2".into(), 4, vec![None, Some(TaskIx(0)), Some(TaskIx(1)), None])),
        settings: Some("{\"b\":2}".into()),
        queue: None,
    };
    queue.retry(id, round).await.unwrap();
    let job = queue.get(id).await.unwrap();
    assert_eq!((job.hash.as_str(), job.tasks), ("hash2", 4));
    assert_eq!(queue.definition(id).await.unwrap(), ("[1,2,3,4]".into(), "{\"b\":2}".into()));
    let kept = TaskRow { task: TaskIx(1), ..row(0, TaskStatus::Succeeded) };
    assert_eq!(queue.tasks(id).await.unwrap(), [waiting(0, 1), kept, waiting(2, 3)]);
    counts_are_right(&*queue, id).await;
}

/// A `run` job gets the reserved queue of the run that retries it.
pub async fn into_another_queue(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    let round = NewRound { seen: 1, queue: Some(queue_name("run-b")), ..NewRound::default() };
    queue.retry(id, round).await.unwrap();
    assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    let mut claim = claim_by("run-b00");
    claim.queue = queue_name("run-b");
    assert_eq!(queue.claim(&claim).await.unwrap().unwrap().job.id, id);
}

/// Pruning everything leaves a job that was retried or runs (F88).
pub async fn delete_of_a_running_job_is_refused(store: &dyn Store) {
    let queue = store.open();
    let id = failed(&*queue).await;
    queue.retry(id, NewRound { seen: 1, ..NewRound::default() }).await.unwrap();
    let all = Prune { keep: Some(0), ended_before: Some(i64::MAX), ..Prune::default() };
    assert_eq!(queue.prune(&all).await.unwrap(), []);
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!(queue.prune(&all).await.unwrap(), []);
    assert_eq!(queue.tasks(id).await.unwrap().len(), 3);
}
