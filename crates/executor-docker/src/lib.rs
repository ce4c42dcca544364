//! Runs a task as a container of a Docker engine on this host, over its API; no command line tool is needed.
//!
//! ```text
//! create (name and labels of the attempt) -> attach -> standard input -> start -> wait -> inspect -> (logs) -> remove
//! ```
//!
//! The name of the container is made from the attempt, so whoever knows the attempt finds it: a task executor that was
//! killed, an engine that was restarted, a reply that was lost all lead to the same question, *what has become of the
//! container of that name?*, and nothing is started twice. Containers are never removed by the engine itself: one that
//! has ended is the record of its end until the outcome is recorded elsewhere ([`executor::Executor::tidy`]).
//!
//! What an engine says is not always so. When it was restarted it has ended its containers itself and shows that as
//! theirs (exit code 0 among others): an end that nobody of us saw, in a container that is older than the engine's
//! process, is unknown, and unknown is never success.
//!
//! Its futures need a tokio runtime with time and IO; [`DockerExecutor`] brings one for callers that have none.

mod create;
mod credentials;
mod docker;
mod doctor;
mod engine;
mod judge;
mod ladder;
mod message;
mod output;
mod pull;
mod reap;
mod run;
mod shell;
mod stdin;

pub use docker::DockerExecutor;
pub use doctor::{Finding, doctor};
pub use reap::{Found, list, remove};
