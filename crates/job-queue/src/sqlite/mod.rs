//! The queue in one SQLite file, for the processes of one host.

mod queue;

mod claim;
mod end;
mod lease;
mod record;
mod submit;

mod cancel;
mod keys;
mod manage;
mod prune;
mod retry;

mod poll;
mod read;

mod codec;

mod db;
mod health;
mod open;
mod place;
mod schema;

#[cfg(test)]
mod plans;

pub use health::Health;
pub use queue::Sqlite;
