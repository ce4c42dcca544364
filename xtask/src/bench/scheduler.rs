//! W6: a million tasks with three million edges, in memory, by an example program of `dag-scheduler`, which measures
//! flat arrays and plain daggy beside itself; and from the text of a workflow, by another.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    Bench,
    sample::Sample,
    table::{Check, Row},
};

/// A line of what the example prints.
#[derive(Deserialize)]
struct Said {
    what: String,
    total_s: f64,
    peak_mib: f64,
}

/// Build and run to the end: seconds, and peak memory of the process meanwhile.
pub(crate) fn w6(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let built = bench.workspace.build("dag-scheduler", &["--example", "w6"], true)?;
    let program = built.get("w6").context("dag-scheduler has no example `w6`")?;
    let mut figures: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for _ in 0..bench.options.runs {
        for line in bench.ground.cmd(program).read()?.lines() {
            let said: Said = serde_json::from_str(line).with_context(|| format!("what w6 says: {line}"))?;
            let (seconds, peaks) = figures.entry(said.what).or_default();
            seconds.push(said.total_s);
            peaks.push(said.peak_mib);
        }
    }
    ensure!(figures.contains_key("scheduler"), "w6 says nothing of the scheduler");
    let mut rows = Vec::new();
    for (what, (seconds, peaks)) in &figures {
        let (time, peak) = (Sample::of(seconds), Sample::of(peaks));
        let mut both = [Row::new("W6", what, time, "s"), Row::new("W6", &format!("{what}, peak memory"), peak, "MiB")];
        if what == "scheduler" {
            let [first, second] = both;
            both = [
                first.check(Check::at_most("", time.median, 0.5)),
                second.check(Check::at_most("", peak.median, 250.0)),
            ];
        }
        rows.extend(both);
    }
    rows.extend(from_text(bench)?);
    Ok(rows)
}

/// JSON in memory to a workflow, a plan, and the last end. The text counts until it is loaded.
fn from_text(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let built = bench.workspace.build("dag-scheduler", &["--features", "workflow", "--example", "w6_text"], true)?;
    let program = built.get("w6_text").context("dag-scheduler has no example `w6_text`")?;
    let (mut seconds, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.runs {
        let text = bench.ground.cmd(program).read()?;
        let said: Said = serde_json::from_str(&text).with_context(|| format!("what w6_text says: {text}"))?;
        seconds.push(said.total_s);
        peaks.push(said.peak_mib);
    }
    let (time, peak) = (Sample::of(&seconds), Sample::of(&peaks));
    Ok(vec![
        Row::new("W6", "from JSON text", time, "s").check(Check::at_most("", time.median, 3.0)),
        Row::new("W6", "from JSON text, peak memory", peak, "MiB").check(Check::at_most("", peak.median, 500.0)),
    ])
}
