//! Named points in the life of a job at which the crash matrix (`cargo xtask soak --matrix`) meets a program: it is held
//! there while something is done to it or to another, and then goes on, or is told to fail what it has just done.
//!
//! It also plants bugs: [`has`] says whether this program is to have one, which the proof's checker must then find.
//!
//! Without the feature `on`, which no release has, [`at`] and [`has`] are nothing. With it, a program asks once whether there is a
//! folder `failpoints` beside it; where there is none, they are next to nothing.

#[cfg(feature = "on")]
mod armed;
mod bug;
mod point;

#[cfg(feature = "on")]
pub use armed::folder;
pub use bug::{Bug, has};
pub use point::{Point, at};
