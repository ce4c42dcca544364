//! The task executor's side of a case: one order in, one task run, what came of it out.

use std::{
    fs,
    io::{Read, Write},
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use serde::{Deserialize, Serialize};

use super::Subject;
use crate::{Capture, Captured, Condition, Control, Executor, Handle, Io, Outcome, Shutdown, TaskSpec};

/// Makes the test program a task executor.
pub(super) const FLAG: &str = "--as-task-executor";

/// What a task executor is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) what: What,
    pub(super) spec: TaskSpec,
    /// Where logs, handle and result go.
    pub(super) folder: PathBuf,
    /// A request to stop that is there before the task is.
    pub(super) stop_first: Option<Shutdown>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum What {
    /// Start the task and wait for it.
    Run,
    /// Take hold of a task that another process has started, and wait for it.
    Attach(Handle),
    /// Say what has become of a task.
    Describe(Handle),
    /// End a task from outside.
    Stop(Handle, Shutdown),
}

/// What came of an order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The task's end.
    Ended { outcome: Outcome, out: Captured, err: Captured },
    /// Whether something of it runs.
    Described { running: bool, ended: Option<Outcome> },
    /// Whether it could be ended.
    Stopped(Result<(), String>),
}

/// Does what standard input says.
pub(super) fn run(subject: &Subject) -> ExitCode {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string());
    let done = read.and_then(|_| serde_json::from_str(&text).map_err(|error| error.to_string()));
    match done.and_then(|order: Order| obey(subject, &order)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "{error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn obey(subject: &Subject, order: &Order) -> Result<(), String> {
    let control = Signals::new(order.stop_first)?;
    let executor = (subject.make)();
    let mut handle = None;
    let answer = crate::drive(&*executor, answer_to(&*executor, order, &control, &mut handle));
    // As in earnest: first the record, then nothing is needed any more. But here nobody looks before it is done.
    if let Some(handle) = &handle {
        crate::drive(&*executor, executor.tidy(handle));
    }
    put(&order.folder.join("answer"), &answer)
}

async fn answer_to(executor: &dyn Executor, order: &Order, control: &Signals, held: &mut Option<Handle>) -> Answer {
    let spec = &order.spec;
    let begun = match &order.what {
        What::Run => executor.start(spec).await,
        What::Attach(handle) => executor.attach(spec, handle).await.map(|()| handle.clone()),
        What::Describe(handle) => {
            let (running, ended) = match executor.describe(handle).await {
                Condition::Running => (true, None),
                Condition::Ended(outcome) => (false, Some(outcome)),
                Condition::Gone => (false, None),
            };
            return Answer::Described { running, ended };
        }
        What::Stop(handle, how) => {
            return Answer::Stopped(executor.stop(handle, *how, &spec.job_files).await);
        }
    };
    let mut out = Capture::new(order.folder.join("out"), spec.log_limit).redact(&spec.redact);
    if let Some(relative) = &spec.stdout {
        out = out.publish(spec.job_files.clone(), relative);
    }
    let mut err = Capture::new(order.folder.join("err"), spec.log_limit).redact(&spec.redact);
    let outcome = match begun {
        Err(outcome) => outcome,
        Ok(handle) => {
            // A case that waits for the handle fails if this does.
            put(&order.folder.join("handle"), &handle).ok();
            *held = Some(handle.clone());
            executor.wait(spec, &handle, Io { control, out: &mut out, err: &mut err }).await
        }
    };
    let success = outcome.is_success();
    Answer::Ended { outcome, out: out.finish(success), err: err.finish(success) }
}

/// Writes a file that is whole when it is there.
fn put(path: &Path, value: &impl Serialize) -> Result<(), String> {
    let part = path.with_extension("part");
    let bytes = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    fs::write(&part, bytes).and_then(|()| fs::rename(&part, path)).map_err(|error| error.to_string())
}

/// SIGTERM as a request to stop; the second one means now.
struct Signals {
    fd: SignalFd,
    count: AtomicU32,
}

impl Signals {
    fn new(stop_first: Option<Shutdown>) -> Result<Self, String> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTERM);
        mask.thread_block().map_err(|error| error.to_string())?;
        let fd = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|error| error.to_string())?;
        if let Some(how) = stop_first {
            nix::sys::signal::raise(Signal::SIGTERM).map_err(|error| error.to_string())?;
            return Ok(Self { fd, count: AtomicU32::new(u32::from(how == Shutdown::Twice)) });
        }
        Ok(Self { fd, count: AtomicU32::new(0) })
    }
}

impl Control for Signals {
    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn take(&self) -> Option<Shutdown> {
        while let Ok(Some(_)) = self.fd.read_signal() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        match self.count.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(Shutdown::Once),
            _ => Some(Shutdown::Twice),
        }
    }
}
