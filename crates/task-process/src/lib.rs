//! Both halves of the boundary between a worker and its task executors.

mod message;

pub use message::{OutputInfo, Paths, TaskReport, TaskRequest, VERSION};
