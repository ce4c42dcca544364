//! What is wrong with a file: all of it at once, each with its place, the task, and what to write instead.

use std::fmt;

use crate::render::Excerpt;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1.
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
    /// What to write instead. Free of control characters.
    pub help: Option<String>,
    /// Other places that belong to it, with a note each.
    pub related: Vec<(Place, String)>,
}

/// All that is wrong with one file, in the order of the file, with what is needed of the source to show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    pub(crate) file: String,
    pub(crate) list: Vec<Problem>,
    pub(crate) more: usize,
    /// Sorted by place.
    pub(crate) excerpts: Vec<(Place, Excerpt)>,
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

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.severity == Severity::Error)
    }
}

impl std::error::Error for Problems {}
