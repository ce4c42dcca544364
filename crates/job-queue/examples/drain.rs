//! Many one-task jobs through the workers of a daemon that runs already: how fast they go, how long a claim takes beside
//! them, and whether each of them ran exactly once.
//!
//! `cargo run --release -p job-queue --example drain -- DATABASE JOBS WITNESS`
//!
//! Each task writes its job's id to the file WITNESS; that and the rows must agree.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement reads the clock and prints")]

use std::{
    collections::HashMap,
    error::Error,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use job_queue::{Claim, Filter, JobQueue, NewJob, OpenOptions, Owner, Sqlite};
use workflow_model::{ExecutorKind, JobId, JobStatus, QueueName, Workflow};

const PER_CALL: usize = 1_000;
/// Between two claims beside the workers.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks whether all is done.
const LOOK: Duration = Duration::from_millis(20);
/// A queue whose only worker is this program.
const BESIDE: &str = "beside";

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: drain DATABASE JOBS WITNESS";
    let mut args = std::env::args().skip(1);
    let (database, jobs, witness) =
        (args.next().ok_or(usage)?, args.next().ok_or(usage)?.parse::<usize>()?, args.next().ok_or(usage)?);
    let (database, witness) = (Path::new(&database), Path::new(&witness));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let queue = open(database)?;
    let name = QueueName::default();

    let workflow = workflow(witness)?;
    let ids = runtime.block_on(async {
        queue.pause(&name, true).await?;
        // Claimed beside the others; there are always enough.
        queue.submit((0..PER_CALL).map(|_| job(&workflow, QueueName::new(BESIDE).expect("a name"))).collect()).await?;
        let mut ids = Vec::with_capacity(jobs);
        while ids.len() < jobs {
            let some = PER_CALL.min(jobs - ids.len());
            let batch: Vec<NewJob> = (0..some).map(|_| job(&workflow, name.clone())).collect();
            ids.extend(queue.submit(batch).await?.into_iter().map(|submitted| submitted.id));
        }
        Ok::<_, job_queue::Error>(ids)
    })?;

    let over = AtomicBool::new(false);
    let (took, mut claims) = std::thread::scope(|scope| {
        let beside = scope.spawn(|| claims(database, &over));
        let took = runtime.block_on(drained(&queue, &name));
        over.store(true, Ordering::Relaxed);
        let claims = beside.join().expect("BUG: the claims panicked")?;
        Ok::<_, job_queue::Error>((took?, claims))
    })?;
    println!("done           {:>10.0} jobs/s", jobs as f64 / took.as_secs_f64());
    claims.sort_unstable();
    for (percent, name) in [(50, "median"), (99, "99 %"), (100, "longest")] {
        let at = (claims.len() * percent / 100).min(claims.len().saturating_sub(1));
        let claim = claims.get(at).ok_or("it was over before a claim")?;
        println!("claim, {name:<7} {:>10.3} ms", claim.as_secs_f64() * 1e3);
    }
    let (lost, doubled) = runtime.block_on(compare(&queue, &name, &ids, witness))?;
    println!("lost           {lost:>10} jobs");
    println!("doubled        {doubled:>10} jobs");
    Ok(())
}

/// As a worker opens it.
fn open(database: &Path) -> Result<Sqlite, job_queue::Error> {
    let options = OpenOptions { create: false, checkpoint_on_close: false, on_caller: true, ..OpenOptions::default() };
    Sqlite::open(database, &options)
}

/// From the start to the end of the last.
async fn drained(queue: &Sqlite, name: &QueueName) -> Result<Duration, job_queue::Error> {
    let started = Instant::now();
    queue.pause(name, false).await?;
    queue.wake().await?;
    loop {
        tokio::time::sleep(LOOK).await;
        let poll = queue.poll(std::slice::from_ref(name), "nowhere").await?;
        if poll.ready.is_empty() && poll.owners.is_empty() {
            return Ok(started.elapsed());
        }
    }
}

/// How long claims take meanwhile, of a queue that nobody else serves, in the same tables and under the same lock.
fn claims(database: &Path, over: &AtomicBool) -> Result<Vec<Duration>, job_queue::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let queue = open(database)?;
    let claim = Claim {
        queue: QueueName::new(BESIDE).expect("a name"),
        owner: Owner { host: "nowhere".into(), run_dir: "beside".into(), slot: format!("{BESIDE}00") },
        executor: ExecutorKind::Shell,
        store: "fs:nowhere".into(),
        place: None,
        dead: Vec::new(),
        ttl: Duration::from_secs(3600),
        fresh: true,
    };
    let mut claims = Vec::new();
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(PAUSE);
        let started = Instant::now();
        if runtime.block_on(queue.claim(&claim))?.is_none() {
            break;
        }
        claims.push(started.elapsed());
    }
    Ok(claims)
}

/// How many did not run and end well, and how many ran more than once.
async fn compare(
    queue: &Sqlite,
    name: &QueueName,
    ids: &[JobId],
    witness: &Path,
) -> Result<(usize, usize), Box<dyn Error>> {
    let mut runs: HashMap<JobId, usize> = HashMap::with_capacity(ids.len());
    for line in std::fs::read_to_string(witness)?.lines() {
        *runs.entry(line.parse()?).or_default() += 1;
    }
    let filter = Filter { queue: Some(name.clone()), states: vec![JobStatus::Succeeded], ..Filter::default() };
    let rows = queue.list(&filter).await?;
    let succeeded: HashMap<JobId, u32> = rows.into_iter().map(|row| (row.id, row.epoch.0 as u32)).collect();
    let lost = ids.iter().filter(|id| !runs.contains_key(id) || !succeeded.contains_key(id)).count();
    // More than one epoch: claimed twice, which nothing here gives a reason for.
    let doubled = ids.iter().filter(|id| runs.get(id).is_some_and(|n| *n > 1) || succeeded.get(id) > Some(&1)).count();
    Ok((lost, doubled))
}

fn workflow(witness: &Path) -> Result<Workflow, Box<dyn Error>> {
    let witness = witness.to_str().ok_or("the witness's path is not UTF-8")?;
    let text = serde_json::json!([{
        "name": "once",
        "params": {"command": "echo \"$QM_JOB_ID\" >> \"$WITNESS\"", "env": {"WITNESS": witness}}
    }]);
    Ok(Workflow::from_canonical_json(&text.to_string())?)
}

fn job(workflow: &Workflow, queue: QueueName) -> NewJob {
    NewJob {
        id: JobId::generate(),
        queue,
        name: None,
        definition: workflow.to_canonical_json(),
        hash: workflow.hash(),
        tasks: 1,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: "drain".into(),
        settings: "{}".into(),
        store: None,
    }
}
