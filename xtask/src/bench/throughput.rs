//! W1, W2, W3 and growth: what a task costs in one job, beside the floors, make, ninja and HyperQueue.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;

use super::{
    Bench,
    ground::Ground,
    hyperqueue,
    sample::{self, Sample, Subject, ms},
    shapes::Shape,
    table::{Check, Row},
};
use crate::command::Cmd;

const RUN: &str = "qmanager run";
const DAEMON: &str = "start + submit + wait";
const FLOOR: &str = "floor: two processes, Rust";
const MAKE: &str = "make";
const NINJA: &str = "ninja";

/// Tasks at a time, for everyone.
const PARALLEL: usize = 2;

struct Budget {
    floor: f64,
    make: Option<f64>,
}

/// 1000 independent tasks.
pub(crate) fn w1(bench: &Bench<'_>) -> Result<Vec<Row>> {
    job(bench, "W1", &Shape::independent(1000), PARALLEL, &Budget { floor: 1.25, make: Some(1.8) })
}

/// A chain of 200.
pub(crate) fn w2(bench: &Bench<'_>) -> Result<Vec<Row>> {
    job(bench, "W2", &Shape::chain(200), 1, &Budget { floor: 1.2, make: None })
}

/// 10 layers of 100, 3 predecessors each.
pub(crate) fn w3(bench: &Bench<'_>) -> Result<Vec<Row>> {
    job(bench, "W3", &Shape::layers(10, 100), PARALLEL, &Budget { floor: 1.25, make: None })
}

/// Cost of a task at 10 000 tasks against 100, both without the cost of an empty job.
pub(crate) fn growth(bench: &Bench<'_>) -> Result<Vec<Row>> {
    grown(bench, &[("1 task", 1), ("100 tasks", 100), ("1000 tasks", 1000), ("10000 tasks", 10_000)], 3)
}

/// At 100 000 tasks, once.
pub(crate) fn growth_large(bench: &Bench<'_>) -> Result<Vec<Row>> {
    grown(bench, &[("1 task", 1), ("100 tasks", 100), ("100000 tasks", 100_000)], 1)
}

fn grown(bench: &Bench<'_>, sizes: &[(&'static str, usize)], most_runs: usize) -> Result<Vec<Row>> {
    let mut subjects: Vec<Subject<'_>> = Vec::new();
    for &(name, size) in sizes {
        let file = format!("growth/{size}.json");
        bench.ground.write(&file, &Shape::independent(size).workflow())?;
        subjects.push((name, Box::new(move || Ok(ms(bench.ground.time(run(bench.ground, &file)?)?)))));
    }
    let times = sample::in_turns(bench.options.runs.min(most_runs), subjects)?;
    let empty = times["1 task"].median;
    let cost = |name: &str, size: usize| times[name].scaled(|total| (total - empty) / count_f64(size - 1));
    let base = cost("100 tasks", 100).median;
    let row = |(name, size): &(&'static str, usize)| {
        let sample = cost(name, *size);
        let row = Row::new("growth", name, sample, "ms/task");
        if *size > 100 { row.check(Check::at_most("100 tasks", sample.median / base, 1.1)) } else { row }
    };
    Ok(sizes[1..].iter().map(row).collect())
}

fn job(bench: &Bench<'_>, workload: &str, shape: &Shape, parallel: usize, budget: &Budget) -> Result<Vec<Row>> {
    let (ground, floors, count) = (bench.ground, bench.floors, shape.len());
    let per_task = |total: f64| total / count_f64(count);
    let file = format!("{workload}/workflow.json");
    ground.write(&file, &shape.workflow())?;
    ground.write(&format!("{workload}/Makefile"), &shape.makefile())?;
    ground.write(&format!("{workload}/build.ninja"), &shape.ninja())?;
    let folder = ground.folder.join(workload);
    let daemon = ground.daemon(&["--workers", "1", "--parallel", "2"])?;
    let mut subjects: Vec<Subject<'_>> = vec![
        (FLOOR, Box::new(|| floors.two_processes(&floors.tiny_rust, count, parallel))),
        ("floor: two processes, C", Box::new(|| floors.two_processes(&floors.tiny_c, count, parallel))),
        ("floor: one process", Box::new(|| floors.one_process(count, parallel))),
        (RUN, Box::new(|| Ok(per_task(ms(ground.time(run(ground, &file)?)?))))),
        (DAEMON, Box::new(|| Ok(per_task(ms(submit_and_wait(ground, &file)?))))),
    ];
    if let Some(musl) = &floors.tiny_musl {
        subjects.push(("floor: two processes, C musl", Box::new(|| floors.two_processes(musl, count, parallel))));
    }
    for (name, program) in [(MAKE, "make"), (NINJA, "ninja")] {
        let whole = {
            let folder = folder.clone();
            move || Ok(per_task(ms(ground.time(peer(ground, program, &folder))?)))
        };
        if Cmd::new(program).arg("--version").answers() {
            subjects.push((name, Box::new(whole)));
        }
    }
    if hyperqueue::is_there() {
        let file = ground.folder.join(&file);
        subjects.push((hyperqueue::NAME, Box::new(move || Ok(per_task(hyperqueue::run(ground, &file, parallel)?)))));
    }
    let samples = sample::in_turns(bench.options.runs, subjects)?;
    drop(daemon);
    Ok(rows(workload, &samples, budget))
}

fn rows(workload: &str, samples: &BTreeMap<&str, Sample>, budget: &Budget) -> Vec<Row> {
    let mut rows = Vec::new();
    for (subject, sample) in samples {
        let mut row = Row::new(workload, subject, *sample, "ms/task");
        if [RUN, DAEMON].contains(subject) {
            row = row.check(Check::at_most("floor", sample.median / samples[FLOOR].median, budget.floor));
            if let (Some(limit), Some(make)) = (budget.make, samples.get(MAKE)) {
                row = row.check(Check::at_most("make", sample.median / make.median, limit));
            }
        }
        rows.push(row);
    }
    rows
}

fn run(ground: &Ground, file: &str) -> Result<Cmd> {
    Ok(ground.qmanager()?.args(["run", "--parallel", "2", "--no-progress", file]))
}

fn submit_and_wait(ground: &Ground, file: &str) -> Result<std::time::Duration> {
    let (_, took) = sample::timed(|| {
        let id = ground.read(ground.qmanager()?.args(["submit", file]))?;
        ground.time(ground.qmanager()?.args(["wait", id.trim()]))
    })?;
    Ok(took)
}

fn peer(ground: &Ground, program: &str, folder: &Path) -> Cmd {
    let cmd = ground.cmd(program).dir(folder).arg("-j2");
    if program == "make" { cmd.arg("-s") } else { cmd.arg("--quiet") }
}

fn count_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
