//! Finding jobs.

use workflow_model::{JobId, JobStatus};

use super::{Store, claim_by, job, queue_name};
use crate::{CancelHow, Filter, JobQueue};

async fn ids(queue: &dyn JobQueue, filter: Filter) -> Vec<JobId> {
    queue.list(&filter).await.unwrap().iter().map(|row| row.id).collect()
}

/// By arrival, whatever has happened to them since.
pub async fn newest_first(store: &dyn Store) {
    let queue = store.open();
    let mut all = Vec::new();
    for _ in 0..5 {
        all.insert(0, queue.submit(vec![job()]).await.unwrap()[0].id);
    }
    queue.cancel(all[2], CancelHow::Now).await.unwrap();
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();
    assert_eq!(ids(&*queue, Filter::default()).await, all);
    assert_eq!(ids(&*queue, Filter { limit: Some(2), ..Filter::default() }).await, all[..2]);
    assert_eq!(ids(&*queue, Filter { limit: Some(0), ..Filter::default() }).await, []);
}

/// Each condition narrows the list; all must hold.
pub async fn by_each_condition(store: &dyn Store) {
    let queue = store.open();
    let mut new = job();
    new.name = Some("nightly's \"%\" _".into());
    new.submitter = "uid:7".into();
    new.key = Some("k'".into());
    new.labels = [("team".to_owned(), "x'".to_owned()), ("a.b\"c".to_owned(), "1".to_owned())].into();
    new.queue = queue_name("etl");
    let mut near = new.clone();
    near.id = JobId::generate();
    near.key = None;
    near.labels.remove("team");
    queue.submit(vec![new.clone(), near.clone(), job()]).await.unwrap();
    queue.cancel(near.id, CancelHow::Cancel).await.unwrap();

    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let both = vec![near.id, new.id];
    let only = vec![new.id];
    let filter = Filter::default;
    let cases = [
        (Filter { name: new.name.clone(), ..filter() }, both.clone()),
        (Filter { submitter: Some("uid:7".into()), ..filter() }, both.clone()),
        (Filter { queue: Some(queue_name("etl")), ..filter() }, both.clone()),
        (Filter { key: Some("k'".into()), ..filter() }, only.clone()),
        (Filter { labels: vec![label("a.b\"c", "1")], ..filter() }, both),
        (Filter { labels: vec![label("a.b\"c", "1"), label("team", "x'")], ..filter() }, only.clone()),
        (Filter { labels: vec![label("team", "x")], ..filter() }, vec![]),
        (Filter { states: vec![JobStatus::Cancelled, JobStatus::Failed], ..filter() }, vec![near.id]),
        (Filter { states: vec![JobStatus::Queued], submitter: Some("uid:7".into()), ..filter() }, only),
        (Filter { name: Some("nightly%".into()), ..filter() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&*queue, filter.clone()).await, expected, "{filter:?}");
    }
}

/// The last 8 characters, or more, or fewer, in either case.
pub async fn by_id_suffix(store: &dyn Store) {
    let queue = store.open();
    let jobs: Vec<_> = (0..50).map(|_| job()).collect();
    let id = jobs[17].id;
    queue.submit(jobs).await.unwrap();
    let text = id.to_string();
    for suffix in [id.short(), id.short().to_uppercase(), text.clone(), text[20..].to_owned(), text[24..].to_owned()] {
        assert_eq!(
            ids(&*queue, Filter { id_suffix: Some(suffix.clone()), ..Filter::default() }).await,
            [id],
            "{suffix}"
        );
    }
    assert!(ids(&*queue, Filter { id_suffix: Some(text[33..].into()), ..Filter::default() }).await.contains(&id));
    for none in ["zzzzzzzz", "%", "________", "é", "x'y"] {
        assert_eq!(ids(&*queue, Filter { id_suffix: Some(none.into()), ..Filter::default() }).await, [], "{none}");
    }
}

/// A long list is whole, without doubles.
pub async fn in_pages(store: &dyn Store) {
    let queue = store.open();
    let jobs: Vec<_> = (0..4_500).map(|_| job()).collect();
    let mut expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    expected.reverse();
    queue.submit(jobs).await.unwrap();
    assert_eq!(ids(&*queue, Filter::default()).await, expected);
    assert_eq!(ids(&*queue, Filter { limit: Some(2_001), ..Filter::default() }).await, expected[..2_001]);
}
