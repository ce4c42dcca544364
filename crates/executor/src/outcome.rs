//! How an attempt ended: the whole space of endings, so that none can pass for another.

use serde::{Deserialize, Serialize};
use workflow_model::Cause;

use crate::Redactor;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Ending {
    /// The program ended by itself; success is code 0 and nothing else.
    Exited {
        /// The return code.
        code: i32,
    },
    /// The program was ended by a signal that we did not send.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran longer than its `timeout`; the tree was stopped.
    TimedOut,
    /// It was stopped on request ([`crate::Control`]). Whether that was a cancel, a shutdown or a lost lease is
    /// known to whoever asked.
    Stopped,
    /// Ended for want of memory.
    OutOfMemory,
    /// It could not be started: 126 (cannot run), 127 (not found).
    StartFailed {
        /// 126 or 127, as a shell would say.
        code: i32,
    },
    /// The task cannot run here as it is written.
    Invalid,
    /// The image could not be pulled.
    ImagePull {
        /// Whether trying again may help.
        transient: bool,
    },
    /// Something outside the task failed; what became of the task is unknown or nothing. Never success.
    Lost,
}

/// How an attempt ended, and what a person should read about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Under 1 kB; empty for success. No secrets, no Rust panic text.
    pub message: String,
}

impl Outcome {
    /// An ending with its message (cut at 1 kB on a character boundary).
    #[must_use]
    pub fn new(ending: Ending, message: impl Into<String>) -> Self {
        let mut message = message.into();
        let mut end = message.len().min(1000);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        Self { ending, message }
    }

    /// The same with these values masked in the message.
    #[must_use]
    pub fn redacted<S: AsRef<str>>(mut self, values: &[S]) -> Self {
        if !values.is_empty() && !self.message.is_empty() {
            self.message = Redactor::new(values).text(&self.message);
        }
        self
    }

    /// Whether the program ended by itself with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.ending == Ending::Exited { code: 0 }
    }

    /// The cause to record, `None` for success. `Stopped` is mapped by whoever asked for the stop; unasked it counts
    /// as lost.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self.ending {
            Ending::Exited { code: 0 } => None,
            Ending::Exited { .. } => Some(Cause::UserExit),
            Ending::Signaled { .. } => Some(Cause::Signal),
            Ending::TimedOut => Some(Cause::Timeout),
            Ending::OutOfMemory => Some(Cause::Oom),
            Ending::StartFailed { .. } | Ending::Invalid => Some(Cause::Invalid),
            Ending::ImagePull { .. } => Some(Cause::ImagePull),
            Ending::Stopped | Ending::Lost => Some(Cause::LostInfra),
        }
    }
}
