//! What a workflow is: parse, validate, diagnose; ids; statuses; JSON Schema.
//!
//! A workflow file is a *list* of task definitions, YAML or JSON; a *mapping* is a job definition: a workflow with what one
//! run of it needs. [`load`] reads either, and answers all that is wrong with a file at once. This crate does no IO.
//!
//! ```
//! use workflow_model::{Definition, LoadOptions, load};
//!
//! let text = b"
//! - name: fetch
//!   params: {command: curl -sSfo data.csv https://example.org/data.csv}
//! - name: count
//!   depends: [fetch]
//!   params: {command: [wc, -l, data.csv]}
//! ";
//! let Definition::Workflow(workflow) = load(text, &LoadOptions::new("count.yaml"))?.value else { unreachable!() };
//! let count = workflow.find("count").expect("it is there");
//! assert_eq!(workflow.deps(count), [workflow.find("fetch").expect("it is there")]);
//!
//! let problems = load(b"- name: a\n  depend: [b]\n  timeout: 30\n", &LoadOptions::new("a.yaml")).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "a.yaml:2:3: error: unknown key `depend` in the task (task \"a\"); did you mean `depends`?\n\
//!      a.yaml:3:12: error: `timeout` \"30\" has no unit: write 30s, 30m or 30h (task \"a\")\n"
//! );
//! # Ok::<(), workflow_model::Problems>(())
//! ```
//!
//! Two ways lead from a text to a [`Workflow`]. *Fast*: JSON without a mistake is decoded in one streaming pass
//! ([`Workflow::from_canonical_json`] too). *Slow*: everything else is first read into a tree with places (YAML by
//! saphyr-parser, then decoded by serde_yaml in step with the tree), and every rule is checked on the tree. Both keep the
//! same rules; tests and a fuzz target compare them.

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
mod schema;

pub use error::Error;
pub use id::{Attempt, Epoch, InvalidId, JobId, LimitKey, Nonce, QueueName, TaskIx, TaskName};
pub use job::{FileCopy, JobDefinition, WorkflowSource};
pub use load::{Definition, Limits, LoadOptions, Loaded, load, load_workflow};
pub use problem::{Place, Problem, Problems, Severity};
pub use schema::{job_schema, workflow_schema};
pub use status::{Cause, ExecutorKind, JobStatus, TaskStatus};
pub use task::{Command, EnvValue, Input, Params, Request, Resources, Retry, Task, Volume, VolumeSource, When};
pub use units::{InvalidUnit, format_duration, format_size, parse_duration, parse_size};
pub use workflow::Workflow;
