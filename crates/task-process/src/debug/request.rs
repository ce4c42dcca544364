//! Asking `qmanager` for the request that a worker would send.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde::{Deserialize, Serialize};

use super::args::Args;
use crate::TaskRequest;

/// What `qmanager request` answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this form.
    pub v: u16,
    /// As the worker would send it, without slots and without a reply address.
    pub request: TaskRequest,
    /// Whether the job files are a job's, so that they are to be copied unless `--in-place`.
    pub copy: bool,
}

pub(super) struct Asked {
    pub(super) request: TaskRequest,
    pub(super) copy: bool,
}

pub(super) fn ask(args: &Args) -> Result<Asked, String> {
    let program = beside()?;
    #[expect(clippy::disallowed_methods, reason = "the debugging mode asks the program beside it")]
    let mut command = Command::new(&program);
    command.arg("request").args(&args.for_qmanager).stderr(Stdio::inherit());
    let output = command
        .stdin(Stdio::inherit())
        .output()
        .map_err(|e| format!("error: cannot start {}: {e}", program.display()))?;
    if !output.status.success() {
        // It has said why.
        return Err(String::new());
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("error: {} is of another version: {e}", program.display()))?;
    Ok(Asked { request: answer.request, copy: answer.copy })
}

/// `qmanager` in the folder of this program, else on the PATH.
fn beside() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|e| format!("error: cannot find this program: {e}"))?;
    let beside = own.with_file_name("qmanager");
    if beside.exists() {
        return Ok(beside);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("qmanager")).find(|program| program.exists());
    found.ok_or_else(|| {
        format!(
            "error: there is no qmanager in {} or on the PATH; it makes the request",
            own.parent().unwrap_or(&own).display()
        )
    })
}
