//! What people read about the end of a container.

pub(crate) use executor::message::{invalid, lost, out_of_memory, stopped, timed_out};
use executor::{Ending, Outcome, TaskSpec, message::signal_name};

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
