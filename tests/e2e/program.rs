//! A program under test: one that has ended, and one that runs in the background.

use std::{
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output},
};

use rustix::process::{Pid, Signal};

use crate::harness::{DEADLINE, Host, now, pause, tell};

/// A program that has ended.
pub(crate) struct Done {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs in the background; killed at the end of the test if it still does.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    reaped: Option<ExitStatus>,
}

impl Done {
    /// The exit code; 128+n for signal n.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "unexpected exit code\n{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn success(self) -> Self {
        self.expect(0)
    }

    /// Standard output as JSON values, one a line (or one over several lines).
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let values: Result<Vec<_>, _> = serde_json::Deserializer::from_str(&self.stdout).into_iter().collect();
        values.unwrap_or_else(|error| panic!("no JSON ({error})\n{self:?}"))
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr)
    }
}

impl Running {
    pub(crate) fn start(host: &Host, mut command: Command) -> Self {
        let count = fs::read_dir(host.dir()).expect("the host's folder").count();
        let file = |name: &str| host.dir().join(format!("{name}.{count}"));
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        command.stdout(fs::File::create(&stdout).expect("a file")).stderr(fs::File::create(&stderr).expect("a file"));
        Self { child: command.spawn().expect("the program starts"), stdout, stderr, reaped: None }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// What it has written so far.
    pub(crate) fn stdout(&self) -> String {
        lossy(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        lossy(&self.stderr)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid()).expect("BUG: a child has a pid");
        rustix::process::kill_process(pid, signal).expect("the program can be signalled");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        if self.reaped.is_none() {
            self.reaped = self.child.try_wait().expect("the child can be waited for");
        }
        self.reaped.is_none()
    }

    /// Waits for its end, at most [`DEADLINE`].
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Done {
        let deadline = now() + DEADLINE;
        while self.is_running() {
            assert!(now() < deadline, "the program does not end\n{}\n{}", self.stdout(), self.stderr());
            pause();
        }
        Done { status: self.reaped.expect("BUG: it has ended"), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Signals and waits.
    #[track_caller]
    pub(crate) fn end(&mut self, signal: Signal) -> Done {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            // Either it is killed or it has just ended; both are fine.
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
        if std::thread::panicking() {
            tell(&format!("--- {}\n{}\n{}", self.child.id(), self.stdout(), self.stderr()));
        }
    }
}

fn lossy(path: &Path) -> String {
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("the output can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}
