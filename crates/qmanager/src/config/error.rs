//! What is wrong with a configuration.

use std::{io, path::PathBuf};

/// What is wrong with a configuration. Every variant says where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value, a key or the syntax is wrong.
    #[error("{place}: {what}")]
    Invalid {
        /// `FILE:LINE:COLUMN`, a variable or a flag.
        place: String,
        /// What is wrong.
        what: String,
        /// What to write instead.
        hint: Option<String>,
    },
}

impl From<Error> for crate::exit::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Read { path, source } => Self::usage(format!("cannot read {}", path.display())).because(source),
            Error::Invalid { place, what, hint } => {
                let made = Self::usage(format!("{place}: {what}"));
                hint.into_iter().fold(made, Self::hint)
            }
        }
    }
}
