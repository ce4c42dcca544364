//! `cargo xtask soak`: builds the programs and the proof, and makes runs (see `docs/reliability.md`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};

use crate::{command::Cmd, suite::Outcome, workspace::Workspace};

/// The runs of `cargo xtask test`.
const TEST: &[&[&str]] = &[
    &["soak", "--seconds", "60", "--seed", "1"],
    &["soak", "--seconds", "60", "--seed", "1", "--db", "postgres", "--managers", "3", "--workers", "2"],
    &["matrix", "--cells", "20", "--seed", "1"],
    &["calls"],
];
/// Where Debian keeps the programs of a PostgreSQL server.
const SERVERS: &str = "/usr/lib/postgresql";
/// The runs of `cargo xtask soak --full`.
const FULL: &[&[&str]] = &[
    &["matrix"],
    &["calls"],
    &["soak", "--minutes", "30"],
    &["soak", "--minutes", "30", "--db", "postgres", "--managers", "4"],
];

/// Runs `proof` with what is asked for; `--release` among it builds the programs as they are shipped.
pub(crate) fn soak(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let release = has("--release");
    if has("--full") {
        let failed = runs(workspace, FULL, release)?;
        failed.iter().for_each(|run| eprintln!("failed: {run}"));
        return Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let verb = match args.first().map(String::as_str) {
        Some("check") => None,
        _ if has("--matrix") => Some("matrix"),
        _ if has("--calls") => Some("calls"),
        _ => Some("soak"),
    };
    let points = verb.is_some_and(|verb| verb != "soak") || has("--store-faults");
    let proof = build(workspace, release, points)?;
    let own = ["--release", "--matrix", "--calls"];
    let rest = args.iter().filter(|arg| !own.contains(&arg.as_str()));
    Err(Cmd::new(proof).args(verb).args(rest).exec())
}

/// The step of `cargo xtask test`.
pub(crate) fn test(workspace: &Workspace) -> Result<Outcome> {
    let has_server = Path::new(SERVERS).is_dir();
    let wanted: Vec<&[&str]> = TEST.iter().copied().filter(|run| has_server || !run.contains(&"postgres")).collect();
    let failed = runs(workspace, &wanted, false)?;
    let mut outcome = Outcome::of(failed.iter().map(|run| format!("`proof {run}` did not hold: see above")).collect());
    outcome.passed = wanted.len() - failed.len();
    if !has_server {
        outcome.skipped.push(format!("no PostgreSQL server in {SERVERS}: install Debian's `postgresql`"));
    }
    Ok(outcome)
}

/// Answers those that failed.
fn runs(workspace: &Workspace, runs: &[&[&str]], release: bool) -> Result<Vec<String>> {
    let (plain, points) = (build(workspace, release, false)?, build(workspace, release, true)?);
    let mut failed = Vec::new();
    for run in runs {
        println!("--> proof {}", run.join(" "));
        let proof = if run.first() == Some(&"soak") { &plain } else { &points };
        if !Cmd::new(proof).args(*run).ok()? {
            failed.push(run.join(" "));
        }
    }
    Ok(failed)
}

/// Builds, and answers `proof` in a folder with the programs under test: a later build replaces those of the target
/// folder. `points`: with failpoints.
fn build(workspace: &Workspace, release: bool, points: bool) -> Result<PathBuf> {
    let features: &[&str] = if points { &["--bins", "--features", "failpoints"] } else { &["--bins"] };
    let mut programs = workspace.build("bins", features, release)?;
    programs.extend(workspace.build("proof", &["--bins"], release)?);
    let proof = programs.get("proof").context("the build made no `proof`")?;
    let folder = proof.parent().context("it is in no folder")?.join(if points { "soak-points" } else { "soak" });
    fs::create_dir_all(&folder)?;
    for (name, path) in &programs {
        replace(path, &folder.join(name))?;
    }
    Ok(folder.join("proof"))
}

/// A program that runs is not written to.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new).and_then(|_| fs::rename(&new, to)).with_context(|| format!("cannot copy {}", from.display()))
}
