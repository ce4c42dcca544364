//! Jobs come in.

use workflow_model::{JobId, JobStatus};

use super::{Store, job, queue_name};
use crate::{Counts, Error, Filter, Submitted};

/// What was submitted is what is there.
pub async fn is_kept_whole(store: &dyn Store) {
    let queue = store.open();
    let mut new = job();
    new.name = Some("étape \"1\" / 🦀".into());
    new.queue = queue_name("etl");
    new.labels = [("team".to_owned(), "a'b".to_owned()), (String::new(), "{}".into())].into();
    new.key = Some("order-42".into());
    new.priority = -7;
    new.run_at = Some(1_234_567_890_123_456);
    new.definition = format!("[{:?}]", "x".repeat(100_000));
    new.settings = r#"{"env":{}}"#.into();
    queue.submit(vec![new.clone()]).await.unwrap();

    let seen = store.open();
    let row = seen.get(new.id).await.unwrap();
    assert_eq!((row.id, &row.queue, &row.name, row.status), (new.id, &new.queue, &new.name, JobStatus::Queued));
    assert_eq!((&row.labels, &row.key, row.priority, row.run_at), (&new.labels, &new.key, new.priority, new.run_at));
    assert_eq!((&row.submitter, &row.hash, row.tasks, row.counts), (&new.submitter, &new.hash, 3, Counts::default()));
    assert_eq!((row.round, row.epoch.0, &row.owner, row.lease_until), (1, 0, &None, None));
    assert_eq!((row.started, row.ended, row.cancel, &row.store, row.cause), (None, None, None, &None, None));
    assert!(row.created > 1_600_000_000_000_000, "created is in microseconds since 1970: {}", row.created);
    assert_eq!(seen.definition(new.id).await.unwrap(), (new.definition, new.settings));
    assert_eq!(seen.tasks(new.id).await.unwrap(), []);
    let unknown = JobId::generate();
    assert!(matches!(seen.get(unknown).await, Err(Error::NotFound(id)) if id == unknown));
    assert!(matches!(seen.definition(unknown).await, Err(Error::NotFound(_))));
    assert!(matches!(seen.tasks(unknown).await, Err(Error::NotFound(_))));
}

/// After a lost answer the client submits again, with the same id.
pub async fn repeated_by_id(store: &dyn Store) {
    let queue = store.open();
    let new = job();
    let first = queue.submit(vec![new.clone()]).await.unwrap();
    assert_eq!(first, [Submitted { id: new.id, created: true }]);
    let second = queue.submit(vec![new.clone()]).await.unwrap();
    assert_eq!(second, [Submitted { id: new.id, created: false }]);
    let mut other = new.clone();
    other.hash = "another".into();
    assert!(matches!(queue.submit(vec![other]).await, Err(Error::Refused(_))));
    assert_eq!(queue.list(&Filter::default()).await.unwrap().len(), 1);
}

/// A key stands for one definition in a queue.
pub async fn repeated_by_key(store: &dyn Store) {
    let queue = store.open();
    let mut new = job();
    new.key = Some("daily".into());
    queue.submit(vec![new.clone()]).await.unwrap();
    let mut again = new.clone();
    again.id = JobId::generate();
    assert_eq!(queue.submit(vec![again.clone()]).await.unwrap(), [Submitted { id: new.id, created: false }]);
    again.hash = "another".into();
    match queue.submit(vec![again.clone()]).await {
        Err(Error::KeyTaken { key, job }) => assert_eq!((key.as_str(), job), ("daily", new.id)),
        other => panic!("{other:?}"),
    }
    again.queue = queue_name("other");
    assert!(queue.submit(vec![again]).await.unwrap()[0].created, "keys are per queue");
}

/// One bad job, no job.
pub async fn all_or_none(store: &dyn Store) {
    let queue = store.open();
    let mut taken = job();
    taken.key = Some("k".into());
    queue.submit(vec![taken.clone()]).await.unwrap();
    let mut bad = job();
    bad.key = Some("k".into());
    bad.hash = "another".into();
    assert!(queue.submit(vec![job(), job(), bad]).await.is_err());
    let there = queue.list(&Filter::default()).await.unwrap();
    assert_eq!(there.iter().map(|row| row.id).collect::<Vec<_>>(), [taken.id]);
    assert_eq!(queue.submit(Vec::new()).await.unwrap(), []);
}

/// In order, in one call.
pub async fn of_a_thousand(store: &dyn Store) {
    let queue = store.open();
    let jobs: Vec<_> = (0..1_000).map(|_| job()).collect();
    let ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    let submitted = queue.submit(jobs).await.unwrap();
    assert_eq!(submitted.iter().map(|done| done.id).collect::<Vec<_>>(), ids);
    let mut listed: Vec<_> = queue.list(&Filter::default()).await.unwrap().iter().map(|row| row.id).collect();
    listed.reverse();
    assert_eq!(listed, ids);
}
