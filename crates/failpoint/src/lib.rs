//! Named points in the life of a job at which the crash matrix (`cargo xtask soak --matrix`) meets a program: it is held
//! there while something is done to it or to another, and then goes on, or is told to fail what it has just done.
//!
//! Without the feature `on`, which no release has, [`at`] is nothing. With it, a program asks once whether there is a
//! folder `failpoints` beside it; where there is none, [`at`] is next to nothing.

#[cfg(feature = "on")]
mod armed;
mod point;

#[cfg(feature = "on")]
pub use armed::folder;
pub use point::{Point, at};
