//! A job definition: a workflow with what one run of it needs. The same schema for `submit`, HTTP and SQL.

use std::{collections::BTreeMap, time::Duration};

use crate::{EnvValue, LimitKey, Workflow};

/// What a top-level mapping says.
#[derive(Debug, Clone, PartialEq)]
pub struct JobDefinition {
    /// A name for people.
    pub name: Option<String>,
    /// What to run.
    pub workflow: WorkflowSource,
    /// Environment for all tasks, in the order of the file: above the host's configuration, below a task's own.
    pub env: Vec<(String, EnvValue)>,
    /// Copied into the job files before the start.
    pub files: Vec<FileCopy>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Higher first.
    pub priority: i32,
    /// Not before this moment, in microseconds since 1970.
    pub run_at: Option<i64>,
    /// Idempotency key.
    pub key: Option<String>,
    /// What it shares a limit with: so many jobs of the queue with this key run at once as `queue limit` says.
    pub limit_key: Option<LimitKey>,
    /// Ends the job when it runs longer.
    pub timeout: Option<Duration>,
}

/// Where a job definition's workflow is.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkflowSource {
    /// Written in place.
    Inline(Workflow),
    /// In this file, relative to the folder of the job definition. This crate reads no files: read it, give its bytes to
    /// [`load_workflow`](crate::load_workflow).
    File(String),
}

/// `SRC[:DST]`: a file or folder that is put into the job files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCopy {
    /// Where it is; relative to the folder of the job definition.
    pub source: String,
    /// Where it goes: relative to the job files, without `..`; `None` = the source's own name.
    pub target: Option<String>,
}
