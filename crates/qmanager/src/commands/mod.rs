//! The verbs, one file each, and what they share: the context they run in.

mod context;
mod dispatch;

mod closure;
mod engine;
mod holders;
mod load;
mod pairs;
mod pulse;
mod screen;
mod serving;

mod run;
mod start;
mod stop;
mod submit;

mod explain;
mod files;
mod graph;
mod list;
mod logs;
mod status;
mod wait;

mod cancel;
mod prune;
mod queue;
mod request;
mod retry;

mod check;
mod completions;
mod config;
mod doctor;
mod man;
mod schema;

pub use dispatch::main;
