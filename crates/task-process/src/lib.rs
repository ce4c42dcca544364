//! Both halves of the boundary between a worker and its task executors.
//!
//! ```text
//! worker                                             task executor (one process per task)
//!   Spares::take ── spawn ──────────────────────────▶ run: blocked on standard input
//!   (commit: attempt, nonce, pid, start time, boot id)
//!   Spare::send ── frame + slots (SCM_RIGHTS) ──────▶ executor.start, handle file, wait
//!                      report file ◀──────────────── tmp + rename: the record
//!   Inbox::recv ◀───── ZMTP over ipc ─────────────── the message: what makes it fast
//!   Running::exited ◀─ pidfd ────────────────────── exit
//! ```
//!
//! Invariants: nothing is launched before its request is complete; a report counts only with the recorded nonce; the
//! end of a task executor without report is never success; no descriptor of the worker reaches a task.
//!
//! The task executor's side uses no tokio and no libzmq: it is exec'ed once per task.

pub mod aside;
mod codec;
mod control;
pub mod debug;
mod endpoint;
mod error;
pub mod exit;
mod file;
mod identity;
mod inbox;
mod lease;
mod lock;
mod message;
mod outbox;
mod readiness;
mod reports;
mod run;
mod running;
mod slots;
mod spawn;
mod stray;
mod template;

pub use codec::{MAX_REPORT, MAX_REQUEST, decode_report, decode_request, encode_report, encode_request};
pub use endpoint::{MAX_SOCKET_PATH, RunDir, worker_name};
pub use error::Error;
pub use identity::{badge, boot_id, current, has_ended, host_id, identify, is_alive};
pub use inbox::Inbox;
pub use lease::{Lease, boottime_now, deadline_in};
pub use lock::WorkerLock;
pub use message::{OutputInfo, Paths, TaskReport, TaskRequest, VERSION};
pub use outbox::{LINGER, send_message};
pub use reports::{JobDir, Leftover, Places, read_handle, read_report, remove, remove_kept};
pub use run::run;
pub use running::{Exit, Running};
pub use slots::{SlotGuard, Slots};
pub use spawn::{Spare, Spares};
pub use stray::{strays, title};
