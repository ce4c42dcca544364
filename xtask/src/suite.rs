//! `cargo xtask test`: everything that must hold, one step after the other, with one summary.
//!
//! A step that cannot be done here (a tool is missing) is a skip: shown, counted, and with `CI=true` a failure.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{command::Cmd, layers, soak, testrun, tidy, workspace::Workspace};

/// How a step ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Checks that held.
    pub(crate) passed: usize,
    /// What did not hold.
    pub(crate) failed: Vec<String>,
    /// What could not be checked here, and why.
    pub(crate) skipped: Vec<String>,
}

type Step = (&'static str, fn(&Workspace) -> Result<Outcome>);

const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("layers", |workspace| Ok(Outcome::of(layers::check(workspace)?))),
    ("tidy", |workspace| Ok(Outcome::of(tidy::check(workspace)?))),
    ("deny", deny),
    ("clippy", clippy),
    ("doc", doc),
    ("tests", testrun::tests),
    ("doc tests", testrun::doc_tests),
    ("soak", soak::test),
];

impl Outcome {
    pub(crate) fn of(problems: Vec<String>) -> Self {
        Self { passed: usize::from(problems.is_empty()), failed: problems, skipped: Vec::new() }
    }

    fn skip(why: &str) -> Self {
        Self { passed: 0, failed: Vec::new(), skipped: vec![why.into()] }
    }

    fn check(ok: bool, what: &str) -> Self {
        Self::of(if ok { Vec::new() } else { vec![what.into()] })
    }
}

/// Whether a continuous integration runs us.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Runs all steps, even after one has failed; `strict` = a skip is a failure.
pub(crate) fn test(workspace: &Workspace, strict: bool) -> Result<ExitCode> {
    let mut rows = Vec::new();
    for (name, step) in STEPS {
        println!("==> {name}");
        let start = now();
        let outcome = step(workspace).unwrap_or_else(|error| Outcome::of(vec![format!("{error:#}")]));
        outcome.failed.iter().for_each(|failure| eprintln!("{failure}"));
        rows.push((*name, outcome, start.elapsed()));
    }
    Ok(summary(&rows, strict))
}

/// `cargo xtask deny`.
pub(crate) fn deny_only(workspace: &Workspace) -> Result<ExitCode> {
    let rows = [("deny", deny(workspace)?, Duration::ZERO)];
    Ok(summary(&rows, in_ci()))
}

fn summary(rows: &[(&str, Outcome, Duration)], strict: bool) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!("\n{:<10} {:>7} {:>7} {:>8} {:>8}", "step", "passed", "failed", "skipped", "seconds");
    for (name, outcome, took) in rows {
        let (p, f, s) = (outcome.passed, outcome.failed.len(), outcome.skipped.len());
        println!("{name:<10} {p:>7} {f:>7} {s:>8} {:>8.1}", took.as_secs_f64());
        (passed, failed, skipped) = (passed + p, failed + f, skipped + s);
    }
    for (name, outcome, _) in rows {
        outcome.skipped.iter().for_each(|why| println!("skipped: {name}: {why}"));
        outcome.failed.iter().for_each(|what| println!("failed: {name}: {}", what.lines().next().unwrap_or_default()));
    }
    if strict && skipped > 0 {
        println!("with CI=true nothing may be skipped");
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0 || strict && skipped > 0))
}

fn fmt(workspace: &Workspace) -> Result<Outcome> {
    let ok = workspace.cargo().args(["fmt", "--all", "--check"]).ok()?;
    Ok(Outcome::check(ok, "the format differs: `cargo fmt --all`"))
}

fn clippy(workspace: &Workspace) -> Result<Outcome> {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--quiet", "--", "-D", "warnings"];
    Ok(Outcome::check(workspace.cargo().args(args).ok()?, "clippy has something to say"))
}

fn doc(workspace: &Workspace) -> Result<Outcome> {
    let args = ["doc", "--workspace", "--no-deps", "--all-features", "--quiet"];
    let ok = workspace.cargo().args(args).env("RUSTDOCFLAGS", "-D warnings").ok()?;
    Ok(Outcome::check(ok, "the documentation of the crates does not build"))
}

fn deny(workspace: &Workspace) -> Result<Outcome> {
    let Some(tool) = deny_tool() else {
        return Ok(Outcome::skip("cargo-deny is not installed (`.ci/run` shows how)"));
    };
    let args = ["--offline", "--log-level", "error", "check", "bans", "licenses", "sources"];
    let ok = Cmd::new(tool).dir(&workspace.root).args(args).ok()?;
    Ok(Outcome::check(ok, "cargo-deny refuses (deny.toml)"))
}

/// The tool from the folder that `.ci/run` installs into, else from the path.
fn deny_tool() -> Option<PathBuf> {
    let ours = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/qmanager/tools/bin/cargo-deny"));
    let found = ours.into_iter().chain([PathBuf::from("cargo-deny")]);
    found.into_iter().find(|tool| Cmd::new(tool).arg("--version").answers())
}

#[expect(clippy::disallowed_methods, reason = "steps are timed for the summary")]
fn now() -> Instant {
    Instant::now()
}
