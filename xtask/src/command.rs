//! Starting other programs: the one place of xtask that does.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs::File,
    io::{BufRead as _, BufReader},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A program to run with its output on ours, or captured.
#[derive(Debug)]
pub(crate) struct Cmd {
    inner: Command,
    shown: String,
}

/// A program that runs while we do something else.
#[derive(Debug)]
pub(crate) struct Background(Child);

impl Background {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    pub(crate) fn wait(mut self) -> bool {
        self.0.wait().is_ok_and(|status| status.success())
    }
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let shown = program.as_ref().to_string_lossy().into_owned();
        #[expect(clippy::disallowed_methods, reason = "xtask starts programs here and nowhere else")]
        let inner = Command::new(program);
        Self { inner, shown }
    }

    /// The cargo that runs us, so that toolchain overrides hold.
    pub(crate) fn cargo() -> Self {
        let mut cmd = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cmd.shown = "cargo".into();
        // Cargo set these for xtask; its build scripts must not see them as their own.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            cmd.inner.env_remove(name);
        }
        cmd
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        let _ = write!(self.shown, " {}", arg.as_ref().to_string_lossy());
        self.inner.arg(arg);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(self, args: I) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Nothing of our environment but the path.
    pub(crate) fn clean_env(mut self) -> Self {
        self.inner.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
        self
    }

    pub(crate) fn without_stdin(mut self) -> Self {
        self.inner.stdin(Stdio::null());
        self
    }

    /// Standard input is a socket whose other end is closed: what a task executor sees when its worker has gone.
    pub(crate) fn stdin_of_a_closed_socket(mut self) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        drop(ours);
        self.inner.stdin(OwnedFd::from(theirs));
        Ok(self)
    }

    /// Throws standard output away and keeps standard error in a file.
    pub(crate) fn quiet(mut self, errors: &Path) -> Result<Self> {
        self.inner.stdout(Stdio::null());
        self.errors_to(errors)
    }

    /// Starts it and goes on.
    pub(crate) fn background(mut self) -> Result<Background> {
        Ok(Background(self.inner.spawn().with_context(|| format!("cannot run `{}`", self.shown))?))
    }

    /// Replaces this process, so that signals and the exit code are the program's own.
    pub(crate) fn exec(mut self) -> anyhow::Error {
        use std::os::unix::process::CommandExt as _;
        let error = self.inner.exec();
        anyhow::Error::new(error).context(format!("cannot run `{}`", self.shown))
    }

    /// Runs with our standard streams; answers whether it exited with 0.
    pub(crate) fn ok(mut self) -> Result<bool> {
        let status = self.inner.status().with_context(|| format!("cannot run `{}`", self.shown))?;
        Ok(status.success())
    }

    /// Keeps standard error in a file.
    pub(crate) fn errors_to(mut self, errors: &Path) -> Result<Self> {
        let file = File::create(errors).with_context(|| format!("cannot write {}", errors.display()))?;
        self.inner.stderr(file);
        Ok(self)
    }

    /// Standard output of a program that must succeed; standard error is ours unless it goes elsewhere.
    pub(crate) fn read(mut self) -> Result<String> {
        let output = self
            .inner
            .stdout(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .with_context(|| format!("cannot run `{}`", self.shown))?;
        if !output.status.success() {
            bail!("`{}` ended with {}", self.shown, output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote something that is no UTF-8", self.shown))
    }

    /// Whether the program exists and answers 0, silently.
    pub(crate) fn answers(mut self) -> bool {
        self.inner.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.inner.status().is_ok_and(|status| status.success())
    }

    /// Hands each line of standard output to `each`; answers whether the program exited with 0.
    pub(crate) fn lines(mut self, mut each: impl FnMut(&str)) -> Result<bool> {
        self.inner.stdout(Stdio::piped());
        let mut child = self.inner.spawn().with_context(|| format!("cannot run `{}`", self.shown))?;
        let stdout = child.stdout.take().expect("BUG: stdout was piped");
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            each(String::from_utf8_lossy(&line).trim_end_matches('\n'));
            line.clear();
        }
        Ok(child.wait()?.success())
    }
}
