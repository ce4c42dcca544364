//! What the verbs print: data on standard output, everything else on standard error.

mod clock;
mod job;
mod table;

use std::{
    cell::RefCell,
    fmt,
    io::{self, BufWriter, Write},
};

use serde::Serialize;

pub use clock::{ago, local, now, parse_moment, rfc3339};
pub use job::{JobView, TaskView};
pub use table::Table;

use crate::{
    cli::{ColorWhen, Global},
    config::Environment,
    exit::Error,
    text::{Tone, paint, safe},
};

/// The version of everything that `--json` prints; fields are added, never changed.
pub const JSON_VERSION: u16 = 1;

/// Where a verb prints.
pub struct Output {
    data: RefCell<Box<dyn Write>>,
    notes: RefCell<Box<dyn Write>>,
    /// `--json`.
    pub json: bool,
    /// `-q`.
    pub quiet: bool,
    /// Colours on standard output.
    pub color: bool,
    /// Colours on standard error.
    pub color_notes: bool,
    /// Whether standard output is a terminal.
    pub terminal: bool,
    /// Whether live progress may be drawn on standard error.
    pub progress: bool,
}

impl Output {
    /// The process's own streams.
    #[must_use]
    pub fn standard(global: &Global, environment: &Environment) -> Self {
        let color = |terminal: bool| match global.color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => {
                terminal && environment.var("NO_COLOR").is_none() && environment.var("TERM") != Some("dumb")
            }
        };
        Self {
            data: RefCell::new(Box::new(BufWriter::new(io::stdout()))),
            notes: RefCell::new(Box::new(io::stderr())),
            json: global.json,
            quiet: global.quiet,
            color: color(environment.stdout_is_terminal),
            color_notes: color(environment.stderr_is_terminal),
            terminal: environment.stdout_is_terminal,
            progress: environment.stderr_is_terminal && !global.no_progress && environment.var("TERM") != Some("dumb"),
        }
    }

    /// Streams of the caller's, without colours: for tests and for embedding.
    #[must_use]
    pub fn to(data: Box<dyn Write>, notes: Box<dyn Write>, json: bool) -> Self {
        Self {
            data: RefCell::new(data),
            notes: RefCell::new(notes),
            json,
            quiet: false,
            color: false,
            color_notes: false,
            terminal: false,
            progress: false,
        }
    }

    /// A line of data.
    ///
    /// # Errors
    /// The reader is gone, or the disk is full.
    pub fn line(&self, line: impl fmt::Display) -> Result<(), Error> {
        writeln!(self.data.borrow_mut(), "{line}").map_err(broken)
    }

    /// Text or bytes as they are.
    ///
    /// # Errors
    /// The reader is gone, or the disk is full.
    pub fn raw(&self, bytes: &[u8]) -> Result<(), Error> {
        self.data.borrow_mut().write_all(bytes).map_err(broken)
    }

    /// One JSON object on one line.
    ///
    /// # Errors
    /// The reader is gone, or the disk is full.
    pub fn object(&self, object: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string(object).map_err(|e| Error::internal("cannot write JSON").because(e))?;
        self.line(text)
    }

    /// Hands over what was printed so far.
    ///
    /// # Errors
    /// The reader is gone, or the disk is full.
    pub fn flush(&self) -> Result<(), Error> {
        self.data.borrow_mut().flush().map_err(broken)
    }

    /// A line for people, on standard error; nothing under `-q`.
    pub fn note(&self, line: impl fmt::Display) {
        if !self.quiet {
            self.say(line);
        }
    }

    /// Text as it is on standard error, escape sequences included; nothing under `-q`.
    pub fn raw_note(&self, text: &str) {
        if !self.quiet && !text.is_empty() {
            let mut notes = self.notes.borrow_mut();
            notes.write_all(text.as_bytes()).and_then(|()| notes.flush()).unwrap_or(());
        }
    }

    /// A warning, on standard error; nothing under `-q`.
    pub fn warn(&self, line: impl fmt::Display) {
        self.note(format_args!("{} {line}", paint("warning:", Tone::Warn, self.color_notes)));
    }

    /// A line on standard error, under `-q` too.
    pub fn say(&self, line: impl fmt::Display) {
        // Nobody is left to be told that nobody reads.
        writeln!(self.notes.borrow_mut(), "{line}").unwrap_or(());
    }

    /// An error with its causes and hints, on standard error: as lines, or as one JSON object.
    pub fn error(&self, error: &Error) {
        if self.json {
            let message = if error.verbatim { "invalid" } else { error.what.as_str() };
            let object = serde_json::json!({ "v": JSON_VERSION, "error": {
                "code": error.exit.code(), "message": message, "causes": error.causes(), "hints": error.hints,
                "data": error.data,
            }});
            return self.say(object);
        }
        if error.verbatim {
            self.say(error.what.trim_end());
        } else {
            // Names of files and of everything else come from outside: nothing of them may reach a terminal raw.
            let text = error.causes().into_iter().fold(error.what.clone(), |text, cause| format!("{text}: {cause}"));
            self.say(format_args!("{} {}", paint("error:", Tone::Bad, self.color_notes), safe(&text)));
        }
        for hint in &error.hints {
            let hint = safe(hint);
            self.say(format_args!("{} {hint}", paint("hint:", Tone::Bold, self.color_notes)));
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("json", &self.json).finish_non_exhaustive()
    }
}

fn broken(error: io::Error) -> Error {
    Error::usage("cannot write to standard output").because(error)
}
