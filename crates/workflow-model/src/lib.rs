//! What a workflow is: parse, validate, diagnose; ids; statuses; JSON Schema.

mod id;
mod status;
mod units;

mod job;
mod task;
mod workflow;

mod graph;

mod load;
mod problem;

mod body;
mod check;
mod fast;
mod wire;

mod canonical;
mod error;

pub use error::Error;
pub use id::{Attempt, Epoch, InvalidId, JobId, Nonce, QueueName, TaskIx, TaskName};
pub use job::{FileCopy, JobDefinition, WorkflowSource};
pub use load::{Definition, Limits, LoadOptions, Loaded, load, load_workflow};
pub use problem::{Place, Problem, Problems, Severity};
pub use status::{Cause, ExecutorKind, JobStatus, TaskStatus};
pub use task::{Command, EnvValue, Input, Params, Request, Resources, Retry, Task, Volume, VolumeSource, When};
pub use units::{InvalidUnit, format_duration, format_size, parse_duration, parse_size};
pub use workflow::Workflow;
