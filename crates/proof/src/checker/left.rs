//! What is left: processes, files, secrets, the database, and what people were shown.

use std::collections::BTreeMap;

use super::view::{View, is_terminal};
use crate::history::{Answer, What};

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
    found.extend(view.evidence.snapshot.logs.iter().map(|log| format!("{log} is not what its task wrote")));
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
