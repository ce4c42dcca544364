//! What a workflow is: parse, validate, diagnose; ids; statuses; JSON Schema.

mod id;
mod status;
mod units;

mod job;
mod task;
mod workflow;

mod graph;

mod load;

mod check;
mod suggest;

mod body;
mod fast;
mod wire;

mod decode;
mod json;
mod read;
mod tree;
mod yaml;

mod problem;
mod render;
mod report;
mod shown;

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
