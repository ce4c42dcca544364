//! Parallelism is a limit of the host: `slots/NN`, one flock each, shared by all workers of a run-dir.
//!
//! A slot belongs to an open file description. The worker holds a descriptor of it and hands a copy to the task executor
//! (SCM_RIGHTS), so the slot stays taken until *both* are gone: a worker that goes on with the next task never lets go,
//! and a slot whose worker died is free when its task executor ends. Waiting is by inotify: a worker that lets go
//! touches the file after the lock is gone; the end of an orphaned task executor closes it.
//!
//! Nobody starves: a worker that waits says so (`wanted`), and the others let go of a slot now and then. One that waits
//! for several at once takes the turn (`turn`): while it has it, nobody else takes a slot, so that they come together.

mod file;
mod share;
mod state;
mod watch;

pub use share::{SlotGuard, Slots};
