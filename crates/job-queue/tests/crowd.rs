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
