//! `cargo xtask gen`: the files of docs/ that are made by the programs. Tests compare them.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{command::Cmd, workspace::Workspace};

/// Writes the command line reference and the JSON Schema of workflow files.
pub(crate) fn generate(workspace: &Workspace) -> Result<()> {
    // The reference is made from the library's own structs: the test that compares it also writes it.
    let args = ["test", "--quiet", "--package", "qmanager", "--lib", "the_reference_is_that_of_the_docs"];
    ensure!(workspace.cargo().args(args).env("UPDATE_DOCS", "1").ok()?, "docs/cli-reference.md was not made");
    let programs = workspace.build("bins", &["--bins"], false)?;
    let qmanager = programs.get("qmanager").context("the build made no `qmanager`")?;
    let schema = Cmd::new(qmanager).arg("schema").read()?;
    let path = workspace.root.join("docs/workflow.schema.json");
    fs::write(&path, schema).with_context(|| format!("cannot write {}", path.display()))?;
    println!("docs/cli-reference.md, docs/workflow.schema.json");
    Ok(())
}
