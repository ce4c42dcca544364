//! The body of a test task: it testifies, and then does what its plan says, which is often nothing good.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

use crate::{
    clock,
    plan::{self, Body},
    witness::{Mark, Pen},
};

/// The variable that tells a test task on which host it is.
pub const HOST: &str = "PROOF_HOST";

/// Between two signs of life.
const TICK: i64 = 100_000;
/// How long a grandchild would live if nobody ended it.
const GRANDCHILD: i64 = 120 * clock::SECOND;

/// `proof task LOG RUN TASK BODY`, started by a task executor.
///
/// # Errors
/// The arguments or the environment are not those of a test task, or the log cannot be written.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let mut pen = pen(args)?;
    let body: Body = serde_json::from_str(args.get(3).context("a body")?)?;
    if matches!(body, Body::Hangs { stubborn: true }) {
        let mut term = SigSet::empty();
        term.add(Signal::SIGTERM);
        term.thread_block()?;
    }
    pen.say(Mark::Begin)?;
    let mut code = 0;
    match body {
        Body::Join => {}
        Body::Exit { code: wanted, ms, heals } => {
            live(&mut pen, ms * 1_000)?;
            let attempt = attempt()?;
            code = if heals.is_some_and(|from| attempt >= from) { 0 } else { wanted };
        }
        Body::Signal { number, ms } => {
            live(&mut pen, ms * 1_000)?;
            pen.say(Mark::End(128 + number))?;
            let signal = rustix::process::Signal::from_named_raw(number).context("a signal")?;
            rustix::process::kill_process(rustix::process::getpid(), signal)?;
            live(&mut pen, GRANDCHILD)?; // not reached: none of the signals is ignored
        }
        Body::Forks { ms } => {
            leave_grandchild(args)?;
            live(&mut pen, ms * 1_000)?;
        }
        Body::Output { seed, bytes } => {
            let text = plan::output(seed, bytes);
            io::stdout().write_all(&text)?;
            io::stdout().flush()?;
        }
        Body::Hangs { .. } => live(&mut pen, i64::MAX / 2)?,
        Body::Secret => {
            let secret = std::env::var(plan::SECRET).context("the secret")?;
            writeln!(io::stdout(), "the secret is {secret}.")?;
        }
    }
    pen.say(Mark::End(code))?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// `proof grandchild LOG RUN TASK`: in a session of its own, until somebody ends it.
///
/// # Errors
/// As [`run`].
pub fn grandchild(args: &[String]) -> Result<ExitCode> {
    rustix::process::setsid()?;
    let mut pen = pen(args)?;
    let end = clock::mono() + GRANDCHILD;
    while clock::mono() < end {
        pen.say(Mark::Grandchild)?;
        clock::pass(TICK);
    }
    Ok(ExitCode::SUCCESS)
}

/// `proof fork LOG RUN TASK`: starts the grandchild and ends, so that nobody is its parent.
///
/// # Errors
/// As [`run`].
pub fn fork(args: &[String]) -> Result<ExitCode> {
    start("grandchild", args)?;
    Ok(ExitCode::SUCCESS)
}

fn pen(args: &[String]) -> Result<Pen> {
    let [log, run, task, ..] = args else { anyhow::bail!("LOG RUN TASK") };
    let host = std::env::var(HOST).context("the host's name")?;
    let job = std::env::var("QM_JOB_ID").context("QM_JOB_ID")?;
    let pen = Pen::open(&PathBuf::from(log), run, job, task.parse()?, attempt()?, host);
    pen.context("the witness log")
}

fn attempt() -> Result<u32> {
    Ok(std::env::var("QM_ATTEMPT").context("QM_ATTEMPT")?.parse()?)
}

/// Lives for so many microseconds, and says so now and then.
fn live(pen: &mut Pen, micros: i64) -> io::Result<()> {
    let end = clock::mono().saturating_add(micros);
    loop {
        let left = end - clock::mono();
        if left <= 0 {
            return Ok(());
        }
        clock::pass(left.min(TICK));
        if left > TICK {
            pen.say(Mark::Tick)?;
        }
    }
}

fn leave_grandchild(args: &[String]) -> Result<()> {
    let mut child = start("fork", &args[..3])?;
    child.wait()?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a test task starts what is to be cleaned up after it")]
fn start(what: &str, args: &[String]) -> Result<std::process::Child> {
    let mut command = Command::new(std::env::current_exe()?);
    // In no process group of its own: who leads one cannot begin a session.
    command.arg(what).args(&args[..3]).stdin(Stdio::null());
    Ok(command.spawn()?)
}
