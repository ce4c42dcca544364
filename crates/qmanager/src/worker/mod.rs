//! QWorker: takes one job at a time from the queue and drives it to its end.
//!
//! ```text
//!  reports (Q socket) ─┐
//!  ends of processes ──┼─► Event ─► Run::handle ─► scheduler ─► rows ─► queue.record ─► launch, stop, …
//!  manager, timers ────┘            (one loop turn: everything that has come, one commit, then the effects)
//! ```
//!
//! *Record before act* holds at one place, `turn`: the rows are committed, then the effects performed. What
//! the worker knows is in the rows and the report files; it can be killed between any two steps, and the next worker
//! in its slot goes on (see `recover`).

mod aftermath;
mod attempt;
mod error;
mod launch;
mod process;
mod record;
mod recover;
mod run;
mod spec;
mod turn;

use std::{fmt, sync::Arc};

use executor::Executor;
use workflow_model::ExecutorKind;

pub use error::Error;
pub(crate) use process::ABANDONED;
pub use process::run;

/// The executors that a program was built with.
#[derive(Clone, Default)]
pub struct Registry(Vec<Arc<dyn Executor>>);

impl Registry {
    /// A registry of these.
    #[must_use]
    pub fn new(executors: Vec<Arc<dyn Executor>>) -> Self {
        Self(executors)
    }

    /// The executor of a kind, if this program has it.
    #[must_use]
    pub fn get(&self, kind: ExecutorKind) -> Option<Arc<dyn Executor>> {
        self.0.iter().find(|executor| executor.kind() == kind).cloned()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|executor| executor.kind())).finish()
    }
}
