//! Why a task cannot be made ready.

/// All that is wrong, so that everything can be mended at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.join("; "))]
pub struct Error {
    /// One sentence each, with the setting or key to change.
    pub problems: Vec<String>,
}

impl Error {
    /// `Ok` if nothing is wrong.
    pub(crate) fn unless_empty(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}
