//! The files that the tasks of a job share: trait [`JobFiles`], and [`Fs`], where they are a folder.
//!
//! A store keeps an [`Area`] for each job. Paths inside it are [`JobPath`]s: relative, without `..`, any bytes; no
//! operation leaves the area by a link. Under `fs` the area is the tasks' working directory; staged stores (objects)
//! copy it in before an attempt and publish what it made after it.
//!
//! This crate knows no queue, no executor and no configuration. Its `async` functions of the folder backend do file
//! IO in the calling thread: call them where that is well.

mod diff;
mod error;
mod export;
mod fs;
mod path;
mod store;

pub use diff::{Difference, diff};
pub use error::Error;
pub use export::{Exported, export};
pub use fs::Fs;
pub use path::{InvalidPath, JobPath, matches};
pub use store::{Area, Capabilities, Entry, JobFiles, Kind, Staged, StoreId};
