//! The proof that nothing is lost, from outside: random jobs, random faults, and a checker that believes only what it
//! can see for itself.
//!
//! A run ([`soak`]) starts QManagers, submits random workflows ([`plan`]) through the command line ([`client`]) and
//! injects a random fault every few seconds ([`nemesis`]). Meanwhile four observers write evidence:
//!
//! - **W**, the witness log: each test task writes its own beginning, signs of life and end ([`witness`], [`task`]);
//! - **H**, the client's history: what was asked for, and what was answered ([`history`]);
//! - **A**, the audit trail: triggers in the database copy every change of a job or task row ([`audit`]);
//! - **S**, the snapshot: processes and files that are left after the stop ([`snapshot`]).
//!
//! The [`checker`] judges the invariants I1 to I25 from [`evidence`] alone. This crate uses no other crate of the
//! workspace: what it says about the product is not said with the product's code.

pub mod audit;
pub mod calls;
pub mod checker;
pub mod client;
pub mod clock;
pub mod dice;
pub mod engine;
pub mod evidence;
pub mod ground;
pub mod history;
pub mod host;
pub mod matrix;
pub mod nemesis;
pub mod plan;
pub mod planted;
pub mod process;
pub mod proxy;
pub mod server;
pub mod snapshot;
pub mod soak;
pub mod task;
pub mod witness;
