//! What a task costs between a worker and its task executors, without queue and scheduler.
//!
//! `chain TASK-EXECUTOR N IN-FLIGHT SPARES [COMMAND…]`: N tasks of `sh -c true` (or the command), so many in flight, so many
//! task executors started ahead; prints microseconds and minor page faults per task. The floor to compare with:
//! `spawnfloor` and `tiny` of the benchmarks.

use std::{
    error::Error,
    path::PathBuf,
    time::{Duration, Instant},
};

use executor::TaskSpec;
use rustix::fd::AsFd;
use task_process::{
    Inbox, JobDir, Lease, Places, RunDir, Slots, Spares, TaskRequest, VERSION, WorkerLock, deadline_in,
};
use workflow_model::{Attempt, Epoch, ExecutorKind, JobId, Nonce, QueueName, TaskIx, TaskName};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measurement: takes the time and prints it")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: chain TASK-EXECUTOR N IN-FLIGHT SPARES [COMMAND...]";
    let program = PathBuf::from(args.next().ok_or(usage)?);
    let mut number = || args.next().ok_or(usage).and_then(|text| text.parse::<usize>().map_err(|_| usage));
    let (n, in_flight, ahead) = (number()?, number()?, number()?);
    let mut command: Vec<String> = args.collect();
    if command.is_empty() {
        command = ["/bin/sh", "-c", "true"].map(Into::into).into();
    }
    let dir = tempfile::tempdir()?;
    let mut bench = Bench::new(dir.path().to_owned(), program, in_flight, ahead, command)?;
    bench.run(in_flight * 4).await?;
    let (faults_before, cpu_before) = used();
    let started = Instant::now();
    bench.run(n).await?;
    let took = started.elapsed();
    let each = |total: f64| total / n as f64;
    let (faults, cpu) = used();
    println!(
        "{{\"n\":{n},\"inflight\":{in_flight},\"ahead\":{ahead},\"us_per\":{:.1},\"cpu_us\":{:.1},\"minflt\":{:.1}}}",
        each(took.as_secs_f64() * 1e6),
        each((cpu - cpu_before) as f64),
        each((faults - faults_before) as f64),
    );
    Ok(())
}

struct Bench {
    inbox: Inbox,
    spares: Spares,
    slots: Slots,
    job_dir: JobDir,
    places: Places,
    lease: PathBuf,
    job: JobId,
    command: Vec<String>,
    in_flight: usize,
    next: u32,
}

impl Bench {
    fn new(
        dir: PathBuf,
        program: PathBuf,
        in_flight: usize,
        ahead: usize,
        command: Vec<String>,
    ) -> Result<Self, Box<dyn Error>> {
        let run_dir = RunDir::open(dir.join("run"))?;
        let job = JobId::generate();
        let job_dir = JobDir::new(dir.join("job"), 1_000_000);
        job_dir.create(None)?;
        std::fs::create_dir(job_dir.files())?;
        Ok(Self {
            inbox: Inbox::bind(WorkerLock::acquire(&run_dir, &QueueName::default(), 0)?)?,
            spares: Spares::new(program, None, ahead)?,
            slots: Slots::open(&run_dir, in_flight)?,
            places: Places::new(&job_dir, Epoch(1)),
            job_dir,
            lease: Lease::path(run_dir.path(), job),
            job,
            command,
            in_flight,
            next: 0,
        })
    }

    /// Runs so many tasks; the slots go from task to task without being let go.
    async fn run(&mut self, n: usize) -> Result<(), Box<dyn Error>> {
        let mut free = Vec::new();
        for _ in 0..self.in_flight {
            free.extend(self.slots.try_acquire(1)?);
        }
        let mut ending = tokio::task::JoinSet::new();
        let mut running = std::collections::HashMap::new();
        let (mut begun, mut done) = (0, 0);
        while done < n {
            while begun < n && !free.is_empty() {
                let slot = free.pop().ok_or("no slot")?;
                let request = self.request();
                let spare = self.spares.take()?;
                let executor = spare.send(&request, &slot.fds().iter().map(AsFd::as_fd).collect::<Vec<_>>()).await?;
                running.insert(request.task, (request, executor, slot));
                begun += 1;
            }
            while self.spares.refill()? {}
            let report = tokio::time::timeout(Duration::from_secs(10), self.inbox.recv()).await??;
            let (request, executor, slot) = running.remove(&report.task).ok_or("unknown task")?;
            if !report.outcome.is_success() || report.nonce != request.nonce {
                return Err("a task failed".into());
            }
            self.places.take_back(&request.paths)?;
            free.push(slot);
            ending.spawn(executor.exited());
            while ending.try_join_next().is_some() {}
            done += 1;
        }
        ending.join_all().await;
        Ok(())
    }

    fn request(&mut self) -> TaskRequest {
        let task = TaskIx(self.next);
        self.next += 1;
        let name = TaskName::new("true").expect("BUG: a valid name");
        let mut paths = self.job_dir.paths(task, &name, Attempt(1), self.lease.clone());
        self.places.lend(&mut paths);
        TaskRequest {
            v: VERSION,
            job: self.job,
            task,
            name,
            attempt: Attempt(1),
            epoch: Epoch(1),
            nonce: Nonce::generate(),
            executor: ExecutorKind::Shell,
            spec: TaskSpec {
                argv: Some(self.command.clone()),
                env: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), "/root".into())],
                job_files: self.job_dir.files(),
                marker: format!("QM_MARK={}.{task}.1", self.job),
                ..TaskSpec::default()
            },
            paths,
            reply: Some(self.inbox.path().to_owned()),
            deadline: Some(deadline_in(Duration::from_secs(60))),
            umask: Some(0o022),
            attach: false,
        }
    }
}

/// Minor page faults of the children, and processor time of everybody in microseconds.
fn used() -> (i64, i64) {
    use nix::{
        sys::resource::{UsageWho, getrusage},
        sys::time::TimeValLike,
    };
    let usage = |who| getrusage(who).expect("BUG: both are known");
    let (own, children) = (usage(UsageWho::RUSAGE_SELF), usage(UsageWho::RUSAGE_CHILDREN));
    let cpu = [own.user_time(), own.system_time(), children.user_time(), children.system_time()];
    (children.minor_page_faults(), cpu.iter().map(TimeValLike::num_microseconds).sum())
}
