//! W6: a million tasks with three million edges, in memory, by an example program of `dag-scheduler`.

use anyhow::{Context as _, Result};

use super::{
    Bench,
    sample::{Sample, timed},
    table::{Check, Row},
};

/// Build and run to the end: seconds and peak memory of the whole process.
pub(crate) fn w6(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let built = bench.workspace.build("dag-scheduler", &["--example", "w6"], true)?;
    let program = built.get("w6").context("dag-scheduler has no example `w6`")?;
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        let (text, took) = timed(|| bench.ground.cmd(program).read())?;
        let line = text.lines().rev().find(|line| line.starts_with('{'));
        let said: serde_json::Value = line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        seconds.push(said["seconds"].as_f64().unwrap_or(took.as_secs_f64()));
        peaks.extend(said["peak_mib"].as_f64());
    }
    let time = Sample::of(&seconds);
    let mut rows =
        vec![Row::new("W6", "10^6 tasks, 3x10^6 edges", time, "s").check(Check::at_most("", time.median, 0.5))];
    if !peaks.is_empty() {
        let peak = Sample::of(&peaks);
        rows.push(Row::new("W6", "peak memory", peak, "MiB").check(Check::at_most("", peak.median, 250.0)));
    }
    Ok(rows)
}
