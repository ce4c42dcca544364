//! Limit keys beyond what the suite says: claims behind a million jobs of a key that is taken, programs of version 1 beside
//! this one, and a database of version 1 that becomes one of version 2.
//!
//! `QMANAGER_KEY_ROWS=1000000 cargo test --release -p job-queue --test keys -- --nocapture` is the long form.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test's setup may fail the test; figures are shown")]

use std::time::{Duration, Instant};

use job_queue::{
    Claim, JobQueue, NewJob, OpenOptions, Postgres, Sqlite,
    conformance::{claim_by, ending, job, server::Server},
};
use rusqlite::Connection;
use workflow_model::{Epoch, JobStatus, LimitKey, QueueName};

fn rows() -> u32 {
    std::env::var("QMANAGER_KEY_ROWS").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

fn on_a_runtime<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body)
}

fn keyed(key: &str) -> NewJob {
    NewJob { limit_key: Some(LimitKey::new(key).expect("a key")), ..job() }
}

fn claim(slot: u32) -> Claim {
    let mut claim = claim_by(&format!("default{slot:03}"));
    claim.dead.clear();
    claim
}

/// One in a hundred, the rest is before them and waits for a key that is taken.
const OTHERS: u32 = 100;
const CLAIMS: u32 = 150;

/// The key is taken by one job; `rows` more of it come before all others. Claims find the others as if they were alone;
/// and when the key's job ends, its next one comes at once.
async fn behind_a_taken_key(queue: &dyn JobQueue, what: &str) {
    let mut times = Vec::new();
    let first = queue.claim(&claim(999)).await.unwrap().unwrap();
    assert_eq!(first.job.limit_key.as_deref(), Some("taken"));
    for slot in 0..CLAIMS {
        let began = now();
        let taken = queue.claim(&claim(slot)).await.unwrap().unwrap();
        times.push(began.elapsed());
        assert_eq!(taken.job.limit_key, None);
    }
    let mut ends = Vec::new();
    let (mut id, mut epoch) = (first.job.id, first.job.epoch);
    for _ in 0..CLAIMS {
        let began = now();
        let end = ending(JobStatus::Succeeded);
        let next = queue.finish_and_claim(id, epoch, &[], end, &claim(999)).await.unwrap().1.unwrap();
        ends.push(began.elapsed());
        assert_eq!(next.job.limit_key.as_deref(), Some("taken"));
        (id, epoch) = (next.job.id, next.job.epoch);
    }
    for (what, times) in
        [(format!("{what}: a claim"), &mut times), (format!("{what}: end and next of the key"), &mut ends)]
    {
        times.sort_unstable();
        let at = |percent: usize| times[times.len() * percent / 100];
        eprintln!("{what} among {} rows: median {:?}, 99 % {:?}", rows(), at(50), at(99));
        assert!(at(50) < Duration::from_millis(50), "{what}: {:?}", at(50));
    }
}

#[expect(clippy::disallowed_methods, reason = "what a claim takes is measured")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn f84_claims_behind_a_taken_key_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = Sqlite::open(&path, &OpenOptions::default()).unwrap();
    let fill = Connection::open(&path).unwrap();
    fill.execute_batch("BEGIN").unwrap();
    fill.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO job (id, queue, status, labels, priority, submitter, hash, tasks, created, limit_key) \
         SELECT printf('01a20c76-512e-70e9-87fc-%012x', i), 'default', 'queued', '{}', iif(i % ?2, 5, 0), 'uid:1', 'h', 1, 1, \
         iif(i % ?2, 'taken', NULL) FROM n",
        (rows(), OTHERS),
    )
    .unwrap();
    fill.execute_batch("INSERT INTO definition SELECT seq, '[]', '{}' FROM job; COMMIT").unwrap();
    on_a_runtime(behind_a_taken_key(&queue, "SQLite"));
}

#[test]
fn f84_claims_behind_a_taken_key_on_postgresql() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    on_a_runtime(async {
        let queue = Postgres::open(&database.url(), &OpenOptions { migrate: true, ..OpenOptions::default() }).unwrap();
        queue.queues().await.unwrap();
        database.sql(&format!(
            "SET statement_timeout = 0; \
             INSERT INTO qmanager.job (id, queue, priority, submitter, hash, tasks, created, limit_key) \
             SELECT gen_random_uuid(), 'default', CASE WHEN i % {OTHERS} = 0 THEN 0 ELSE 5 END, 'uid:1', 'h', 1, 1, \
             CASE WHEN i % {OTHERS} <> 0 THEN 'taken' END FROM generate_series(1, {}) AS i; \
             INSERT INTO qmanager.definition SELECT seq, '[]', '{{}}' FROM qmanager.job; ANALYZE qmanager.job",
            rows()
        ));
        behind_a_taken_key(&queue, "PostgreSQL").await;
    });
}

