//! How fast workers take jobs and end them, without running anything: claim, two records, finish.
//!
//! `cargo run --release -p job-queue --example claim_rate -- [WORKERS] [WAITING] [FOLDER]`
//! (default: 2 workers, 0 other jobs that wait, the temp folder)

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement reads the clock and prints")]

use std::{path::Path, time::Duration, time::Instant};

use job_queue::{AttemptProcess, Claim, JobEnding, JobQueue, NewJob, OpenOptions, Owner, Sqlite, TaskRow};
use workflow_model::{Attempt, ExecutorKind, JobId, JobStatus, Nonce, QueueName, TaskIx, TaskStatus};

const JOBS: usize = 4_000;
const FANOUT: u32 = 100_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let workers: usize = args.next().map_or(Ok(2), |text| text.parse())?;
    let waiting: usize = args.next().map_or(Ok(0), |text| text.parse())?;
    let folder = tempfile::tempdir_in(args.next().map_or_else(std::env::temp_dir, Into::into))?;
    let path = folder.path().join("queue.db");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;

    let queue = Sqlite::open(&path, &OpenOptions::default())?;
    runtime.block_on(async {
        for _ in 0..waiting.div_ceil(1_000) {
            queue.submit((0..1_000).map(|_| job(-1, 1)).collect()).await?;
        }
        for _ in 0..JOBS / 1_000 {
            queue.submit((0..1_000).map(|_| job(0, 1)).collect()).await?;
        }
        Ok::<_, job_queue::Error>(())
    })?;

    let started = Instant::now();
    let mut claims: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|n| {
                scope.spawn({
                    let path = &path;
                    move || work(path, n)
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("BUG: a worker panicked")).collect()
    });
    println!(
        "one-task jobs, {workers} workers   {:>10.0} jobs/s",
        claims.len() as f64 / started.elapsed().as_secs_f64()
    );
    claims.sort_unstable();
    println!("a claim, median            {:>10.0} us", claims[claims.len() / 2].as_secs_f64() * 1e6);
    println!("a claim, 99 %              {:>10.0} us", claims[claims.len() * 99 / 100].as_secs_f64() * 1e6);

    runtime.block_on(large_job(&queue))?;
    Ok(())
}

fn work(path: &Path, number: usize) -> Vec<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let queue = Sqlite::open(path, &OpenOptions::default()).expect("a queue");
        let claim = claim(number);
        let mut claims = Vec::new();
        loop {
            let started = Instant::now();
            let claimed = queue.claim(&claim).await.expect("a claim");
            let Some(claimed) = claimed.filter(|claimed| claimed.job.priority == 0) else { return claims };
            claims.push(started.elapsed());
            let (id, epoch) = (claimed.job.id, claimed.job.epoch);
            queue.record(id, epoch, &[row(0, TaskStatus::Running)]).await.expect("a record");
            let end = JobEnding { status: JobStatus::Succeeded, cause: None, message: None };
            queue.finish(id, epoch, &[row(0, TaskStatus::Succeeded)], end).await.expect("an end");
        }
    })
}

async fn large_job(queue: &Sqlite) -> Result<(), job_queue::Error> {
    queue.submit(vec![job(9, FANOUT)]).await?;
    let claimed = queue.claim(&claim(99)).await?.expect("the job");
    let (id, epoch) = (claimed.job.id, claimed.job.epoch);
    let rows: Vec<_> = (0..FANOUT).map(|ix| row(ix, TaskStatus::Skipped)).collect();
    let started = Instant::now();
    queue.record(id, epoch, &rows).await?;
    println!("record 100 000 rows, one call {:>7.0} ms", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    for ix in FANOUT..FANOUT + 2_000 {
        queue.record(id, epoch, &[row(ix, TaskStatus::Running)]).await?;
    }
    println!("record 1 row               {:>10.0} us", started.elapsed().as_secs_f64() * 1e6 / 2_000.0);
    Ok(())
}

fn claim(number: usize) -> Claim {
    let owner = Owner { host: "here".into(), run_dir: "run".into(), slot: format!("default{number:02}") };
    Claim {
        queue: QueueName::default(),
        owner: owner.clone(),
        executor: ExecutorKind::Shell,
        store: "fs:jobs".into(),
        place: None,
        dead: vec![owner],
        ttl: Duration::from_secs(60),
        fresh: true,
    }
}

fn job(priority: i32, tasks: u32) -> NewJob {
    NewJob {
        id: JobId::generate(),
        queue: QueueName::default(),
        name: Some("rate".into()),
        definition: format!(r#"[{{"name":"t","params":{{"command":"true"}},"description":"{:500}"}}]"#, ""),
        hash: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        tasks,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority,
        run_at: None,
        submitter: "uid:1000".into(),
        settings: "{}".into(),
        store: None,
    }
}

fn row(ix: u32, status: TaskStatus) -> TaskRow {
    TaskRow {
        task: TaskIx(ix),
        status,
        attempt: Attempt(1),
        retries: 0,
        losses: 0,
        cause: None,
        message: None,
        code: None,
        started: Some(1),
        ended: None,
        retry_at: None,
        attempt_process: (status == TaskStatus::Running).then(|| AttemptProcess {
            pid: 4711,
            start_time: 1,
            boot_id: "8f6c0b7e-0000-4000-8000-000000000000".into(),
            host: "here".into(),
            nonce: Nonce::generate(),
        }),
        stopping: None,
    }
}
