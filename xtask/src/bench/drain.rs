//! Many one-task jobs through 4 workers: the rate, how long a claim takes meanwhile, and that each ran exactly once.

use std::fs;

use anyhow::{Context as _, Result};

use super::{
    Bench,
    sample::Sample,
    table::{Check, Row},
};

const LARGE: u32 = 100_000;

/// As many as asked for.
pub(crate) fn drain(bench: &Bench<'_>) -> Result<Vec<Row>> {
    drained(bench, bench.options.drain)
}

/// 100 000.
pub(crate) fn drain_large(bench: &Bench<'_>) -> Result<Vec<Row>> {
    drained(bench, LARGE)
}

/// Submitting, claiming beside the workers and comparing is done by an example program of `job-queue`.
fn drained(bench: &Bench<'_>, jobs: u32) -> Result<Vec<Row>> {
    let ground = bench.ground;
    let built = bench.workspace.build("job-queue", &["--example", "drain"], true)?;
    let program = built.get("drain").context("job-queue has no example `drain`")?;
    let witness = ground.folder.join("witness");
    if witness.exists() {
        fs::remove_file(&witness)?;
    }
    let daemon = ground.daemon(&["--workers", "4", "--parallel", "4"])?;
    let args = [ground.database(), witness];
    let text = ground.read(ground.cmd(program).arg(&args[0]).arg(jobs.to_string()).arg(&args[1]))?;
    drop(daemon);
    let figure = |name: &str| -> Result<Sample> {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}: {text}"))?;
        let number = line.split_whitespace().next().context("a number")?;
        Ok(Sample::of(&[number.parse::<f64>()?]))
    };
    let row = |name: &str, subject: &str, unit: &'static str| -> Result<Row> {
        Ok(Row::new("drain", &format!("{jobs} jobs, 4 workers: {subject}"), figure(name)?, unit))
    };
    let none = |name: &str| -> Result<Row> {
        let row = row(name, name, "jobs")?;
        Ok(row.check(Check::at_most("", figure(name)?.median, 0.0)))
    };
    Ok(vec![
        row("done", "done", "jobs/s")?,
        row("claim, median", "a claim meanwhile, median", "ms")?,
        row("claim, 99 %", "a claim meanwhile, 99 %", "ms")?,
        row("claim, longest", "a claim meanwhile, longest", "ms")?,
        none("lost")?,
        none("doubled")?,
    ])
}
