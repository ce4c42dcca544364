//! What people read about the end of a container.

use executor::{Ending, Outcome, TaskSpec};

/// The task cannot run as it is written.
pub(crate) fn invalid(what: impl Into<String>) -> Outcome {
    Outcome::new(Ending::Invalid, what)
}

/// Something outside the task failed.
pub(crate) fn lost(what: impl Into<String>) -> Outcome {
    Outcome::new(Ending::Lost, what)
}

/// The program ended by itself.
pub(crate) fn exited(code: i32, path: &str) -> Outcome {
    let text = match code {
        0 => String::new(),
        126 => "exit code 126: a command was found but cannot be executed (see its last lines)".into(),
        127 => format!("exit code 127: a command was not found (see its last lines); PATH was {path:?}"),
        137 => {
            "exit code 137: ended by SIGKILL (137 = 128 + 9), which qmanager did not send: by itself, by somebody on \
                this host, or by the engine"
                .into()
        }
        129..=192 => match signal_name(code - 128) {
            Some(name) => format!("exit code {code}: ended by {name} ({code} = 128 + {})", code - 128),
            None => format!("exit code {code}"),
        },
        _ => format!("exit code {code}"),
    };
    Outcome::new(Ending::Exited { code }, text)
}

/// The engine could not start its program.
pub(crate) fn not_started(code: i32, spec: &TaskSpec, path: &str, why: &str) -> Outcome {
    let program = spec.argv.as_ref().and_then(|argv| argv.first()).map_or("the image's program", String::as_str);
    let text = if code == 127 {
        format!(
            "command not found: {program:?} is not in the image, or in no folder of PATH={path:?}; use another image, write \
             its path, or set PATH in `env`"
        )
    } else {
        format!("cannot run {program:?}: it is not executable (`chmod +x` it), a folder, or no program: {why}")
    };
    Outcome::new(Ending::StartFailed { code }, text)
}

pub(crate) fn out_of_memory(spec: &TaskSpec) -> Outcome {
    let limit = spec.resources.memory.map(|bytes| format!(" of {bytes} bytes")).unwrap_or_default();
    let text = format!("ended by the kernel: its memory limit{limit} was reached; raise `resources: {{memory: …}}`");
    Outcome::new(Ending::OutOfMemory, text)
}

pub(crate) fn timed_out(spec: &TaskSpec, killed: bool) -> Outcome {
    let limit = spec.timeout.unwrap_or_default();
    let end = if killed { format!("; it ignored SIGTERM for {:?} and was killed", spec.grace) } else { String::new() };
    Outcome::new(Ending::TimedOut, format!("it ran longer than its `timeout` of {limit:?}{end}"))
}

pub(crate) fn stopped(spec: &TaskSpec, killed: bool, asked_twice: bool) -> Outcome {
    let text = match (killed, asked_twice) {
        (true, true) => "stopped on request: killed at once".to_owned(),
        (true, false) => format!("stopped on request: it ignored SIGTERM for {:?} and was killed", spec.grace),
        (false, _) => "stopped on request".to_owned(),
    };
    Outcome::new(Ending::Stopped, text)
}

fn signal_name(number: i32) -> Option<&'static str> {
    const NAMES: &[(i32, &str)] = &[
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
        (31, "SIGSYS"),
    ];
    NAMES.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}
