//! What the engines and services of tests share: the scripts in `.ci` that start them, and what those need.

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// Whether a missing service is a failure.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Runs a script of `.ci`.
pub(crate) fn run(name: &str, words: &[&str], host: &str) -> Result<(), String> {
    let name = format!(".ci/{name}");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join(&name)).find(|p| p.is_file());
    let script = script.ok_or_else(|| format!("there is no {name}"))?;
    #[expect(clippy::disallowed_methods, reason = "tests start their engine themselves")]
    let mut command = Command::new(script);
    let output = command.args(words).env("DOCKER_HOST", host).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{name} {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

/// Whether all these programs are there.
pub(crate) fn need(tools: &[&str], packages: &str) -> Result<(), String> {
    let on_path =
        |name: &str| std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|p| p.is_file());
    match tools.iter().find(|tool| on_path(tool).is_none()) {
        Some(tool) => Err(format!("there is no {tool}: install Debian's {packages}")),
        None => Ok(()),
    }
}
