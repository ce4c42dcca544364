//! Who may write.

use std::time::Duration;

use workflow_model::{Cause, Epoch, JobId, JobStatus, TaskStatus};

use super::{Store, claim_by, ending, job, owner, row};
use crate::{Error, JobQueue};

/// A manager learns which of its workers' jobs are still theirs.
pub async fn renewal_names_what_is_held(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    for n in 0..2 {
        queue.claim(&claim_by(&format!("default{n:02}"))).await.unwrap().unwrap();
    }
    let before = queue.get(ids[0]).await.unwrap().lease_until.unwrap();
    let asked = [(ids[0], Epoch(1)), (ids[1], Epoch(2)), (ids[2], Epoch(0)), (JobId::generate(), Epoch(1))];
    assert_eq!(queue.renew(&asked, Duration::from_secs(600)).await.unwrap(), [ids[0]]);
    assert!(queue.get(ids[0]).await.unwrap().lease_until.unwrap() > before + 500_000_000);
    assert_eq!(queue.renew(&[], Duration::from_secs(1)).await.unwrap(), []);
    queue.finish(ids[0], Epoch(1), &[], ending(JobStatus::Succeeded)).await.unwrap();
    assert_eq!(queue.renew(&asked, Duration::from_secs(600)).await.unwrap(), []);
}

/// Every write of a worker that lost its job is refused and leaves no trace (I5).
pub async fn fenced_writes_change_nothing(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    queue.record(id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
    let mut taker = claim_by("default01");
    taker.dead = vec![owner("default00")];
    queue.claim(&taker).await.unwrap().unwrap();
    refuses_all(&*queue, id, Epoch(1)).await;
    refuses_all(&*queue, id, Epoch(3)).await;
    queue.record(id, Epoch(2), &[row(0, TaskStatus::Succeeded)]).await.unwrap();
    queue.release(id, Epoch(2), &[]).await.unwrap();
    refuses_steps(&*queue, id, Epoch(2)).await;
}

/// Whoever has no answer asks again, also after a failed sync whose commit stands (F32, F38): what was done stands and is
/// answered, once more and with other words too, as long as nobody else has taken the job.
pub async fn f38_an_end_and_a_release_may_be_repeated(store: &dyn Store) {
    let queue = store.open();
    let ids: Vec<_> = queue.submit(vec![job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    let claim = claim_by("default00");
    queue.claim(&claim).await.unwrap().unwrap();
    let rows = [row(0, TaskStatus::Succeeded)];
    queue.finish(ids[0], Epoch(1), &rows, ending(JobStatus::Succeeded)).await.unwrap();
    let stands = (queue.get(ids[0]).await.unwrap(), queue.tasks(ids[0]).await.unwrap());
    let again = queue.finish(ids[0], Epoch(1), &[row(0, TaskStatus::Failed)], ending(JobStatus::Failed)).await;
    assert_eq!(again.unwrap(), JobStatus::Succeeded);
    // The next job is taken once, though the first answer was lost.
    let repeated = || queue.finish_and_claim(ids[0], Epoch(1), &rows, ending(JobStatus::Succeeded), &claim);
    let (first, second) = (repeated().await.unwrap().1.unwrap(), repeated().await.unwrap().1.unwrap());
    assert_eq!((first.job.id, second.job.id, second.resumed), (ids[1], ids[1], true));
    assert_eq!((queue.get(ids[0]).await.unwrap(), queue.tasks(ids[0]).await.unwrap()), stands);
    let epoch = second.job.epoch;
    for _ in 0..2 {
        assert_eq!(queue.release(ids[1], epoch, &[]).await.unwrap(), JobStatus::Queued);
    }
    assert!(matches!(queue.finish(ids[1], epoch, &[], ending(JobStatus::Failed)).await, Err(Error::Fenced)));
    queue.claim(&claim).await.unwrap().unwrap();
    assert!(matches!(queue.release(ids[1], epoch, &[]).await, Err(Error::Fenced)), "it is another lease's by now");
}

async fn refuses_all(queue: &dyn JobQueue, id: JobId, epoch: Epoch) {
    let before = (queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap());
    refuses_steps(queue, id, epoch).await;
    let rows = [row(0, TaskStatus::Failed)];
    assert!(matches!(queue.finish(id, epoch, &rows, ending(JobStatus::Succeeded)).await, Err(Error::Fenced)));
    assert!(matches!(queue.release(id, epoch, &rows).await, Err(Error::Fenced)));
    assert_eq!((queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap()), before);
}

/// The lease is over; how its job was left may be asked again.
async fn refuses_steps(queue: &dyn JobQueue, id: JobId, epoch: Epoch) {
    let before = (queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap());
    let rows = [row(0, TaskStatus::Failed), row(1, TaskStatus::Succeeded)];
    assert!(matches!(queue.record(id, epoch, &rows).await, Err(Error::Fenced)));
    assert!(matches!(queue.record(id, epoch, &[]).await, Err(Error::Fenced)));
    assert!(matches!(queue.cancelling(id, epoch).await, Err(Error::Fenced)));
    assert_eq!(queue.renew(&[(id, epoch)], Duration::from_secs(9)).await.unwrap(), []);
    assert_eq!((queue.get(id).await.unwrap(), queue.tasks(id).await.unwrap()), before);
}

/// The next process in a slot is the same owner, and still fences the one before.
pub async fn fenced_even_by_the_same_owner(store: &dyn Store) {
    let (old, new) = (store.open(), store.open());
    let id = old.submit(vec![job()]).await.unwrap()[0].id;
    old.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert!(new.claim(&claim_by("default00")).await.unwrap().unwrap().resumed);
    refuses_all(&*old, id, Epoch(1)).await;
}

/// The first end stands (I2, I6).
pub async fn f86_a_late_end_after_a_takeover(store: &dyn Store) {
    let queue = store.open();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    let mut taker = claim_by("default01");
    taker.dead = vec![owner("default00")];
    queue.claim(&taker).await.unwrap().unwrap();
    let mut failed = ending(JobStatus::Failed);
    failed.cause = Some(Cause::Poison);
    failed.message = Some("job … task …".into());
    assert_eq!(queue.finish(id, Epoch(2), &[], failed).await.unwrap(), JobStatus::Failed);
    refuses_all(&*queue, id, Epoch(1)).await;
    refuses_steps(&*queue, id, Epoch(2)).await;
    let row = queue.get(id).await.unwrap();
    assert_eq!(
        (row.status, row.cause, row.message.as_deref()),
        (JobStatus::Failed, Some(Cause::Poison), Some("job … task …"))
    );
    assert!(row.ended.is_some() && row.owner.is_none() && row.lease_until.is_none());
}
