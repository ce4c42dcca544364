//! A queue of version 1 in use, with jobs in all states (tests/fixtures): this version opens it, brings it to its own form
//! and finishes what is under way; one of a newer version is refused. The form itself changes only by a migration.
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::{path::Path, time::Duration};

use job_queue::{Claim, Filter, JobEnding, JobQueue as _, NewRound, OpenOptions, Owner, Sqlite};
use rusqlite::Connection;
use workflow_model::{Cause, ExecutorKind, JobStatus, QueueName, TaskStatus};

const V1: &str = include_str!("../../../tests/fixtures/v1/sqlite/queue.sql");

/// Makes the database of the fixture; what is added to it comes last.
fn make(path: &Path, more: &str) {
    Connection::open(path).unwrap().execute_batch(&format!("{V1}\n{more}")).unwrap();
}

/// All that makes a database's form, as SQL.
fn form(path: &Path) -> Vec<String> {
    let conn = Connection::open(path).unwrap();
    let mut statement = conn.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
    let form = statement.query_map((), |row| row.get::<_, String>(0)).unwrap();
    form.map(|sql| sql.unwrap().replace('"', "")).collect()
}

fn claim(slot: &str, fresh: bool) -> Claim {
    // As in the fixture.
    let owner = Owner {
        host: "a3c1f0e2b4d596877869504132231405".into(),
        run_dir: "0123456789abcdef".into(),
        slot: slot.into(),
    };
    Claim {
        queue: QueueName::default(),
        dead: vec![owner.clone()],
        owner,
        executor: ExecutorKind::Shell,
        store: "fs:/var/lib/qmanager/jobs".into(),
        place: None,
        ttl: Duration::from_secs(60),
        fresh,
    }
}

fn ending(status: JobStatus) -> JobEnding {
    JobEnding { status, cause: (status == JobStatus::Failed).then_some(Cause::UserExit), message: None }
}

/// A change of the form needs a migration (crates/job-queue/migrations) and a fixture of the new version beside this one.
#[test]
fn the_form_of_version_1_is_that_of_the_first_migration() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.db"), dir.path().join("new.db"));
    make(&old, "");
    Connection::open(&new).unwrap().execute_batch(include_str!("../migrations/0001_init.sql")).unwrap();
    assert_eq!(form(&old), form(&new), "tests/fixtures/README.md says what to do");
}

#[tokio::test]
async fn a_queue_of_version_1_is_opened_and_finished() {
    let dir = tempfile::tempdir().unwrap();
    let (path, fresh) = (dir.path().join("queue.db"), dir.path().join("fresh.db"));
    make(&path, "");
    let queue = Sqlite::open(&path, &OpenOptions::default()).unwrap();
    drop(Sqlite::open(&fresh, &OpenOptions::default()).unwrap());
    assert_eq!(form(&path), form(&fresh), "migrated as if it were new");

    let jobs = queue.list(&Filter::default()).await.unwrap();
    let of = |status: JobStatus| jobs.iter().filter(|job| job.status == status).count();
    let states = [JobStatus::Queued, JobStatus::Running, JobStatus::Cancelling, JobStatus::Succeeded];
    assert_eq!(states.map(of), [2, 1, 1, 2]);
    assert_eq!((of(JobStatus::Failed), of(JobStatus::Cancelled)), (1, 1));
    let ok = jobs.iter().find(|job| job.name.as_deref() == Some("ok")).unwrap();
    assert_eq!(ok.labels.get("team").map(String::as_str), Some("a"));
    let failed = jobs.iter().find(|job| job.status == JobStatus::Failed).unwrap();
    assert_eq!((failed.key.as_deref(), failed.cause), (Some("bad-1"), Some(Cause::UserExit)));
    let tasks = queue.tasks(failed.id).await.unwrap();
    assert_eq!((tasks[0].code, tasks[0].retries, tasks[0].attempt.0), (Some(3), 1, 2));
    assert_eq!(tasks[1].status, TaskStatus::Skipped);
    let queues = queue.queues().await.unwrap();
    assert!(queues.iter().any(|queue| queue.name.as_str() == "nightly" && queue.paused));
    assert!(queues.iter().any(|queue| queue.limit == Some(7)));

    // What runs is taken over from its dead workers, with all that an adopter needs.
    let mut resumed = Vec::new();
    for slot in ["default00", "default01", "default02"] {
        let Some(claimed) = queue.claim(&claim(slot, false)).await.unwrap() else { continue };
        assert!(claimed.resumed && claimed.tasks.iter().any(|task| task.attempt_process.is_some()));
        let mut rows: Vec<_> = claimed.tasks.into_iter().filter(|task| task.status == TaskStatus::Running).collect();
        for row in &mut rows {
            (row.status, row.attempt_process, row.ended) = (TaskStatus::Succeeded, None, Some(i64::MAX / 2));
        }
        let end = ending(JobStatus::Succeeded);
        resumed.push(queue.finish(claimed.job.id, claimed.job.epoch, &rows, end).await.unwrap());
    }
    assert_eq!(resumed.len(), 2);
    assert!(resumed.contains(&JobStatus::Succeeded) && resumed.contains(&JobStatus::Cancelled), "{resumed:?}");
    // What waits is claimed, but not before its time; what failed can be retried.
    let waiting = queue.claim(&claim("default00", true)).await.unwrap().unwrap();
    assert_eq!(waiting.job.name.as_deref(), Some("queued"));
    queue.finish(waiting.job.id, waiting.job.epoch, &[], ending(JobStatus::Failed)).await.unwrap();
    assert!(queue.claim(&claim("default00", true)).await.unwrap().is_none());
    queue.retry(failed.id, NewRound { seen: 1, reset: vec![tasks[0].task], ..NewRound::default() }).await.unwrap();
    assert_eq!(queue.claim(&claim("default00", true)).await.unwrap().unwrap().job.round, 2);
}

#[test]
fn f24_a_queue_of_a_newer_version_is_refused_with_the_remedy_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queue.db");
    make(&path, "PRAGMA user_version = 99; ALTER TABLE job ADD COLUMN new TEXT;");
    let before = form(&path);
    let error = Sqlite::open(&path, &OpenOptions::default()).err().unwrap().to_string();
    assert!(error.contains("newer qmanager (schema 99") && error.contains("use that version"), "{error}");
    assert_eq!(form(&path), before);
}
