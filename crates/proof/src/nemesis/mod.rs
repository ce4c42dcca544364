//! The nemesis: a random fault every few seconds, and a record of each.

mod database;
mod inject;
mod kind;
mod world;

pub use inject::{Nemesis, attempt_below};
pub use kind::{Fault, Kind};
pub use world::World;
