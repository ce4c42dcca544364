//! With which code a task executor itself ends. A hint for logs and for how long to wait for a message; what counts is
//! the report (F05).

/// The report is stored, and the worker has it (or no reply was asked for); or nothing was asked of it at all.
pub const DELIVERED: u8 = 0;
/// The request was incomplete or not understood: nothing was launched.
pub const BAD_REQUEST: u8 = 2;
/// The report is stored; no worker took it within 2 s (F19).
pub const ON_DISK: u8 = 3;
/// The report could not be stored (a full disk); the worker has it by message.
pub const MESSAGE_ONLY: u8 = 4;
/// The report could be neither stored nor delivered.
pub const NOWHERE: u8 = 5;
/// It was called by hand without arguments and has explained itself.
pub const EXPLAINED: u8 = 64;
