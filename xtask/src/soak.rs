//! `cargo xtask soak`: builds the programs and the proof, and makes a run (see `docs/reliability.md`).

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{command::Cmd, suite::Outcome, workspace::Workspace};

/// How long the run of `cargo xtask test` lasts, and with which seed.
const TEST: &[&str] = &["--seconds", "60", "--seed", "1"];

/// Becomes `proof soak ARG..`; `--release` among them builds the programs as they are shipped, `check DIR` judges the
/// evidence of a run again.
pub(crate) fn soak(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let release = args.iter().any(|arg| arg == "--release");
    let proof = build(workspace, release)?;
    let args: Vec<&String> = args.iter().filter(|arg| *arg != "--release").collect();
    let verb = if args.first().is_some_and(|arg| *arg == "check") { None } else { Some("soak") };
    Err(Cmd::new(proof).args(verb).args(args).exec())
}

/// The step of `cargo xtask test`.
pub(crate) fn test(workspace: &Workspace) -> Result<Outcome> {
    let proof = build(workspace, false)?;
    let held = Cmd::new(proof).arg("soak").args(TEST).ok()?;
    Ok(Outcome::of(if held { Vec::new() } else { vec!["an invariant did not hold: see above".into()] }))
}

fn build(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    workspace.build("bins", &["--bins"], release)?;
    let built = workspace.build("proof", &["--bins"], release)?;
    built.get("proof").cloned().context("the build made no `proof`")
}
