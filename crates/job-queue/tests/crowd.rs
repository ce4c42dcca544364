//! Many workers and clients on one file, each with a connection of its own.

use std::{
    collections::HashMap,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use job_queue::{
    Filter, JobQueue, OpenOptions, Sqlite,
    conformance::{claim_by, ending, job, row},
};
use workflow_model::{Epoch, JobId, JobStatus, TaskStatus};

const WORKERS: usize = 32;
const CLIENTS: usize = 16;
const JOBS: usize = 2_000;

#[test]
fn f29_32_workers_and_16_clients_without_a_locked_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("queue.db");
    let ended = &AtomicUsize::new(0);
    let worked: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|n| scope.spawn(move || on_a_runtime(work(path, n, ended)))).collect();
        for _ in 0..CLIENTS {
            scope.spawn(move || {
                on_a_runtime(async {
                    let queue = open(path);
                    for _ in 0..JOBS / CLIENTS {
                        queue.submit(vec![job()]).await.unwrap();
                    }
                });
            });
        }
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut times: HashMap<(JobId, Epoch), usize> = HashMap::new();
    for job in worked {
        *times.entry(job).or_default() += 1;
    }
    assert_eq!((times.len(), times.values().max()), (JOBS, Some(&1)), "each job once");
    on_a_runtime(async {
        let all = open(path).list(&Filter::default()).await.unwrap();
        assert_eq!(all.len(), JOBS);
        assert!(all.iter().all(|job| job.status == JobStatus::Succeeded && job.epoch == Epoch(1)));
        assert_eq!(open(path).health().await.unwrap().problems, Vec::<String>::new());
    });
}

/// Workers that take each other for dead at random moments, seen by an audit in the database itself: each job ends once
/// and stays so (I2), its epochs grow and nothing is written under an older one (I5), no success is lost or doubled (I6).
#[test]
fn f86_workers_that_take_each_other_for_dead() {
    const JOBS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let path = &folder.path().join("queue.db");
    on_a_runtime(async { open(path).submit((0..JOBS).map(|_| job()).collect()).await.unwrap() });
    let audit = rusqlite::Connection::open(path).unwrap();
    audit
        .execute_batch(
            "CREATE TABLE audit (id TEXT, was TEXT, is_now TEXT, old_epoch INTEGER, epoch INTEGER);
             CREATE TRIGGER audit_job AFTER UPDATE OF status, epoch ON job BEGIN
               INSERT INTO audit VALUES (NEW.id, OLD.status, NEW.status, OLD.epoch, NEW.epoch); END",
        )
        .unwrap();
    let ends: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8).map(|n| scope.spawn(move || on_a_runtime(rob(path, n)))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(ends, JOBS, "each end was told to one worker");
    let count = |sql: &str| audit.query_row(sql, (), |row| row.get::<_, usize>(0)).unwrap();
    let terminal = "('succeeded', 'failed', 'cancelled')";
    assert_eq!(count(&format!("SELECT count(*) FROM audit WHERE is_now IN {terminal}")), JOBS);
    assert_eq!(count(&format!("SELECT count(DISTINCT id) FROM audit WHERE is_now IN {terminal}")), JOBS);
    assert_eq!(count(&format!("SELECT count(*) FROM audit WHERE was IN {terminal}")), 0);
    assert_eq!(count("SELECT count(*) FROM audit WHERE epoch < old_epoch OR epoch > old_epoch + 1"), 0);
    assert_eq!(count("SELECT count(*) FROM task WHERE status <> 'succeeded' OR attempt <> retries"), 0);
    assert!(count("SELECT count(*) FROM audit WHERE was = 'running' AND epoch > old_epoch") > 0, "nobody was robbed");
}

/// Works as a worker does, and takes its neighbour for dead at every third claim; answers how many jobs it ended.
async fn rob(path: &Path, number: usize) -> usize {
    let queue = open(path);
    let mut claim = claim_by(&format!("default{number:02}"));
    let (alone, neighbour) = (claim.dead.clone(), claim_by(&format!("default{:02}", number ^ 1)).owner);
    let mut ended = 0;
    for turn in 0.. {
        claim.dead.clone_from(&alone);
        if turn % 3 == 0 {
            claim.dead.push(neighbour.clone());
        }
        let Some(claimed) = queue.claim(&claim).await.expect("an answer") else {
            // What is left is the neighbour's, and it lives.
            if queue.queues().await.expect("an answer")[0].running == 0 {
                return ended;
            }
            tokio::task::yield_now().await;
            continue;
        };
        let (id, epoch) = (claimed.job.id, claimed.job.epoch);
        let attempt = |status| {
            let mut row = row(0, status);
            // The epoch in two columns: a row of two owners would not match itself.
            (row.attempt, row.retries) = (workflow_model::Attempt(epoch.0 as u32), epoch.0 as u32);
            [row]
        };
        let ends = match queue.record(id, epoch, &attempt(TaskStatus::Running)).await {
            Ok(()) => queue.finish(id, epoch, &attempt(TaskStatus::Succeeded), ending(JobStatus::Succeeded)).await,
            Err(fenced) => Err(fenced),
        };
        match ends {
            Ok(status) => ended += usize::from(status == JobStatus::Succeeded),
            Err(job_queue::Error::Fenced) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    ended
}

async fn work(path: &Path, number: usize, ended: &AtomicUsize) -> Vec<(JobId, Epoch)> {
    let queue = open(path);
    let claim = claim_by(&format!("default{number:02}"));
    let mut mine = Vec::new();
    while ended.load(Ordering::Relaxed) < JOBS {
        let Some(claimed) = queue.claim(&claim).await.expect("an answer") else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let (id, epoch) = (claimed.job.id, claimed.job.epoch);
        queue.record(id, epoch, &[row(0, TaskStatus::Running)]).await.expect("an answer");
        queue.renew(&[(id, epoch)], Duration::from_secs(60)).await.expect("an answer");
        let rows = [row(0, TaskStatus::Succeeded)];
        queue.finish(id, epoch, &rows, ending(JobStatus::Succeeded)).await.expect("an answer");
        mine.push((id, epoch));
        ended.fetch_add(1, Ordering::Relaxed);
    }
    mine
}

fn open(path: &Path) -> Sqlite {
    Sqlite::open(path, &OpenOptions::default()).expect("a queue")
}

fn on_a_runtime<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body)
}

/// A claim's time does not depend on how many jobs wait.
#[test]
fn f84_claims_among_100_000_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    on_a_runtime(async {
        let queue = open(&path);
        for _ in 0..10 {
            queue.submit((0..10_000).map(|_| job()).collect()).await.unwrap();
        }
        let mut times = Vec::new();
        for n in 0..200 {
            let mut claim = claim_by(&format!("default{n:03}"));
            claim.dead.clear();
            let begin = now();
            assert!(queue.claim(&claim).await.unwrap().is_some());
            times.push(begin.elapsed());
        }
        times.sort();
        // A walk over all of them takes that long; what the machine does beside this does not, half of the time.
        assert!(times[100] < Duration::from_millis(50), "the median: {:?}", times[100]);
    });
}

#[expect(clippy::disallowed_methods, reason = "what a claim takes is measured")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}
