//! `cargo xtask run`: the shortest way from a checkout to a running workflow.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::{command::Cmd, workspace::Workspace};

/// Builds the programs (dev profile unless `--release` comes first), then becomes `qmanager run`.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let (release, args) = match args {
        [first, rest @ ..] if first == "--release" => (true, rest),
        _ => (false, args),
    };
    let usage = "which workflow? e.g. `cargo xtask run examples/wordcount/workflow.yaml`";
    anyhow::ensure!(!args.is_empty(), usage);
    let programs = workspace.build("bins", &["--bins"], release)?;
    let qmanager = programs.get("qmanager").context("the build made no `qmanager`")?;
    Err(Cmd::new(qmanager).arg("run").args(args).exec())
}
