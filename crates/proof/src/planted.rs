//! Bugs that are in the programs on purpose (`failpoint::Bug`): a short run with each, which the checker must find fault
//! with, by the invariant that is meant. What the checker's own tests do with forged evidence, with real programs.
//!
//! The programs must be built with the feature `failpoints`.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use rustix::process::Signal;

use crate::{
    checker,
    clock::SECOND,
    nemesis::Kind,
    process,
    soak::{self, Wanted},
};

/// A bug, and who is to find it.
#[derive(Debug)]
pub struct Planted {
    /// Its name, as the programs know it.
    pub name: &'static str,
    /// The invariants of which one must be found broken.
    pub by: &'static [u8],
    /// The faults without which it does no harm.
    faults: &'static [Kind],
    pace: Pace,
}

/// How a run is to be, so that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// Many faults in a short time.
    Dense,
    /// For longer: what it spoils is rare.
    Long,
    /// For longer, with few faults, so that none hides another, and nobody who would step in.
    Slow,
}

/// What the checker said.
#[derive(Debug)]
pub struct Caught {
    /// Whether one of the invariants that are meant did not hold.
    pub right: bool,
    /// Those that did not hold, and how often.
    pub by: Broken,
    /// One violation of those that are meant.
    pub example: String,
}

/// Invariants with the number of their violations.
#[derive(Debug, Default)]
pub struct Broken(BTreeMap<u8, usize>);

/// How long load and faults last.
const LENGTH: i64 = 12 * SECOND;
/// The same where what does harm is rare.
const LONG: i64 = 30 * SECOND;
/// Between two faults.
const EVERY: i64 = SECOND;
/// A user does something to a job about as often.
const MEDDLING: i64 = SECOND / 5;
/// With a bug a run may never come to rest.
const QUIET: i64 = 4 * SECOND;
/// Short, so that it matters within the run.
const LEASE_MS: i64 = 2_000;
/// The evidence of those that are found is of no use; these faults hurt nobody who works as he should.
const MILD: &[Kind] = &[Kind::KillWorker, Kind::KillExecutor];

/// All of them.
pub const ALL: &[Planted] = &[
    Planted { name: "DoubleClaim", by: &[5], faults: &[Kind::KillClient], pace: Pace::Dense },
    Planted { name: "KeyIgnored", by: &[19], faults: &[Kind::KillClient], pace: Pace::Dense },
    Planted { name: "SubmitLost", by: &[1], faults: MILD, pace: Pace::Dense },
    Planted { name: "CountsWrong", by: &[23], faults: MILD, pace: Pace::Dense },
    Planted { name: "LeaseNotRenewed", by: &[6], faults: &[Kind::KillClient], pace: Pace::Dense },
    Planted { name: "DeadWorkerKept", by: &[12], faults: &[Kind::KillWorker], pace: Pace::Slow },
    Planted { name: "WakeIgnored", by: &[18], faults: &[Kind::KillExecutor], pace: Pace::Dense },
    Planted { name: "StopIgnored", by: &[13], faults: &[Kind::Term], pace: Pace::Dense },
    Planted { name: "CancelIgnored", by: &[15], faults: MILD, pace: Pace::Long },
    Planted { name: "FailureHidden", by: &[16], faults: MILD, pace: Pace::Dense },
    Planted { name: "CauseMissing", by: &[21], faults: MILD, pace: Pace::Dense },
    Planted { name: "RetriesUnbounded", by: &[7], faults: MILD, pace: Pace::Dense },
    Planted { name: "EdgeIgnored", by: &[3], faults: MILD, pace: Pace::Dense },
    Planted { name: "LaunchedUnrecorded", by: &[4], faults: MILD, pace: Pace::Dense },
    Planted { name: "SlotsIgnored", by: &[17], faults: MILD, pace: Pace::Dense },
    Planted { name: "PhantomSuccess", by: &[8, 20], faults: &[Kind::KillExecutor], pace: Pace::Dense },
    Planted { name: "SuccessForgotten", by: &[9], faults: &[Kind::KillClient], pace: Pace::Dense },
    Planted { name: "NotAdopted", by: &[4, 6], faults: &[Kind::KillWorker], pace: Pace::Dense },
    Planted { name: "ExitCodeWrong", by: &[10], faults: MILD, pace: Pace::Dense },
    Planted { name: "LogCut", by: &[11], faults: MILD, pace: Pace::Dense },
    Planted { name: "SecretPrinted", by: &[22], faults: MILD, pace: Pace::Dense },
    Planted { name: "ProcessLeaked", by: &[14], faults: MILD, pace: Pace::Long },
];

/// Makes a run with a bug; its folder is removed if the bug was found.
///
/// # Errors
/// The run could not be made.
pub fn run(bug: &Planted, seed: u64, programs: &Path, folder: PathBuf) -> Result<Caught> {
    let wanted = Wanted {
        seed,
        length: if bug.pace == Pace::Dense { LENGTH } else { LONG },
        every: if bug.pace == Pace::Slow { LONG / 4 } else { EVERY },
        workers: if bug.pace == Pace::Slow { 1 } else { 3 },
        kinds: bug.faults.to_vec(),
        bug: Some(bug.name),
        lease_ms: LEASE_MS,
        meddling: MEDDLING,
        quiet: QUIET,
        folder: folder.clone(),
        ..Wanted::new(programs.to_path_buf())
    };
    let evidence = soak::run(&wanted)?;
    let verdict = checker::check(&evidence);
    // Some bugs are that something is left.
    for process in process::all(&evidence.about.run, &folder) {
        process::signal(process.pid, Signal::KILL);
    }
    let mut by = Broken::default();
    let mut example = String::new();
    for violation in &verdict.violations {
        *by.0.entry(violation.invariant).or_default() += 1;
        if example.is_empty() && bug.by.contains(&violation.invariant) {
            example = violation.to_string();
        }
    }
    let right = !example.is_empty();
    if right {
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(Caught { right, by, example })
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(invariant, count)| format!("I{invariant} ({count})")).collect();
        f.write_str(if each.is_empty() { "nothing" } else { "" })?;
        f.write_str(&each.join(", "))
    }
}