/// A worker of version 1 that runs on over the migration knows no keys: its statements, as they were, keep to the limits.
#[test]
fn a_worker_of_version_1_keeps_to_the_limits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = Sqlite::open(&path, &OpenOptions::default()).unwrap();
    let old = Connection::open(&path).unwrap();
    let v1_claim = || {
        let next = "SELECT seq FROM job WHERE queue = 'default' AND status = 'queued' AND later IS NULL \
             ORDER BY priority DESC, seq LIMIT 1";
        let sql = format!(
            "UPDATE job SET status = iif(status = 'queued', 'running', status), epoch = epoch + 1, owner_host = 'h', \
             owner_run_dir = 'r', owner_slot = 's', lease_until = 1, started = coalesce(started, 1), \
             store = coalesce(store, 'fs') WHERE seq = ({next})"
        );
        old.execute("UPDATE job SET later = NULL WHERE later IS NOT NULL AND later <= 1000", ()).unwrap();
        old.execute(&sql, ()).unwrap() == 1
    };
    let v1_end = "UPDATE job SET status = 'succeeded', ended = 5, later = NULL, owner_host = NULL, owner_run_dir = NULL, \
         owner_slot = NULL, lease_until = NULL WHERE owner_slot = 's'";
    on_a_runtime(async {
        let due = NewJob { run_at: Some(7), ..keyed("k") };
        queue.submit(vec![keyed("k"), due, keyed("k"), job()]).await.unwrap();
        assert!(v1_claim(), "the one without a key");
        assert!(!v1_claim(), "nobody who knows keys has let one in, and the one that became due waits too");
        let taken = queue.claim(&claim(0)).await.unwrap().unwrap();
        assert!(!v1_claim(), "the key is taken");
        queue.release(taken.job.id, Epoch(1), &[]).await.unwrap();
        assert!(v1_claim(), "given back, it has its place");
        assert!(queue.claim(&claim(0)).await.unwrap().is_none(), "taken by the old one");
        old.execute(v1_end, ()).unwrap();
        assert!(queue.claim(&claim(0)).await.unwrap().is_some(), "its end is noticed");
        assert!(queue.claim(&claim(1)).await.unwrap().is_none());
    });
}

/// A database of version 1 in use: its jobs, and who may submit, stay; jobs from SQL may name a key now.
#[test]
fn a_postgresql_database_of_version_1_is_migrated() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    database.sql(include_str!("../migrations/postgres/0001_init.sql"));
    database.sql(
        "INSERT INTO qmanager.migration (version, by_program) VALUES (1, '0.0.0'); \
         DO $$ BEGIN CREATE ROLE app_of_ours; EXCEPTION WHEN duplicate_object THEN END $$; \
         GRANT EXECUTE ON FUNCTION qmanager.submit TO app_of_ours WITH GRANT OPTION; \
         SELECT qmanager.submit('- name: a', 'old')",
    );
    on_a_runtime(async {
        let old = Postgres::open(&database.url(), &OpenOptions::default()).unwrap();
        let refused = old.queues().await.unwrap_err().to_string();
        assert!(refused.contains("schema 1, this one needs 2") && refused.contains("queue migrate"), "{refused}");
        let done = old.migrate().await.unwrap();
        assert!(done.contains("from schema 1 to 2"), "{done}");
        let rights = "SELECT has_function_privilege('app_of_ours', oid, 'EXECUTE WITH GRANT OPTION')::text || \
             has_function_privilege('public', oid, 'EXECUTE')::text FROM pg_proc WHERE proname = 'submit'";
        assert_eq!(database.sql(rights), ["truefalse"]);
        let submit = |text: &str| format!("SELECT qmanager.submit('- name: a', '{text}', limit_key => 'db')");
        database.sql(&format!("BEGIN; {}; {}; COMMIT", submit("b"), submit("c")));
        assert_eq!(database.sql("SELECT qmanager.submit('- name: a', 'old')").len(), 1);
        let name = QueueName::default();
        let keys = old.keys(&name, None).await.unwrap();
        assert_eq!((keys[0].key.as_str(), keys[0].limit, keys[0].queued), ("db", 1, 2));
        assert!(old.claim(&claim(0)).await.unwrap().unwrap().job.is_unchecked());
        assert_eq!(old.claim(&claim(1)).await.unwrap().unwrap().job.limit_key.as_deref(), Some("db"));
        assert!(old.claim(&claim(2)).await.unwrap().is_none());
        for wrong in ["", " db", "a\tb", &"x".repeat(257)] {
            let sql = format!(
                "DO $d$ BEGIN PERFORM qmanager.submit('- name: a', limit_key => '{wrong}'); RAISE 'taken'; \
                 EXCEPTION WHEN invalid_parameter_value THEN END $d$"
            );
            database.sql(&sql);
        }
    });
}
