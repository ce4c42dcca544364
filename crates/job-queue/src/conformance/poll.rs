//! What a manager sees.

use workflow_model::{Epoch, JobStatus};

use super::{Store, claim::now, claim_by, ending, job, owner, queue_name};
use crate::CancelHow;

/// Of the queues asked for, those with a job that a worker would get now.
pub async fn says_what_is_ready(store: &dyn Store) {
    let queue = store.open();
    let names: Vec<_> = ["default", "etl", "later", "none"].map(queue_name).into();
    assert_eq!(queue.poll(&names, "here").await.unwrap(), crate::Poll::default());
    let (mut etl, mut later) = (job(), job());
    etl.queue = names[1].clone();
    later.queue = names[2].clone();
    later.run_at = Some(i64::MAX);
    queue.submit(vec![job(), etl, later]).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, [names[0].clone(), names[1].clone()]);
    assert_eq!(queue.poll(&names[1..], "here").await.unwrap().ready, [names[1].clone()]);
    queue.pause(&names[1], true).await.unwrap();
    assert_eq!(queue.poll(&names[1..], "here").await.unwrap().ready, []);
    queue.pause(&names[1], false).await.unwrap();
    queue.limit(&names[1], Some(0)).await.unwrap();
    assert_eq!(queue.poll(&names[1..], "here").await.unwrap().ready, []);
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, []);
    queue.release(queue.list(&Default::default()).await.unwrap()[2].id, Epoch(1), &[]).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, [names[0].clone()]);
}

/// The next `run_at`, as long as it lies ahead.
pub async fn names_the_next_moment(store: &dyn Store) {
    let queue = store.open();
    let moment = now(&*queue).await + 3_600_000_000;
    let (mut first, mut second, mut past) = (job(), job(), job());
    first.run_at = Some(moment + 5);
    second.run_at = Some(moment);
    past.run_at = Some(1);
    let names = [queue_name("default")];
    queue.submit(vec![first, second.clone()]).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().next, Some(moment));
    assert_eq!(queue.poll(&names, "here").await.unwrap().ready, []);
    queue.submit(vec![past]).await.unwrap();
    let poll = queue.poll(&names, "here").await.unwrap();
    assert_eq!((poll.next, poll.ready.as_slice()), (Some(moment), &names[..]));
    queue.cancel(second.id, CancelHow::Cancel).await.unwrap();
    assert_eq!(queue.poll(&names, "here").await.unwrap().next, Some(moment + 5));
}

/// A host sees the cancels of its own workers' jobs, whatever the queue.
pub async fn names_cancels_of_the_host(store: &dyn Store) {
    let queue = store.open();
    let mut there = claim_by("default00");
    there.owner.host = "there".into();
    let ids: Vec<_> = queue.submit(vec![job(), job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
    queue.claim(&there).await.unwrap().unwrap();
    queue.claim(&claim_by("default01")).await.unwrap().unwrap();
    queue.claim(&claim_by("default02")).await.unwrap().unwrap();
    queue.cancel(ids[0], CancelHow::Cancel).await.unwrap();
    queue.cancel(ids[1], CancelHow::Now).await.unwrap();
    assert_eq!(queue.poll(&[], "here").await.unwrap().cancels, [(ids[1], Epoch(1), CancelHow::Now)]);
    assert_eq!(queue.poll(&[], "there").await.unwrap().cancels, [(ids[0], Epoch(1), CancelHow::Cancel)]);
}

/// Whose jobs are under way, so that the dead among them can be found.
pub async fn names_owners(store: &dyn Store) {
    let queue = store.open();
    let mut other = job();
    other.queue = queue_name("other");
    let id = queue.submit(vec![job(), job(), other]).await.unwrap()[0].id;
    let mut claim = claim_by("other00");
    claim.queue = queue_name("other");
    queue.claim(&claim).await.unwrap().unwrap();
    queue.claim(&claim_by("default01")).await.unwrap().unwrap();
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    let names = [queue_name("default")];
    assert_eq!(queue.poll(&names, "here").await.unwrap().owners, [owner("default00"), owner("default01")]);
    queue.finish(id, Epoch(1), &[], ending(JobStatus::Succeeded)).await.unwrap();
    assert_eq!(queue.poll(&names, "elsewhere").await.unwrap().owners, [owner("default00")]);
}
