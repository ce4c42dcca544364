//! `cargo xtask bench`: W1 to W6 of docs/performance.md, beside the floors and the peers that are installed, in the
//! same run on the same machine. Ratios count; absolute times are this machine's.

mod docker;
mod drain;
mod floors;
mod ground;
mod hyperqueue;
mod machine;
mod queue;
mod record;
mod sample;
mod scheduler;
mod shapes;
mod standing;
mod table;
mod throughput;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use self::{floors::Floors, ground::Ground, table::Row};
use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask bench [--runs N] [--only NAME,..] [--idle SECONDS] [--drain JOBS] [--json FILE] [--record]

  --runs N        measurements of each subject (default 5); the first turn is never counted
  --only NAME,..  of: w1 w2 w3 w4 w5 w6 docker drain growth memory faults idle, and growth100k and drain100k
                  (minutes), which run only when named
  --idle SECONDS  how long the idle daemon is watched (default 15; the budget says 300)
  --drain JOBS    how many one-task jobs go through 4 workers (default 5000)
  --json FILE     figures and machine facts
  --record        write the table into docs/performance.md
";

/// What was asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) runs: usize,
    pub(crate) idle: u64,
    pub(crate) drain: u32,
    only: Vec<String>,
    json: Option<PathBuf>,
    record: bool,
}

/// All that a measurement needs.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    pub(crate) workspace: &'a Workspace,
    pub(crate) options: &'a Options,
    pub(crate) ground: &'a Ground,
    pub(crate) floors: &'a Floors,
}

#[derive(Serialize)]
struct Report<'a> {
    v: u32,
    machine: BTreeMap<&'static str, String>,
    rows: &'a [Row],
    notes: &'a [String],
}

/// Take minutes: only by their names.
const LARGE: [&str; 2] = ["growth100k", "drain100k"];

type Part = (&'static str, fn(&Bench<'_>) -> Result<Vec<Row>>);

const PARTS: &[Part] = &[
    ("w1", throughput::w1),
    ("w2", throughput::w2),
    ("w3", throughput::w3),
    ("w4", queue::w4),
    ("w5", queue::w5),
    ("w6", scheduler::w6),
    ("docker", docker::docker),
    ("growth", throughput::growth),
    (LARGE[0], throughput::growth_large),
    ("drain", drain::drain),
    (LARGE[1], drain::drain_large),
    ("memory", standing::memory),
    ("faults", standing::faults),
    ("idle", standing::idle),
];

/// Measures, prints, answers failure when a part could not be measured. A figure over its budget is shown, not an error.
pub(crate) fn bench(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse(args)?;
    let machine = machine::facts(workspace);
    eprintln!("building (release) ...");
    let ground = Ground::prepare(workspace)?;
    let floors = Floors::build(workspace, &ground.folder.join("floors"))?;
    let bench = Bench { workspace, options: &options, ground: &ground, floors: &floors };
    let (mut rows, mut notes) = (Vec::new(), Vec::new());
    for (name, part) in PARTS.iter().filter(|(name, _)| options.wants(name)) {
        eprintln!("measuring {name} ...");
        match part(&bench) {
            Ok(measured) => rows.extend(measured),
            Err(error) => notes.push(format!("{name} was not measured: {error:#}")),
        }
    }
    let table = table::markdown(&rows);
    println!("{table}");
    notes.iter().for_each(|note| println!("{note}"));
    if let Some(file) = &options.json {
        let report = Report { v: 1, machine: machine.clone(), rows: &rows, notes: &notes };
        fs::write(file, serde_json::to_string_pretty(&report)? + "\n").with_context(|| file.display().to_string())?;
    }
    if options.record {
        record::record(workspace, &machine, &table, &notes)?;
    }
    Ok(ExitCode::from(u8::from(!notes.is_empty())))
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self { runs: 5, idle: 15, drain: 5_000, only: Vec::new(), json: None, record: false };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("`{arg}` needs a value\n\n{HELP}"));
            match arg.as_str() {
                "--runs" => options.runs = value()?.parse().context("--runs is a number")?,
                "--idle" => options.idle = value()?.parse().context("--idle is a number of seconds")?,
                "--drain" => options.drain = value()?.parse().context("--drain is a number of jobs")?,
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--json" => options.json = Some(value()?.into()),
                "--record" => options.record = true,
                other => bail!("unknown argument `{other}`\n\n{HELP}"),
            }
        }
        if let Some(unknown) = options.only.iter().find(|only| !PARTS.iter().any(|(name, _)| name == only)) {
            bail!("there is no part `{unknown}`\n\n{HELP}");
        }
        anyhow::ensure!(options.runs > 0 && options.drain > 0, "--runs and --drain are at least 1");
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        (self.only.is_empty() && !LARGE.contains(&name)) || self.only.iter().any(|only| only == name)
    }
}
