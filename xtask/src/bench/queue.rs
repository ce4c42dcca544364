//! W4 and W5: how fast jobs go in, and how fast a small one comes out.

use anyhow::{Context as _, Result};

use super::{
    Bench,
    sample::{self, Sample, ms, timed},
    shapes::Shape,
    table::{Check, Row},
};

/// Submits one by one, each a process.
const CLI_SUBMITS: u32 = 200;
/// One-task jobs for the rate of finished ones.
const JOBS: u32 = 500;

/// Submits a second, jobs done a second.
pub(crate) fn w4(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ground = bench.ground;
    ground.write("one/workflow.json", &Shape::independent(1).workflow())?;
    let mut rows = library(bench)?;
    let mut rates = Vec::new();
    for _ in 0..bench.options.runs {
        let (_, took) = timed(|| {
            for _ in 0..CLI_SUBMITS {
                ground.time(ground.qmanager()?.args(["submit", "--qname", "nobody", "one/workflow.json"]))?;
            }
            Ok(())
        })?;
        rates.push(f64::from(CLI_SUBMITS) / took.as_secs_f64());
    }
    let row = Row::new("W4 submit", "qmanager submit, a process each", Sample::of(&rates), "/s");
    rows.push(row.check(Check::at_least("", Sample::of(&rates).median, 600.0)));
    rows.extend(done(bench)?);
    Ok(rows)
}

/// `submit --wait` and `run` of one task.
pub(crate) fn w5(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ground = bench.ground;
    let file = "one/workflow.json";
    ground.write(file, &Shape::independent(1).workflow())?;
    let daemon = ground.daemon(&["--workers", "1", "--parallel", "2"])?;
    let runs = bench.options.runs * 10;
    let samples = sample::in_turns(
        runs,
        vec![
            ("program", Box::new(|| Ok(ms(ground.time(ground.qmanager()?.arg("--version"))?)))),
            ("warm", Box::new(|| Ok(ms(ground.time(ground.qmanager()?.args(["submit", "--wait", file]))?)))),
            ("cold", Box::new(|| Ok(ms(ground.time(ground.qmanager()?.args(["run", "--no-progress", file]))?)))),
            ("floor", Box::new(|| bench.floors.two_processes(&bench.floors.tiny_rust, 1, 1))),
        ],
    )?;
    drop(daemon);
    let net = samples["warm"].scaled(|total| total - samples["program"].median);
    Ok(vec![
        Row::new("W5", "floor: two processes, Rust", samples["floor"], "ms"),
        Row::new("W5", "qmanager --version", samples["program"], "ms"),
        Row::new("W5 warm", "submit --wait, whole command", samples["warm"], "ms"),
        Row::new("W5 warm", "submit --wait less --version", net, "ms").check(Check::at_most("", net.median, 2.5)),
        Row::new("W5 cold", "qmanager run, whole command", samples["cold"], "ms").check(Check::at_most(
            "",
            samples["cold"].median,
            8.0,
        )),
    ])
}

/// The library's own figures, from an example program of `job-queue`: lines `name value`.
fn library(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let built = bench.workspace.build("job-queue", &["--example", "w4"], true)?;
    let program = built.get("w4").context("job-queue has no example `w4`")?;
    let mut values: std::collections::BTreeMap<String, Vec<f64>> = std::collections::BTreeMap::new();
    for turn in 0..bench.options.runs {
        let database = bench.ground.folder.join(format!("w4-{turn}.db"));
        let text = bench.ground.cmd(program).arg(database).read()?;
        for line in text.lines() {
            if let Some((name, value)) = line.rsplit_once(' ') {
                values.entry(name.to_owned()).or_default().push(value.parse().context("a number")?);
            }
        }
    }
    let budget = |name: &str| match name {
        "submit" => Some(4500.0),
        "bulk" => Some(50_000.0),
        _ => None,
    };
    let row = |(name, values): (&String, &Vec<f64>)| {
        let sample = Sample::of(values);
        let row = Row::new("W4 submit", &format!("library: {name}"), sample, "/s");
        match budget(name) {
            Some(limit) => row.check(Check::at_least("", sample.median, limit)),
            None => row,
        }
    };
    Ok(values.iter().map(row).collect())
}

/// From the first submit to the last job finished, submitted by two clients at a time.
fn done(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ground = bench.ground;
    let mut rates = Vec::new();
    let daemon = ground.daemon(&["--workers", "2", "--parallel", "2"])?;
    for _ in 0..bench.options.runs {
        let clients = "n=$1; qmanager=$2; i=0; last=
            while [ $i -lt $n ]; do last=$(\"$qmanager\" submit one/workflow.json); i=$((i+1)); done; echo $last";
        let program = ground.program("qmanager")?;
        let (_, took) = timed(|| {
            let submit = ground.cmd("/bin/sh").args(["-ec", clients, "sh", &JOBS.to_string()]).arg(program);
            let last = submit.read()?;
            ground.time(ground.qmanager()?.args(["wait", last.trim()]))
        })?;
        rates.push(f64::from(JOBS) / took.as_secs_f64());
    }
    drop(daemon);
    let sample = Sample::of(&rates);
    Ok(vec![Row::new("W4 done", "500 jobs, a process for each submit", sample, "jobs/s")])
}
