//! A Docker engine for tests: the one that answers, else one of our own that all test programs share.
//!
//! Ours is started by `.ci/docker` (root is needed) and ends by itself when nobody has used it for ten seconds.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::OnceLock,
};

use rustix::fs::{FlockOperation, flock};

/// What there is.
#[derive(Debug)]
pub(crate) enum Found {
    /// An engine; it is there as long as this is held.
    Engine(Held),
    /// None, and why.
    None(String),
}

/// Holds the shared engine.
#[derive(Debug)]
pub(crate) struct Held {
    _users: Option<File>,
}

static HOST: OnceLock<String> = OnceLock::new();

/// The address of the engine that [`shared`] has found.
pub(crate) fn host() -> Option<String> {
    HOST.get().cloned()
}

/// The engine that answers, else one of our own.
pub(crate) fn shared() -> Found {
    let given = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let host = given.unwrap_or_else(|| "unix:///var/run/docker.sock".into());
    if host.strip_prefix("unix://").is_some_and(answers) {
        HOST.get_or_init(|| host.clone());
        return match script(&["image"], &host) {
            Ok(()) => Found::Engine(Held { _users: None }),
            Err(why) => Found::None(why),
        };
    }
    match own() {
        Ok((host, users)) => {
            HOST.get_or_init(|| host);
            Found::Engine(Held { _users: Some(users) })
        }
        Err(why) => Found::None(why),
    }
}

/// Says that a test program cannot do its work here; in continuous integration that is a failure.
pub(crate) fn skipped(why: &str) -> ExitCode {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    writeln!(std::io::stderr(), "skipped: no Docker engine: {why}").ok();
    if strict { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs `.ci/docker`.
pub(crate) fn script(words: &[&str], host: &str) -> Result<(), String> {
    let script =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join(".ci/docker")).find(|p| p.is_file());
    let script = script.ok_or("there is no .ci/docker")?;
    #[expect(clippy::disallowed_methods, reason = "tests start their engine themselves")]
    let mut command = Command::new(script);
    let output = command.args(words).env("DOCKER_HOST", host).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!(".ci/docker: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(".ci/docker {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn own() -> Result<(String, File), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("none answers, and only root can start one".into());
    }
    let on_path =
        |name: &str| std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|p| p.is_file());
    for tool in ["dockerd", "docker", "busybox"] {
        if on_path(tool).is_none() {
            return Err(format!("there is no {tool}: install Debian's docker.io and busybox-static"));
        }
    }
    let folder = PathBuf::from("/tmp/qmanager-docker");
    let text = |error: std::io::Error| error.to_string();
    let lock_path = folder.with_extension("lock");
    loop {
        let lock = OpenOptions::new().create(true).append(true).open(&lock_path).map_err(text)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        if !same(&lock, &lock_path) {
            continue; // its last user has just removed it
        }
        let socket = folder.join("docker.sock");
        if !answers(&socket.to_string_lossy()) {
            let path = folder.to_string_lossy();
            if folder.exists() {
                script(&["stop", &path], "")?;
            }
            script(&["start", &path], "")?;
            script(&["share", &path], "")?;
        }
        let users = File::open(folder.join("users")).map_err(text)?;
        flock(&users, FlockOperation::LockShared).map_err(|error| error.to_string())?;
        return Ok((format!("unix://{}", socket.display()), users));
    }
}

fn same(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    matches!((file.metadata(), fs::metadata(path)), (Ok(ours), Ok(there)) if ours.ino() == there.ino())
}

fn answers(socket: &str) -> bool {
    UnixStream::connect(socket).is_ok()
}
