//! What the programs take while they stand: memory, page faults of an exec, processor time of an idle daemon.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{
    Bench,
    ground::{cpu_seconds, mib},
    sample::{self, Sample},
    shapes::Shape,
    table::{Check, Row},
};

/// Peak memory of the worker and of the manager with large jobs, of a task executor while its task runs.
pub(crate) fn memory(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let (worker, manager) = peaks(bench, &Shape::layers(100, 100))?;
    let (large_worker, large_manager) = peaks(bench, &Shape::layers(1000, 100))?;
    let executor = executor_memory(bench)?;
    let row = |subject: &str, value: f64| Row::new("memory", subject, Sample::of(&[value]), "MiB");
    let bound = |subject: &str, value: f64, limit: f64| row(subject, value).check(Check::at_most("", value, limit));
    Ok(vec![
        bound("qworker, 10 000 tasks (peak)", worker, 64.0),
        bound("qmanager run, 10 000 tasks (peak)", manager, 64.0),
        bound("qworker, 100 000 tasks (peak)", large_worker, 96.0),
        row("qmanager run, 100 000 tasks (peak)", large_manager),
        bound("task-executor while its task runs", executor, 3.0),
    ])
}

/// Peaks of the worker and of `qmanager run` in the first seconds of a job.
fn peaks(bench: &Bench<'_>, shape: &Shape) -> Result<(f64, f64)> {
    let ground = bench.ground;
    ground.write("large/workflow.json", &shape.workflow())?;
    let cmd = ground.qmanager()?.args(["run", "--parallel", "2", "--no-progress", "large/workflow.json"]);
    let mut job = cmd.quiet(&ground.folder.join("last-errors"))?.background()?;
    let peak = |name: &str, field: &str| {
        let found = ground.processes().into_iter().filter(|process| process.name == name);
        found.filter_map(|process| mib(process.pid, field)).fold(0.0, f64::max)
    };
    ground.until("the large job runs", || peak("task-executor", "VmRSS") > 0.0)?;
    let start = sample::now();
    let (mut worker, mut manager) = (0.0_f64, 0.0_f64);
    while start.elapsed() < Duration::from_secs(15) && job.is_running() {
        worker = worker.max(peak("qworker", "VmHWM"));
        manager = manager.max(peak("qmanager", "VmHWM"));
        std::thread::sleep(Duration::from_millis(200));
    }
    crate::command::Cmd::new("kill").args(["-TERM", &job.pid().to_string()]).answers();
    job.wait();
    Ok((worker, manager))
}

fn executor_memory(bench: &Bench<'_>) -> Result<f64> {
    let ground = bench.ground;
    ground.write("sleep/workflow.json", "[{\"name\": \"sleep\", \"params\": {\"command\": \"sleep 2\"}}]\n")?;
    let cmd = ground.qmanager()?.args(["run", "--no-progress", "sleep/workflow.json"]);
    let job = cmd.quiet(&ground.folder.join("last-errors"))?.background()?;
    let asleep = || ground.processes().iter().any(|process| process.name == "sleep");
    ground.until("the task sleeps", asleep)?;
    let found = ground.processes().into_iter().filter(|process| process.name == "task-executor");
    let peak = found.filter_map(|process| mib(process.pid, "VmRSS")).fold(0.0, f64::max);
    job.wait();
    ensure!(peak > 0.0, "the task executor was not found");
    Ok(peak)
}

/// Page faults of a task executor that is told nothing and ends: what each exec of it costs.
pub(crate) fn faults(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let program = bench.ground.program("task-executor")?.to_str().context("a path in UTF-8")?;
    let rust = bench.floors.tiny_rust.to_str().context("a path in UTF-8")?;
    let (mut ours, mut floor, mut time) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        let spawned = bench.floors.spawn(200, 1, &[program], false)?;
        ours.push(spawned.minflt);
        time.push(spawned.us_per / 1e3);
        floor.push(bench.floors.spawn(200, 1, &[rust, "noop"], false)?.minflt);
    }
    let faults = Sample::of(&ours);
    Ok(vec![
        Row::new("faults", "floor: an empty Rust program", Sample::of(&floor), "faults"),
        Row::new("faults", "task-executor without a request", faults, "faults").check(Check::at_most(
            "",
            faults.median,
            45.0,
        )),
        Row::new("faults", "task-executor, exec to exit", Sample::of(&time), "ms"),
    ])
}

/// Processor time of all processes of an idle daemon, and how often it asks its queue: each transaction is a line of its
/// log under `-vvv`, of workers too.
pub(crate) fn idle(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ground = bench.ground;
    let daemon = ground.daemon(&["--workers", "2"])?;
    std::thread::sleep(Duration::from_secs(1));
    let used = || ground.processes().iter().filter_map(|process| cpu_seconds(process.pid)).sum::<f64>();
    let (start, before) = (sample::now(), used());
    std::thread::sleep(Duration::from_secs(bench.options.idle));
    let percent = 100.0 * (used() - before) / start.elapsed().as_secs_f64();
    drop(daemon);
    let subject = format!("daemon with 2 workers, {} s", bench.options.idle);
    let row = Row::new("idle", &subject, Sample::of(&[percent]), "% of a core");
    Ok(vec![row.check(Check::at_most("", percent, 0.5)), queries(bench)?])
}

fn queries(bench: &Bench<'_>) -> Result<Row> {
    let log = bench.ground.folder.join("daemon-errors");
    let daemon = bench.ground.daemon(&["--workers", "2", "-vvv"])?;
    let count = || std::fs::read_to_string(&log).map(|text| text.matches(" transaction writes=").count());
    std::thread::sleep(Duration::from_secs(1));
    let (start, before) = (sample::now(), count()?);
    ensure!(before > 0, "the daemon's log has no transaction: they cannot be counted");
    std::thread::sleep(Duration::from_secs(bench.options.idle));
    let rate = f64::from(u32::try_from(count()? - before)?) / start.elapsed().as_secs_f64();
    drop(daemon);
    let row = Row::new("idle", "transactions of the queue, all processes", Sample::of(&[rate]), "/s");
    Ok(row.check(Check::at_most("", rate, 1.05)))
}
