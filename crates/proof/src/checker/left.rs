//! What is left: processes, files, secrets, the database, and what people were shown.

use std::collections::BTreeMap;

use super::view::{View, is_terminal};
use crate::{
    history::{Answer, What},
    nemesis::Kind,
};

/// A WAL may be this large: twice its limit.
const WAL: u64 = 128 << 20;
/// What a process that is killed may still say.
const LAST_WORD: i64 = 300_000;

/// I14: nothing outlives its attempt, or the stop.
pub(super) fn nothing_left_behind(view: &View<'_>, found: &mut Vec<String>) {
    found.extend(view.evidence.snapshot.left.iter().cloned());
    found.extend(view.evidence.snapshot.surprises.iter().cloned());
    for (&(job, task, n), attempt) in &view.attempts {
        let (Some(grandchild), Some((closed, _))) = (attempt.grandchild, attempt.closed) else { continue };
        let late = grandchild - view.time(closed);
        if late > LAST_WORD {
            found.push(format!("job {job} task {task} attempt {n}: its grandchild lived {late} µs after its end"));
        }
    }
}

/// I11: logs are what the tasks wrote.
pub(super) fn log_fidelity(view: &View<'_>, found: &mut Vec<String>) {
    for log in &view.evidence.snapshot.logs {
        let (job, task, n) = &log.attempt;
        let attempt = view.attempts.get(&(job.as_str(), *task, *n));
        let life = attempt.and_then(|attempt| Some((*attempt.begins.first()?, view.time(attempt.closed?.0))));
        // On a full disk the end of a log is lost, and the report says how much.
        let full = life.is_some_and(|(from, to)| {
            view.faults().any(|fault| fault.kind == Kind::FullDisk && fault.t.0 <= to && fault.t.1 >= from)
        });
        if !(log.cut && full) {
            found.push(format!("job {job} task {task} attempt {n}: its log is not what it wrote"));
        }
    }
}

/// I22: the secret stands nowhere.
pub(super) fn no_secret_leaves(view: &View<'_>, found: &mut Vec<String>) {
    found.extend(view.evidence.snapshot.secrets.iter().map(|path| format!("the secret stands in {path}")));
}

/// I23: the database is sound.
pub(super) fn database_health(view: &View<'_>, found: &mut Vec<String>) {
    let health = &view.evidence.health;
    found.extend(health.problems.iter().cloned());
    if health.wal > WAL {
        found.push(format!("the WAL has {} bytes", health.wal));
    }
}

/// I25: a reader who saw a terminal state of a round sees no other one of it later.
pub(super) fn monotone_reads(view: &View<'_>, found: &mut Vec<String>) {
    let mut seen: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    let mut looks: Vec<_> = view.evidence.history.iter().filter(|request| request.what == What::Status).collect();
    looks.sort_by_key(|request| request.t);
    let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
    for look in looks {
        let (Some(job), Answer::Seen(round, status)) = (look.job.as_deref(), &look.answer) else { continue };
        let latest = newest.entry(job).or_default();
        if *round < *latest {
            found.push(format!("job {job}: round {round} was shown after round {latest}"));
        }
        *latest = (*latest).max(*round);
        if let Some(old) = seen.insert((job, *round), status)
            && is_terminal(old)
            && old != status
        {
            found.push(format!("job {job} round {round}: {old} was shown, then {status}"));
        }
    }
}
