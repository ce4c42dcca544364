//! What a person sees of a job while it runs, and at its end.
//!
//! ```text
//! TaskRow --update--> Board (counts per row: a task or a fan-out) --+--> live: a frame that is redrawn in place
//!                                                                   +--> plain: lines, one for each thing that happened
//! TaskRow, JobRow, tails of logs --> Summary --> text (written) | JSON
//! ```
//! `run`, `wait` and `status -f` feed it from notices or from polls. Pure text work: time is passed in, nothing is
//! read or written; the caller prints what it is given, at most ten times a second.

mod board;
mod live;
mod plain;
mod show;
mod summary;
mod written;

pub use show::{Options, Progress};
pub use summary::{Failure, Summary, SummaryRow};
pub use written::Look;

#[cfg(test)]
mod tests;
