//! Asking `qmanager` for the request that a worker would send.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{self, Write},
    os::{fd::AsRawFd, unix::process::CommandExt},
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
    if let Some(path) = &args.answer {
        let text = std::fs::read(path).map_err(|e| format!("error: cannot read {}: {e}", path.display()))?;
        let answer: Answer = serde_json::from_slice(&text).map_err(|e| format!("error: {}: {e}", path.display()))?;
        return Ok(Asked { request: answer.request, copy: answer.copy });
    }
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

/// Becomes the program beside this one that has the executors with SDKs, and hands it the request as a file that has no
/// name: it holds secrets. Answers only if that cannot be.
pub(super) fn hand_over(asked: Asked, words: &[OsString]) -> String {
    let Ok(own) = env::current_exe() else { return "error: cannot find this program".into() };
    let program = own.with_file_name("task-executor-sdk");
    let kind = asked.request.executor;
    if own == program || !program.exists() {
        return format!("error: there is no {kind} executor here: {} is missing", program.display());
    }
    let answer = Answer { v: 1, request: asked.request, copy: asked.copy };
    let body = serde_json::to_vec(&answer).expect("BUG: a request has only texts and numbers");
    let file = rustix::fs::memfd_create("request", rustix::fs::MemfdFlags::empty()).map(File::from);
    let file = match file.map_err(io::Error::from).and_then(|mut file| file.write_all(&body).map(|()| file)) {
        Ok(file) => file,
        Err(error) => return format!("error: cannot pass the request on: {error}"),
    };
    #[expect(clippy::disallowed_methods, reason = "the debugging mode becomes the program that has the executor")]
    let mut command = Command::new(&program);
    command.arg("run").arg(format!("--answer=/proc/self/fd/{}", file.as_raw_fd())).args(words);
    format!("error: cannot start {}: {}", program.display(), command.exec())
}
