//! What people read about an attempt's end, where it is the same under every executor.

use rustix::process::Signal;

use crate::{Ending, Outcome, TaskSpec};

/// The task cannot run as it is written.
#[must_use]
pub fn invalid(what: impl Into<String>) -> Outcome {
    Outcome::new(Ending::Invalid, what)
}

/// Something outside the task failed.
#[must_use]
pub fn lost(what: impl Into<String>) -> Outcome {
    Outcome::new(Ending::Lost, what)
}

/// Its memory limit was reached.
#[must_use]
pub fn out_of_memory(spec: &TaskSpec) -> Outcome {
    let limit = spec.resources.memory.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
    let text = format!("ended by the kernel: its memory limit{limit} was reached; raise `resources: {{memory: …}}`");
    Outcome::new(Ending::OutOfMemory, text)
}

/// `killed`: SIGTERM was not enough.
#[must_use]
pub fn timed_out(spec: &TaskSpec, killed: bool) -> Outcome {
    let limit = spec.timeout.unwrap_or_default();
    let end = if killed { format!("; it ignored SIGTERM for {:?} and was killed", spec.grace) } else { String::new() };
    Outcome::new(Ending::TimedOut, format!("it ran longer than its `timeout` of {limit:?}{end}"))
}

/// `killed`: SIGTERM was not enough, or (`asked_twice`) not wanted.
#[must_use]
pub fn stopped(spec: &TaskSpec, killed: bool, asked_twice: bool) -> Outcome {
    let text = match (killed, asked_twice) {
        (true, true) => "stopped on request: killed at once".to_owned(),
        (true, false) => format!("stopped on request: it ignored SIGTERM for {:?} and was killed", spec.grace),
        (false, _) => "stopped on request".to_owned(),
    };
    Outcome::new(Ending::Stopped, text)
}

/// The name of a signal that has one.
#[must_use]
pub fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: &[(Signal, &str)] = &[
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    NAMES.iter().find(|(known, _)| known.as_raw() == signal).map(|(_, name)| *name)
}
