//! What a workflow is: parse, validate, diagnose; ids; statuses; JSON Schema.

mod id;
mod status;

pub use id::{Attempt, Epoch, InvalidId, JobId, Nonce, QueueName, TaskIx, TaskName};
pub use status::{Cause, ExecutorKind, JobStatus, TaskStatus};
