//! The queue in a PostgreSQL database, for any number of hosts.
//!
//! A call is one statement where it can be, so that nothing is ever held open over a round trip; the few that need more
//! lock the job's row first. Nobody holds a transaction while a task runs. Every write of a worker says which epoch it
//! writes under, and repeating any call is safe: that is how broken connections and lost replies are survived.

mod queue;

mod claim;
mod lease;
mod release;
mod step;
mod submit;

mod cancel;
mod define;
mod keys;
mod manage;
mod prune;
mod retry;

mod poll;
mod presence;
mod read;

mod codec;

mod connect;
mod failure;
mod health;
mod lane;
mod schema;
mod session;
mod target;
mod tls;

pub use health::ServerHealth;
pub use queue::Postgres;
pub(crate) use target::{is_postgres, shown};
