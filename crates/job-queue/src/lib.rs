//! Where jobs wait and their state is kept: trait [`JobQueue`], SQLite and PostgreSQL behind it.
//!
//! The queue knows jobs, task rows and leases; it knows no scheduler. Every write after a claim carries the lease's
//! epoch and changes nothing when that is no longer the newest ([`Error::Fenced`]).
//!
//! ```
//! use job_queue::{Filter, OpenOptions};
//!
//! # let folder = tempfile::tempdir()?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! let url = format!("sqlite:{}", folder.path().join("queue.db").display());
//! let queue = job_queue::open(&url, &OpenOptions::default())?;
//! assert!(runtime.block_on(queue.list(&Filter::default()))?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod queue;
mod row;

mod open;

mod sqlite;

mod postgres;

mod wake;

mod cells;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "failpoints")]
pub mod faulty;
mod filter;
mod round;
mod word;

pub use error::{Error, Source};
pub use open::{Check, OpenOptions, is_shared, migrate, open, shown_url};
pub use postgres::{Postgres, ServerHealth};
pub use queue::{Checked, JobEnding, JobQueue};
pub use row::{
    AttemptProcess, CancelHow, Claim, Claimed, Counts, Filter, JobRow, KeyRow, Micros, NewJob, NewRound, Owner, Poll,
    Prune, QueueRow, StopWhy, Submitted, TaskRow,
};
pub use sqlite::{Health, Sqlite};
pub use wake::Wake;
