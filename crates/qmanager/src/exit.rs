//! How a verb ends: the one table of exit codes, and the error that carries one of them.

use std::{error::Error as StdError, fmt};

use crate::text::safe;

/// The exit code of `qmanager`. The table of the command line page, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done; the job succeeded (`run`, `wait`, `retry`).
    Done = 0,
    /// The job failed.
    JobFailed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// The workflow is not valid.
    InvalidWorkflow = 3,
    /// No such job, task or file.
    NotFound = 4,
    /// The queue cannot be used.
    QueueUnavailable = 5,
    /// The job was cancelled.
    JobCancelled = 6,
    /// `wait --timeout` ran out.
    WaitTimedOut = 7,
    /// The state of the job or queue does not allow it.
    Refused = 8,
    /// The executor cannot be used here.
    ExecutorUnusable = 9,
    /// A bug of ours.
    Internal = 10,
    /// `run` was ended by a hang-up of its terminal (the job was stopped first).
    HungUp = 129,
    /// `run` was ended by SIGINT (the job was stopped first).
    Interrupted = 130,
    /// `run` was ended by SIGTERM (the job was stopped first).
    Terminated = 143,
}

impl Exit {
    /// Every code with what it means, for the manual page and the reference.
    pub const TABLE: &'static [(Self, &'static str)] = &[
        (Self::Done, "done; the job succeeded (run, wait, retry)"),
        (Self::JobFailed, "job failed"),
        (Self::Usage, "usage or config"),
        (Self::InvalidWorkflow, "invalid workflow"),
        (Self::NotFound, "not found"),
        (Self::QueueUnavailable, "queue unavailable"),
        (Self::JobCancelled, "job cancelled"),
        (Self::WaitTimedOut, "wait timed out"),
        (Self::Refused, "refused by state"),
        (Self::ExecutorUnusable, "executor not usable"),
        (Self::Internal, "internal error (a bug)"),
        (Self::HungUp, "run ended by HUP (job stopped first)"),
        (Self::Interrupted, "run ended by INT (job stopped first)"),
        (Self::Terminated, "run ended by TERM (job stopped first)"),
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What a signal means for the `run` that it ended, as shells write it: 128 + n.
    #[must_use]
    pub fn of_signal(signal: i32) -> Self {
        use rustix::process::Signal;
        match signal {
            hup if hup == Signal::HUP.as_raw() => Self::HungUp,
            int if int == Signal::INT.as_raw() => Self::Interrupted,
            _ => Self::Terminated,
        }
    }

    /// What an ended job means for the verb that waited for it.
    #[must_use]
    pub fn of_job(status: workflow_model::JobStatus) -> Self {
        use workflow_model::JobStatus as S;
        match status {
            S::Succeeded => Self::Done,
            S::Failed => Self::JobFailed,
            S::Cancelled | S::Cancelling => Self::JobCancelled,
            S::Queued | S::Running => Self::WaitTimedOut,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a verb could not do what it was asked: a code, a sentence, and what to do about it.
#[derive(Debug)]
pub struct Error {
    /// The exit code.
    pub exit: Exit,
    /// A lowercase fragment without the source's text.
    pub what: String,
    /// What to do, one a line.
    pub hints: Vec<String>,
    /// Whether `what` is a finished text of many lines (a workflow's problems) that is printed as it is.
    pub verbatim: bool,
    /// More for programs (`--json`).
    pub data: Option<serde_json::Value>,
    /// Why.
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with its code.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hints: Vec::new(), verbatim: false, data: None, source: None }
    }

    /// Wrong usage or configuration.
    #[must_use]
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Something that does not exist.
    #[must_use]
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, what)
    }

    /// A refusal because of the state something is in.
    #[must_use]
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(Exit::Refused, what)
    }

    /// A file or folder that could not be used. The code is 2: the person named it.
    #[must_use]
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::usage(what).because(source)
    }

    /// A bug of ours.
    #[must_use]
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(Exit::Internal, what)
            .hint("this is a bug in qmanager: please report it with the command and the version")
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds why.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the reader of our output has gone away: no error, code 0.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let mut next = self.source.as_deref().map(|e| e as &(dyn StdError + 'static));
        while let Some(error) = next {
            if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                return true;
            }
            next = error.source();
        }
        false
    }

    /// The causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut next = self.source.as_deref().map(|e| e as &(dyn StdError + 'static));
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        texts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

impl From<job_queue::Error> for Error {
    fn from(error: job_queue::Error) -> Self {
        use job_queue::Error as Q;
        let exit = match &error {
            Q::NotFound(_) => Exit::NotFound,
            Q::Refused(_) | Q::KeyTaken { .. } | Q::Mismatch(_) | Q::Fenced => Exit::Refused,
            _ => Exit::QueueUnavailable,
        };
        let hint = match &error {
            Q::NotFound(_) => Some("`qmanager list` shows the jobs of this queue"),
            Q::KeyTaken { .. } => Some("use another --key, or submit the definition that the key stands for"),
            Q::Busy(_) => Some("another process holds the database's lock: end it, or try again"),
            Q::Full(_) => Some("make room on the disk of the state-dir, then try again"),
            _ => None,
        };
        let source = error.source().map(|s| with_causes(s).into());
        let what = error.to_string();
        Self { exit, what, hints: hint.into_iter().map(Into::into).collect(), verbatim: false, data: None, source }
    }
}

impl From<crate::layout::Error> for Error {
    fn from(error: crate::layout::Error) -> Self {
        let what =
            format!("cannot use {}, where the queue and the jobs' files are kept", safe(&error.path.to_string_lossy()));
        Self::new(Exit::QueueUnavailable, what).because(error.source).hint(
            "make it a folder that you may write to, or name another: --state-dir DIR, QMANAGER__STATE_DIR, or state_dir in \
             qmanager.toml",
        )
    }
}

/// A source chain as one line: a boxed error cannot be moved out of its owner.
fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use workflow_model::JobStatus;

    #[test]
    fn the_codes_are_those_of_the_page() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 129, 130, 143]);
    }

    #[test]
    fn a_jobs_end_decides_the_code() {
        assert_eq!(Exit::of_job(JobStatus::Succeeded), Exit::Done);
        assert_eq!(Exit::of_job(JobStatus::Failed), Exit::JobFailed);
        assert_eq!(Exit::of_job(JobStatus::Cancelled), Exit::JobCancelled);
    }

    #[test]
    fn a_broken_pipe_is_found_behind_other_errors() {
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(Error::internal("cannot write").because(pipe).is_broken_pipe());
        assert!(!Error::usage("bad").is_broken_pipe());
    }

    #[test]
    fn the_queues_errors_map_to_the_table() {
        let job = workflow_model::JobId::generate();
        assert_eq!(Error::from(job_queue::Error::NotFound(job)).exit, Exit::NotFound);
        assert_eq!(Error::from(job_queue::Error::Refused("no".into())).exit, Exit::Refused);
        assert_eq!(Error::from(job_queue::Error::Unusable("old".into())).exit, Exit::QueueUnavailable);
    }
}
