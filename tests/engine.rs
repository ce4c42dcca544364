//! A Docker engine for tests: the one that answers, else one of our own that all test programs share.
//!
//! Ours is started by `.ci/docker` (root is needed) and ends by itself when nobody has used it for ten seconds.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::fs::{FlockOperation, flock};

use crate::script;

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

/// An engine of the test's own, in a network namespace of its own: to be killed, stopped and started again.
#[derive(Debug)]
pub(crate) struct Own {
    folder: tempfile::TempDir,
}

impl Own {
    pub(crate) fn start() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("qmd").tempdir().map_err(|error| error.to_string())?;
        script(&["start", &folder.path().join("e").to_string_lossy(), "--alone"], "")?;
        Ok(Self { folder })
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.path())
    }

    /// The number of the engine's process.
    pub(crate) fn pid(&self) -> i32 {
        let text = fs::read_to_string(format!("{}/docker.pid", self.path())).expect("the engine's number");
        text.trim().parse().expect("a number")
    }

    pub(crate) fn restart(&self) {
        script(&["restart", &self.path()], "").expect("the engine starts again");
    }

    fn path(&self) -> String {
        self.folder.path().join("e").to_string_lossy().into_owned()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // What cannot be removed is in a temporary folder.
        script(&["stop", &self.path()], "").ok();
    }
}

/// Runs the `docker` program and answers what it says.
pub(crate) fn docker(host: &str, words: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests look at their engine from outside")]
    let mut command = Command::new("docker");
    let output = command.args(words).env("DOCKER_HOST", host).stdin(Stdio::null()).output().expect("docker");
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The processes that hold the container of this id for the engine.
pub(crate) fn shims(id: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let shim = |path: PathBuf| {
        let line = String::from_utf8_lossy(&fs::read(path.join("cmdline")).ok()?).into_owned();
        (line.contains("containerd-shim") && line.contains(id)).then(|| path.file_name()?.to_str()?.parse().ok())?
    };
    entries.filter_map(|entry| shim(entry.ok()?.path())).collect()
}

/// Runs `.ci/docker`.
pub(crate) fn script(words: &[&str], host: &str) -> Result<(), String> {
    script::run("docker", words, host)
}

fn own() -> Result<(String, File), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("none answers, and only root can start one".into());
    }
    script::need(&["dockerd", "docker", "busybox"], "docker.io and busybox-static")?;
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
