//! What a program without SDKs asks one that has them, beside the tasks: one question on standard input, one answer on
//! standard output, as JSON.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    pin::Pin,
    process::{Command, ExitCode, Stdio},
};

use async_trait::async_trait;
use executor::{Condition, Executor, Handle, Io, Outcome, Shutdown, TaskSpec};
use serde::{Deserialize, Serialize};
use workflow_model::ExecutorKind;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// End a task whose task executor is gone.
    Stop {
        /// What finds it.
        handle: Handle,
        /// How.
        how: Shutdown,
        /// Its job files.
        job_files: PathBuf,
    },
    /// Look at an engine.
    Doctor {
        /// Its address.
        host: String,
        /// Whether tasks are to have an init.
        init: bool,
    },
    /// What is there of a host's.
    List {
        /// The engine's address.
        host: String,
        /// The host.
        owner: String,
    },
    /// Remove these.
    Remove {
        /// The engine's address.
        host: String,
        /// Their names.
        names: Vec<String>,
    },
}

/// An answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `Stop` and `Remove`.
    Done(Result<(), String>),
    /// To `Doctor`.
    Findings(Vec<Finding>),
    /// To `List`: names and labels.
    Listed(Result<Vec<Listed>, String>),
}

/// A name and its labels.
pub type Listed = (String, BTreeMap<String, String>);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether tasks can run all the same.
    pub usable: bool,
    /// What it is.
    pub what: String,
    /// What to do about it; empty = nothing.
    pub help: String,
}

/// Answers the question on standard input; those that any executor can answer by one of `executors`.
#[must_use]
pub fn serve(executors: &[&dyn Executor], other: impl FnOnce(Question) -> Answer) -> ExitCode {
    let mut text = String::new();
    if io::stdin().read_to_string(&mut text).is_err() {
        return ExitCode::FAILURE;
    }
    let Ok(question) = serde_json::from_str(&text) else { return ExitCode::FAILURE };
    let answer = match question {
        Question::Stop { handle, how, job_files } => match executors.iter().find(|e| e.kind() == kind(&handle)) {
            Some(executor) => Answer::Done(executor::drive(*executor, executor.stop(&handle, how, &job_files))),
            None => Answer::Done(Err(format!("this program has no {} executor", kind(&handle)))),
        },
        question => other(question),
    };
    let body = serde_json::to_vec(&answer).expect("BUG: an answer has only texts");
    match io::stdout().write_all(&body) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Asks `program`; blocks until it answers.
///
/// # Errors
/// It cannot be started, or gives no answer that is understood.
pub fn ask(program: &Path, question: &Question) -> Result<Answer, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", program.display());
    #[expect(clippy::disallowed_methods, reason = "a program of ours is asked")]
    let mut command = Command::new(program);
    command.arg("aside").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let body = serde_json::to_vec(question).expect("BUG: a question has only texts and numbers");
    let mut stdin = child.stdin.take().expect("BUG: piped");
    // One that does not read says so by its exit.
    stdin.write_all(&body).ok();
    drop(stdin);
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))
}

fn kind(handle: &Handle) -> ExecutorKind {
    match handle {
        Handle::Shell(_) => ExecutorKind::Shell,
        Handle::Docker(_) => ExecutorKind::Docker,
    }
}

/// An executor of another program: it can end a task from outside, and nothing else. Its futures block.
#[derive(Debug)]
pub struct Elsewhere {
    kind: ExecutorKind,
    program: PathBuf,
}

impl Elsewhere {
    /// The executor of this kind in that program.
    #[must_use]
    pub fn new(kind: ExecutorKind, program: PathBuf) -> Self {
        Self { kind, program }
    }
}

const ELSEWHERE: &str = "BUG: this executor is in another program";

#[async_trait]
impl Executor for Elsewhere {
    fn kind(&self) -> ExecutorKind {
        self.kind
    }

    fn check(&self, _spec: &TaskSpec) -> Result<(), Vec<String>> {
        Ok(())
    }

    async fn start(&self, _spec: &TaskSpec) -> Result<Handle, Outcome> {
        Err(Outcome::new(executor::Ending::Lost, ELSEWHERE))
    }

    async fn attach(&self, _spec: &TaskSpec, _handle: &Handle) -> Result<(), Outcome> {
        Err(Outcome::new(executor::Ending::Lost, ELSEWHERE))
    }

    async fn wait(&self, _spec: &TaskSpec, _handle: &Handle, _io: Io<'_>) -> Outcome {
        Outcome::new(executor::Ending::Lost, ELSEWHERE)
    }

    async fn describe(&self, _handle: &Handle) -> Condition {
        // Nobody has looked.
        Condition::Running
    }

    async fn stop(&self, handle: &Handle, how: Shutdown, job_files: &Path) -> Result<(), String> {
        let question = Question::Stop { handle: handle.clone(), how, job_files: job_files.to_path_buf() };
        match ask(&self.program, &question)? {
            Answer::Done(done) => done,
            other => Err(format!("not an answer to stop: {other:?}")),
        }
    }

    fn block_on<'a>(&self, future: Pin<Box<dyn Future<Output = ()> + 'a>>) {
        executor::block_on(future);
    }
}
