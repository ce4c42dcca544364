//! Pictures of a DAG: in the terminal, as Mermaid, DOT and SVG.
//!
//! ```text
//! Graph --fold--> View (fan-outs as one item, implied edges left out) --+--> draw: boxes | labels | list | summary
//!                                                                       +--> mermaid
//!                                                                       +--> svg (same layout as `draw`)
//! Graph ------------------------------------------------------------------> dot (everything, as written)
//! ```
//! Pure text work: knows no terminal, no clock, no queue.

mod dag;
mod fold;
mod view;

mod layers;
mod order;
mod place;
mod rank;
mod route;
mod sketch;

mod canvas;
mod draw;
mod list;
mod paint;

mod dot;
mod mermaid;
mod svg;

pub use dag::{Graph, Node, Options};
pub use dot::dot;
pub use draw::draw;
pub use mermaid::mermaid;
pub use svg::svg;

pub(crate) use fold::folds;

#[cfg(test)]
mod reader;
#[cfg(test)]
mod tests;
