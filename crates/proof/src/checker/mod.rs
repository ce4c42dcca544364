//! The checker: judges the invariants I1 to I25 from the evidence of a run, and believes nothing else.
//!
//! Each module has the invariants of one kind, each invariant is one function. A run without effective faults proves
//! nothing and is *invalid*, which is not the same as passed.

mod bounds;
mod ends;
mod figures;
mod left;
mod model;
mod safety;
mod view;

#[cfg(test)]
mod forged;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

pub use figures::{Figures, Recovery};

use crate::{evidence::Evidence, plan::Body};
use view::View;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its number.
    pub invariant: u8,
    /// What was seen.
    pub text: String,
}

/// What the evidence says.
#[derive(Debug)]
pub struct Verdict {
    /// Why the run proves nothing, if so.
    pub invalid: Option<String>,
    /// What did not hold; empty = all invariants held.
    pub violations: Vec<Violation>,
    /// The figures.
    pub figures: Figures,
}

type Check = (u8, fn(&View<'_>, &mut Vec<String>));

/// In the order in which they matter: safety first, then what was promised, then what is left, then time.
const CHECKS: &[Check] = &[
    (2, safety::terminal_states_are_absorbing),
    (5, safety::fencing),
    (8, safety::no_phantom_success),
    (3, safety::dependency_order),
    (4, safety::one_live_attempt),
    (20, safety::unknown_is_never_success),
    (1, ends::accepted_is_durable),
    (6, safety::one_success_and_no_run_without_reason),
    (9, safety::no_lost_success),
    (7, safety::retry_bound),
    (10, safety::exit_fidelity),
    (16, ends::failure_propagation),
    (15, ends::cancel),
    (19, ends::all_or_nothing_submit),
    (21, ends::clear_cause),
    (14, left::nothing_left_behind),
    (11, left::log_fidelity),
    (12, bounds::detection),
    (13, bounds::shutdown_and_start),
    (17, bounds::concurrency),
    (18, bounds::liveness),
    (24, bounds::isolation),
    (22, left::no_secret_leaves),
    (23, left::database_health),
    (25, left::monotone_reads),
];

/// Judges a run.
#[must_use]
pub fn check(evidence: &Evidence) -> Verdict {
    let view = View::new(evidence);
    let mut violations = Vec::new();
    for (invariant, check) in CHECKS {
        let mut found = Vec::new();
        check(&view, &mut found);
        violations.extend(found.into_iter().map(|text| Violation { invariant: *invariant, text }));
    }
    Verdict { invalid: invalid(&view), violations, figures: figures::of(&view) }
}

/// Of so many tasks that leave something in the background, some of that must have been seen.
const FORKED: usize = 3;

fn invalid(view: &View<'_>) -> Option<String> {
    let e = view.evidence;
    if e.about.faults && !e.faults.iter().any(|fault| fault.effective) {
        return Some("no fault had an effect".into());
    }
    if view.attempts.values().all(|attempt| attempt.begins.is_empty()) {
        return Some("no task began".into());
    }
    let hosts: BTreeSet<&str> = e.witness.iter().map(|line| line.host.as_str()).collect();
    if hosts.len() < e.about.managers as usize {
        return Some(format!("of {} QManagers only {hosts:?} ran a task", e.about.managers));
    }
    let forked = |(&(job, task, _), attempt): (&view::Key<'_>, &view::Attempt<'_>)| {
        let forks = view.task(job, task).is_some_and(|task| matches!(task.body, Body::Forks { .. }));
        forks && attempt.end.is_some()
    };
    let left = view.attempts.values().filter(|attempt| attempt.grandchild.is_some()).count();
    let forked = view.attempts.iter().filter(|&entry| forked(entry)).count();
    if forked >= FORKED && left == 0 {
        return Some(format!("{forked} tasks left something in the background, and none of it lived"));
    }
    if e.audit.is_empty() {
        return Some("the audit trail is empty".into());
    }
    None
}

impl Verdict {
    /// Whether the run proves that all invariants held.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.invalid.is_none() && self.violations.is_empty()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I{}: {}", self.invariant, self.text)
    }
}
