//! What every executor must do, as tests that each of them runs (design §7).
//!
//! An executor's crate has a test without harness whose whole `main` is [`main`] with its [`Subject`]. Each case runs
//! the executor in a process of its own, which is this same test program once more: only so can a case kill it, and
//! only so is it used as it is in earnest.

mod bench;
mod child;
mod crash;
mod endings;
mod files;
mod stopping;
mod streams;
mod tree;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};

pub use bench::{Bench, Ended, Running, until};

use crate::{Executor, TaskSpec, inherited};

/// An executor under test.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Makes it.
    pub make: fn() -> Box<dyn Executor>,
    /// Ways to run a task that must make no difference, by name; each case runs once for each.
    pub variants: &'static [Variant],
    /// What it can and cannot do.
    pub abilities: Abilities,
}

/// Where executors differ, and why that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate fact")]
pub struct Abilities {
    /// Tells a death by signal from an exit code over 128 (a container runtime does not).
    pub tells_signals: bool,
    /// A new executor process can wait for a task whose executor was killed; else the task is stopped instead.
    pub reattaches: bool,
    /// The numbers of its processes, as they see them, are those of this host.
    pub local_processes: bool,
    /// The end of a task's first process is the end of all others, in the same moment.
    pub ends_with_its_first_process: bool,
    /// A failed attempt's partial files stay visible in the job files.
    pub keeps_partial_files: bool,
    /// Variables that its world adds to a task's environment.
    pub adds_variables: &'static [&'static str],
}

/// A way to run a task: its name, and what it changes in the specification.
pub type Variant = (&'static str, fn(&mut TaskSpec));

/// A case: works on its bench, asserts or fails.
pub type Case = fn(&Bench) -> Result<(), Failed>;

/// Runs the suite, or a task executor if this process was started as one. `more` are cases of this executor alone.
#[must_use]
pub fn main(subject: Subject, more: &[(&'static str, Case)]) -> ExitCode {
    main_with(subject, more, || Ok(()))
}

/// As [`main`], with something that is needed as long as the cases run; without it there are none.
#[must_use]
pub fn main_with<T>(
    subject: Subject,
    more: &[(&'static str, Case)],
    need: impl FnOnce() -> Result<T, ExitCode>,
) -> ExitCode {
    inherited::shed([]);
    if std::env::args().nth(1).as_deref() == Some(child::FLAG) {
        return child::run(&subject);
    }
    let arguments = Arguments::from_args();
    let held = if arguments.list { None } else { Some(need()) };
    if let Some(Err(code)) = held {
        return code;
    }
    let groups: [&[(&'static str, Case)]; 7] =
        [endings::CASES, streams::CASES, files::CASES, stopping::CASES, tree::CASES, crash::CASES, more];
    let cases: Arc<[(&'static str, Case)]> = groups.concat().into();
    let mut trials = Vec::new();
    for &(variant, adapt) in subject.variants {
        for &(name, case) in cases.iter() {
            let full = if variant.is_empty() { name.to_owned() } else { format!("{variant}::{name}") };
            trials.push(Trial::test(full, move || {
                let bench = Bench::new(subject, adapt)?;
                case(&bench)?;
                bench.nothing_left()
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
