//! `task-executor run`: one task, exactly as its job would run it, in the foreground: no worker, no socket, no record.
//!
//! The request comes from `qmanager request`, the program beside this one: it alone knows the configuration and the
//! queue, and makes the request with the same code as the worker. A task executor itself holds no queue credential.

mod args;
mod attempt;
mod copy;
mod request;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use executor::Executor;

pub use self::request::Answer;
use self::{args::Args, attempt::Ended, request::Asked};

/// What `task-executor run` ends with when the failure is ours (usage, an invalid file), as docker run does.
const OURS: u8 = 125;

/// Runs the words after `task-executor run`.
#[must_use]
pub fn run(executors: &[&dyn Executor], words: impl IntoIterator<Item = OsString>) -> ExitCode {
    executor::inherited::shed(std::env::args_os());
    let words: Vec<OsString> = words.into_iter().collect();
    let args = match Args::parse(words.iter().cloned()) {
        Ok(Some(args)) => args,
        Ok(None) => return say(&mut io::stdout(), args::USAGE, 0),
        Err(error) => return say(&mut io::stderr(), &format!("error: {error}\n\n{}", args::USAGE), OURS),
    };
    match try_run(executors, &args, &words) {
        Ok(code) => ExitCode::from(code),
        Err(problem) => say(&mut io::stderr(), &format!("{}\n", problem.trim_end()), OURS),
    }
}

fn try_run(executors: &[&dyn Executor], args: &Args, words: &[OsString]) -> Result<u8, String> {
    let asked = request::ask(args)?;
    let kind = asked.request.executor;
    let Some(executor) = executors.iter().find(|executor| executor.kind() == kind) else {
        return Err(request::hand_over(asked, words));
    };
    let Asked { mut request, copy } = asked;
    if copy && !args.in_place {
        let folder = copy::job_files(&mut request)?;
        note(args, &format!("job files: a copy, left in {}", folder.display()));
    } else {
        note(args, &format!("job files: {}", request.spec.job_files.display()));
    }
    attempt::set_apart(&mut request);
    if args.shell {
        return attempt::shell(*executor, &request);
    }
    let Ended { code, outcome } = attempt::run(*executor, request)?;
    if args.json {
        let body = serde_json::json!({"v": 1, "code": code, "outcome": outcome});
        say(&mut io::stdout(), &format!("{body}\n"), 0);
    } else if !outcome.is_success() {
        note(args, &format!("task ended: {}", outcome.message));
    }
    Ok(code)
}

fn note(args: &Args, text: &str) {
    if !args.quiet {
        say(&mut io::stderr(), &format!("{text}\n"), 0);
    }
}

fn say(to: &mut impl Write, text: &str, code: u8) -> ExitCode {
    // A closed pipe is no failure of ours.
    to.write_all(text.as_bytes()).ok();
    ExitCode::from(code)
}
