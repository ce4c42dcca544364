//! `cargo xtask gen`: the files of docs/ that are made from the code. The tests that compare them also write them.

use anyhow::{Result, ensure};

use crate::workspace::Workspace;

/// What is made, by which test of which crate, asked by which variable.
const MADE: [(&str, &str, &str, &str); 2] = [
    ("docs/cli-reference.md", "qmanager", "the_reference_is_that_of_the_docs", "UPDATE_DOCS"),
    ("docs/schema/", "workflow-model", "the_published_schemas_are_those_of_the_types", "UPDATE_SCHEMA"),
];

/// Writes the command line reference and the JSON Schemas.
pub(crate) fn generate(workspace: &Workspace) -> Result<()> {
    for (made, package, test, variable) in MADE {
        let args = ["test", "--quiet", "--package", package, "--lib", test];
        ensure!(workspace.cargo().args(args).env(variable, "1").ok()?, "{made} was not made");
        println!("{made}");
    }
    Ok(())
}
