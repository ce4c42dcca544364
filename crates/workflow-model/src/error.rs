//! What can go wrong with a workflow that does not come from a file (a file's errors are [`Problems`](crate::Problems)).

use crate::TaskName;

/// Why something is not a workflow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two tasks have one name.
    #[error("task name {:?} stands twice", .0.as_str())]
    DuplicateName(TaskName),
    /// A task depends on one that is not there.
    #[error("task {:?} depends on {dependency:?}, which does not exist", .task.as_str())]
    UnknownDependency {
        /// The task.
        task: TaskName,
        /// What it names.
        dependency: String,
    },
    /// Tasks wait for each other.
    #[error("tasks wait for each other: {0}")]
    Cycle(String),
    /// More than 2^32 tasks or dependencies.
    #[error("too many tasks or dependencies")]
    TooManyTasks,
    /// A stored definition cannot be read.
    #[error("stored definition cannot be read")]
    Canonical(#[source] serde_json::Error),
}
