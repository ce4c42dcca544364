//! W4 and W5: how fast jobs go in, and how fast a small one comes out.

use std::collections::BTreeMap;

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
    let one = submits(bench, 1)?;
    let row = Row::new("W4 submit", "qmanager submit, a process each", one, "/s");
    rows.push(row.check(Check::at_least("", one.median, 600.0)));
    rows.push(Row::new("W4 submit", "qmanager submit, a process each, two at once", submits(bench, 2)?, "/s"));
    rows.extend(done(bench)?);
    Ok(rows)
}

/// Submits a second of so many clients, each of which starts one process after the other.
fn submits(bench: &Bench<'_>, clients: u32) -> Result<Sample> {
    let ground = bench.ground;
    let client = || -> Result<()> {
        for _ in 0..CLI_SUBMITS {
            ground.time(ground.qmanager()?.args(["submit", "--qname", "nobody", "one/workflow.json"]))?;
        }
        Ok(())
    };
    let mut rates = Vec::new();
    for _ in 0..bench.options.runs {
        let (_, took) = timed(|| {
            std::thread::scope(|scope| {
                let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
                clients.into_iter().try_for_each(|client| client.join().expect("BUG: a client panicked"))
            })
        })?;
        rates.push(f64::from(clients * CLI_SUBMITS) / took.as_secs_f64());
    }
    Ok(Sample::of(&rates))
}

/// `submit --wait` with a daemon, `run` of one task with nothing running.
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
            ("floor", Box::new(|| bench.floors.two_processes(&bench.floors.tiny_rust, 1, 1))),
        ],
    )?;
    drop(daemon);
    let run = || Ok(ms(ground.time(ground.qmanager()?.args(["run", "--no-progress", file]))?));
    let cold = sample::in_turns(runs, vec![("cold", Box::new(run))])?["cold"];
    let net = samples["warm"].scaled(|total| total - samples["program"].median);
    Ok(vec![
        Row::new("W5", "floor: two processes, Rust", samples["floor"], "ms"),
        Row::new("W5", "qmanager --version", samples["program"], "ms"),
        Row::new("W5 warm", "submit --wait, whole command", samples["warm"], "ms"),
        Row::new("W5 warm", "submit --wait less --version", net, "ms").check(Check::at_most("", net.median, 2.5)),
        Row::new("W5 cold", "qmanager run, whole command", cold, "ms").check(Check::at_most("", cold.median, 8.0)),
    ])
}

/// The library's own figures, from an example program of `job-queue` that prints lines `what  number /s`.
fn library(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let built = bench.workspace.build("job-queue", &["--example", "submit_rate"], true)?;
    let program = built.get("submit_rate").context("job-queue has no example `submit_rate`")?;
    let mut rates: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..bench.options.runs {
        let text = bench.ground.cmd(program).arg(&bench.ground.folder).read()?;
        for (name, rate) in text.lines().filter_map(rate) {
            rates.entry(name.to_owned()).or_default().push(rate);
        }
    }
    let row = |(name, rates): (&String, &Vec<f64>)| {
        let sample = Sample::of(rates);
        let limit = if name.contains("one by one") { 4500.0 } else { 50_000.0 };
        let row = Row::new("W4 submit", &format!("library: {name}"), sample, "/s");
        row.check(Check::at_least("", sample.median, limit))
    };
    Ok(rates.iter().map(row).collect())
}

fn rate(line: &str) -> Option<(&str, f64)> {
    let (name, number) = line.trim().strip_suffix("/s")?.trim().rsplit_once(' ')?;
    Some((name.trim(), number.parse().ok()?))
}

/// One-task jobs that are ended a second: together with their submits, and of a queue that is full already.
fn done(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let ground = bench.ground;
    let (mut whole, mut drained) = (Vec::new(), Vec::new());
    let daemon = ground.daemon(&["--workers", "2", "--parallel", "2"])?;
    for _ in 0..bench.options.runs {
        whole.push(f64::from(JOBS) / timed(|| wait(bench, &submit_all(bench)?))?.1.as_secs_f64());
        ground.time(ground.qmanager()?.args(["queue", "pause"]))?;
        let last = submit_all(bench)?;
        let resume_and_wait = || {
            ground.time(ground.qmanager()?.args(["queue", "resume"]))?;
            wait(bench, &last)
        };
        drained.push(f64::from(JOBS) / timed(resume_and_wait)?.1.as_secs_f64());
    }
    drop(daemon);
    let drained = Sample::of(&drained);
    Ok(vec![
        Row::new("W4 done", "500 jobs, with a process for each submit", Sample::of(&whole), "jobs/s"),
        Row::new("W4 done", "500 jobs that wait, from resume to the last end", drained, "jobs/s")
            .check(Check::at_least("", drained.median, 1100.0)),
    ])
}

/// Submits all jobs, one process after the other; answers the last one's id.
fn submit_all(bench: &Bench<'_>) -> Result<String> {
    let mut last = String::new();
    for _ in 0..JOBS {
        last = bench.ground.read(bench.ground.qmanager()?.args(["submit", "one/workflow.json"]))?;
    }
    Ok(last.trim().to_owned())
}

/// Waits for the last of them; the oldest come first.
fn wait(bench: &Bench<'_>, last: &str) -> Result<()> {
    bench.ground.time(bench.ground.qmanager()?.args(["wait", last])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_what_the_example_prints() {
        assert_eq!(rate("submit, one by one            5600 /s"), Some(("submit, one by one", 5600.0)));
        assert_eq!(rate("open, new file                 120 us"), None);
    }
}
