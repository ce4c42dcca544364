//! When a task may start and what its end means: a pure state machine for DAGs, without runtime, clock or IO.
//!
//! A [`Plan`] says what there is: tasks by index, each with a [`Policy`], and edges. A [`Scheduler`] runs one job of
//! it: the driver feeds [`Event`]s with the [`Time`] to [`Scheduler::apply`] and performs the [`Action`]s that come
//! out. The driver brings everything else: clock, timers, threads or processes, storage, and what a task *is*.
//!
//! ```
//! use dag_scheduler::{Action, End, Event, JobEnd, Limits, Plan, Policy, Scheduler, Time};
//!
//! let mut plan = Plan::new();
//! let fetch = plan.task(Policy::default(), &[]);
//! let train = plan.task(Policy::default(), &[fetch]);
//!
//! let mut scheduler = Scheduler::from_plan(&plan, Limits { parallel: 2 });
//! let mut out = Vec::new();
//! scheduler.apply(Event::Opened, Time::ZERO, &mut out)?;
//! for expected in [fetch, train] {
//!     let Some(Action::Start { task, attempt }) = out.pop() else { unreachable!() };
//!     assert_eq!(task, expected);
//!     let end = End::Succeeded;
//!     scheduler.apply(Event::Reported { task, attempt, end }, Time::ZERO, &mut out)?;
//! }
//! assert_eq!(out, [Action::Finish(JobEnd::Succeeded)]);
//! # Ok::<(), dag_scheduler::IllegalEvent>(())
//! ```
//!
//! # What a driver does
//! 1. `apply` the event; 2. persist the rows of [`Scheduler::drain_changes`]; 3. perform the actions. In this order:
//!    what is done is always on record. After a crash, [`Scheduler::restore`] takes the rows, and the driver reports
//!    what became of the attempts that were running. [`Scheduler::replay`] does the same from a log of events.
//!
//! # What it costs
//! Work per event is proportional to the edges of the tasks that the event decides, never to the size of the plan;
//! only a request to cancel looks at every task, once or twice in a job's life. A task takes less than 200 bytes.
#![deny(clippy::wildcard_enum_match_arm)]

mod advance;
mod check;
mod event;
mod flat;
mod graph;
mod id;
mod plan;
mod react;
mod restore;
mod scheduler;
mod state;
mod transition;
mod view;
#[cfg(feature = "workflow")]
mod workflow;

pub use event::{Action, Cause, End, Event, IllegalEvent, JobEnd, Limits, StopHow, StopWhy};
pub use id::{Attempt, TaskIx, Time, Timer};
pub use plan::{Cycle, Plan, Policy, Retry, Rules, When};
pub use restore::IllegalRow;
pub use scheduler::Scheduler;
pub use state::{Counts, Row, TaskState};
pub use view::Why;
