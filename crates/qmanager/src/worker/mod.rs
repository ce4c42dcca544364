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

use std::{fmt, path::Path, sync::Arc};

use executor::Executor;
use task_process::aside::Elsewhere;
use workflow_model::ExecutorKind;

pub use error::Error;
pub use process::run;
pub(crate) use process::{ABANDONED, KEPT, REFUSED};

/// The executors of this build: those of this program, and those that are in the task executor with SDKs alone.
#[derive(Clone, Default)]
pub struct Registry {
    own: Vec<Arc<dyn Executor>>,
    elsewhere: Vec<ExecutorKind>,
}

/// The task executor of the executors that need no SDK, and that of the others.
const PROGRAMS: (&str, &str) = ("task-executor", "task-executor-sdk");

impl Registry {
    /// A registry of these.
    #[must_use]
    pub fn new(own: Vec<Arc<dyn Executor>>, elsewhere: Vec<ExecutorKind>) -> Self {
        Self { own, elsewhere }
    }

    /// Whether this build has an executor of that kind.
    #[must_use]
    pub fn has(&self, kind: ExecutorKind) -> bool {
        self.elsewhere.contains(&kind) || self.own.iter().any(|executor| executor.kind() == kind)
    }

    /// The name of the task executor's program for that kind.
    #[must_use]
    pub fn program(&self, kind: ExecutorKind) -> &'static str {
        if self.elsewhere.contains(&kind) { PROGRAMS.1 } else { PROGRAMS.0 }
    }

    /// The executor of a kind, by this program or by `task_executor`.
    #[must_use]
    pub fn get(&self, kind: ExecutorKind, task_executor: &Path) -> Option<Arc<dyn Executor>> {
        if self.elsewhere.contains(&kind) {
            return Some(Arc::new(Elsewhere::new(kind, task_executor.to_path_buf())));
        }
        self.own.iter().find(|executor| executor.kind() == kind).cloned()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.own.iter().map(|executor| executor.kind());
        f.debug_list().entries(own.chain(self.elsewhere.iter().copied())).finish()
    }
}
