//! QManager: keeps the workers of a host, renews their leases, and wakes them when there is something to do.
//!
//! ```text
//!   wake file ──┐                        ┌── socket pair ── qworker default00
//!   poll floor ─┼─► Event ─► handle ─► ──┼── socket pair ── qworker default01
//!   signals ────┘      ▲                 └── …
//!   workers' words ────┘        (handle is synchronous; queue calls run beside it and come back as events)
//! ```
//!
//! It never touches a task: those belong to the workers, and outlive both.

mod beat;
mod error;
mod interrupted;
mod leases;
mod lock;
mod notify;
mod options;
mod polling;
mod reap;
mod serve;
mod serving;
mod state;
mod stopping;
mod sweep;
mod takeover;
mod workers;

pub use error::Error;
pub(crate) use interrupted::Interrupted;
pub use options::{Options, Pool, Times};
pub use serve::{Ended, Manager, Notice, Watch};
pub use state::{ManagerState, StopRequest, WorkerState};
