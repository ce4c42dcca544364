//! A Docker engine of the run's own, which may be killed, stopped and started again. `.ci/docker` starts it; `docker` is
//! the only way in which the proof speaks to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{clock, process};

/// An engine, stopped at the end.
#[derive(Debug)]
pub struct Engine {
    script: PathBuf,
    folder: PathBuf,
}

/// A container of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Whose it is: job, task, attempt.
    pub attempt: (String, usize, u32),
}

/// The image that the engine has.
pub const IMAGE: &str = "busybox:local";
/// A question that has not been answered by then is none.
const PATIENCE: i64 = 5 * clock::SECOND;

impl Engine {
    /// Starts one with its data in a new folder.
    ///
    /// # Errors
    /// There is no Docker on this machine, or it does not start.
    pub fn start(script: &Path, folder: PathBuf) -> Result<Self> {
        let engine = Self { script: script.to_path_buf(), folder };
        engine.run(&["start", &engine.folder.to_string_lossy(), "--alone"])?;
        Ok(engine)
    }

    /// Its address.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}/docker.sock", self.folder.display())
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        fs::read_to_string(self.folder.join("docker.pid")).ok()?.trim().parse().ok()
    }

    /// Starts it again, after it was killed.
    ///
    /// # Errors
    /// It does not start.
    pub fn restart(&self) -> Result<()> {
        self.run(&["restart", &self.folder.to_string_lossy()])
    }

    /// The containers of tasks that run, or all that are there.
    ///
    /// # Errors
    /// The engine does not answer.
    pub fn containers(&self, all: bool) -> Result<Vec<Container>> {
        let format = "{{.ID}} {{.Label \"qmanager.job\"}} {{.Label \"qmanager.task\"}} {{.Label \"qmanager.attempt\"}}";
        let mut words = vec!["ps", "--no-trunc", "--filter", "label=qmanager.job", "--format", format];
        words.extend(all.then_some("--all"));
        let text = self.docker(&words)?;
        let container = |line: &str| {
            let mut words = line.split(' ');
            let (id, job) = (words.next()?.to_owned(), words.next()?.to_owned());
            Some(Container { id, attempt: (job, words.next()?.parse().ok()?, words.next()?.parse().ok()?) })
        };
        Ok(text.lines().filter_map(container).collect())
    }

    /// Removes a container under those who wait for it.
    ///
    /// # Errors
    /// The engine does not answer, or there is no such container.
    pub fn remove(&self, container: &Container) -> Result<()> {
        self.docker(&["rm", "--force", &container.id]).map(drop)
    }

    /// The process that holds a container.
    #[must_use]
    pub fn shim(&self, container: &Container) -> Option<i32> {
        let pids = fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_it = |title: String| title.contains("containerd-shim") && title.contains(&container.id);
        pids.into_iter().find(|pid| process::title(*pid).is_some_and(is_it))
    }

    fn docker(&self, words: &[&str]) -> Result<String> {
        let mut command = command("docker");
        command.args(words).env("DOCKER_HOST", self.host()).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run docker")?;
        // What it says fits into a pipe.
        let ended = clock::until(PATIENCE, || child.try_wait().is_ok_and(|status| status.is_some()));
        // It has ended, or has had its time.
        let _gone = child.kill();
        let output = child.wait_with_output()?;
        ensure!(ended && output.status.success(), "docker {} ended with {}", words[0], output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let output = command(&self.script).args(words).env_remove("DOCKER_HOST").stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} {}: {}", self.script.display(), words[0], said.trim());
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // It may be stopped still.
            process::signal(pid, rustix::process::Signal::CONT);
        }
        // At the end of the run what it has is of no use to anyone.
        self.run(&["stop", &self.folder.to_string_lossy()]).ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "the proof starts the engine under test")]
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    Command::new(program)
}
