//! How fast jobs come in: one by one and in bulk, durable; and how quickly a database opens.
//!
//! `cargo run --release -p job-queue --example submit_rate -- [FOLDER]` (default: the temp folder)

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement reads the clock and prints")]

use std::{path::Path, time::Instant};

use job_queue::{Check, JobQueue, NewJob, OpenOptions, Sqlite};
use workflow_model::{JobId, QueueName};

const SINGLE: usize = 5_000;
const BULK: usize = 100_000;
const PER_CALL: usize = 1_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(parent)?;
    let path = folder.path().join("queue.db");

    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let opened = Instant::now();
    let queue = Sqlite::open(&path, &OpenOptions::default())?;
    println!("open, new file            {:>10.0} us", opened.elapsed().as_secs_f64() * 1e6);
    let closed = Instant::now();
    drop(queue);
    println!("close                     {:>10.0} us", closed.elapsed().as_secs_f64() * 1e6);
    let queue = reopen(&path, "open, existing file ", Check::Quick)?;

    runtime.block_on(async {
        let started = Instant::now();
        for _ in 0..SINGLE {
            queue.submit(vec![job()]).await?;
        }
        rate("submit, one by one   ", SINGLE, started);

        let batches: Vec<Vec<NewJob>> = (0..BULK / PER_CALL).map(|_| (0..PER_CALL).map(|_| job()).collect()).collect();
        let started = Instant::now();
        for batch in batches {
            queue.submit(batch).await?;
        }
        rate("submit, 1 000 a call ", BULK, started);
        Ok::<_, job_queue::Error>(())
    })?;
    drop(queue);
    drop(reopen(&path, "open, 105 000 jobs  ", Check::Quick)?);
    drop(reopen(&path, "  with quick_check  ", Check::Within(std::time::Duration::from_secs(5)))?);
    Ok(())
}

fn reopen(path: &Path, what: &str, check: Check) -> Result<Sqlite, job_queue::Error> {
    let opened = Instant::now();
    // As workers and the verbs of the command line do, who have nothing else to do meanwhile.
    let queue = Sqlite::open(path, &OpenOptions { check, on_caller: true, ..OpenOptions::default() })?;
    println!("{what}      {:>10.0} us", opened.elapsed().as_secs_f64() * 1e6);
    Ok(queue)
}

fn rate(what: &str, jobs: usize, started: Instant) {
    println!("{what}     {:>10.0} /s", jobs as f64 / started.elapsed().as_secs_f64());
}

/// About 600 bytes, as in the floors of docs/performance.md.
fn job() -> NewJob {
    NewJob {
        id: JobId::generate(),
        queue: QueueName::default(),
        name: Some("rate".into()),
        definition: format!(r#"[{{"name":"t","params":{{"command":"true"}},"description":"{:500}"}}]"#, ""),
        hash: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        tasks: 1,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: "uid:1000".into(),
        settings: "{}".into(),
        store: None,
    }
}
