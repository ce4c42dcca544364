//! The `task-executor-sdk` program: what `task-executor` is, with the executors that need an SDK. A program of its own,
//! so that the small one stays small. It also answers what its siblings, which have no SDK, want to know of those worlds.

use std::{ffi::OsStr, io, process::ExitCode};

use executor_docker::DockerExecutor;
use task_process::aside;

const EXPLANATION: &str =
    "task-executor-sdk is task-executor with the executors that need an SDK (docker). It is started
by qworker; by hand, task-executor starts it where it is needed:
  task-executor run FILE --task NAME --executor docker
";

fn main() -> ExitCode {
    let docker = DockerExecutor::new();
    match std::env::args_os().nth(1).as_deref().map(OsStr::as_encoded_bytes) {
        None => serve(&docker),
        Some(b"run") => task_process::debug::run(&[&docker], std::env::args_os().skip(2)),
        Some(b"aside") => aside::serve(&[&docker], |question| executor::drive(&docker, answer(question))),
        Some(b"--version" | b"-V") => {
            say(io::stdout(), concat!("task-executor-sdk ", env!("CARGO_PKG_VERSION"), "\n"), 0)
        }
        Some(b"--help" | b"-h") => say(io::stdout(), EXPLANATION, 0),
        Some(_) => say(io::stderr(), EXPLANATION, task_process::exit::EXPLAINED),
    }
}

fn serve(docker: &DockerExecutor) -> ExitCode {
    executor::inherited::close_descriptors();
    task_process::run(&[docker], || {}).unwrap_or_else(|| say(io::stderr(), EXPLANATION, task_process::exit::EXPLAINED))
}

/// What only docker can be asked.
async fn answer(question: aside::Question) -> aside::Answer {
    match question {
        aside::Question::Doctor { host, init } => {
            let found = executor_docker::doctor(&host, init).await;
            let findings = found.into_iter().map(|f| aside::Finding { usable: f.usable, what: f.what, help: f.help });
            aside::Answer::Findings(findings.collect())
        }
        aside::Question::List { host, owner } => {
            let found = executor_docker::list(&host, &owner).await;
            aside::Answer::Listed(found.map(|found| found.into_iter().map(|f| (f.name, f.labels)).collect()))
        }
        aside::Question::Remove { host, names } => aside::Answer::Done(executor_docker::remove(&host, &names).await),
        aside::Question::Stop { .. } => aside::Answer::Done(Err("BUG: answered before".into())),
    }
}

fn say(mut to: impl io::Write, text: &str, code: u8) -> ExitCode {
    // A closed pipe is no failure of ours.
    to.write_all(text.as_bytes()).ok();
    ExitCode::from(code)
}
