//! What a program finds around it, captured once at its edge.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::IsTerminal,
    path::PathBuf,
};

/// What a program finds around it.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Signals that were ignored when we were started (under `nohup`: SIGHUP).
    pub ignored_signals: Vec<i32>,
    /// Variables, as they are.
    pub vars: BTreeMap<OsString, OsString>,
    /// The real user.
    pub uid: u32,
    /// The folder for temporary files.
    pub temp: PathBuf,
    /// Where the program is.
    pub program: PathBuf,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// CPUs that this process may use (affinity and cgroup quota).
    pub cpus: u32,
}

impl Environment {
    /// Captures this process's. `ignored_signals`: what `executor::inherited::shed` answered, first of all in `main`.
    #[must_use]
    pub fn capture(ignored_signals: Vec<i32>) -> Self {
        Self {
            ignored_signals,
            vars: std::env::vars_os().collect(),
            uid: rustix::process::getuid().as_raw(),
            temp: std::env::temp_dir(),
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("qmanager")),
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1)),
        }
    }

    /// A variable that is set, not empty and UTF-8.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// A variable that names an absolute folder.
    #[must_use]
    pub fn folder(&self, name: &str) -> Option<PathBuf> {
        self.vars.get(OsStr::new(name)).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// Where state is kept when nothing else is said: `$XDG_STATE_HOME/qmanager`, as root `/var/lib/qmanager`.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        if let Some(dir) = self.folder("XDG_STATE_HOME") {
            return dir.join("qmanager");
        }
        match self.folder("HOME") {
            Some(home) if self.uid != 0 => home.join(".local/state/qmanager"),
            _ => PathBuf::from("/var/lib/qmanager"),
        }
    }

    /// The person's configuration file.
    #[must_use]
    pub fn user_config(&self) -> Option<PathBuf> {
        let base = self.folder("XDG_CONFIG_HOME").or_else(|| Some(self.folder("HOME")?.join(".config")))?;
        Some(base.join("qmanager/qmanager.toml"))
    }
}
