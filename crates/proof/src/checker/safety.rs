//! Safety: what must never be seen, however the faults fall.

use std::collections::BTreeMap;

use super::view::{CLOCKS, View, is_loss, is_terminal};
use crate::{
    audit::Changed,
    history::{Answer, What},
    nemesis::Kind,
    plan::{Body, When},
};

/// I2: at most one transition into a terminal state, none out of it but by a user's retry, which is a new round.
pub(super) fn terminal_states_are_absorbing(view: &View<'_>, found: &mut Vec<String>) {
    for (job, changes) in &view.jobs {
        let mut job_state: Option<(&str, u32)> = None;
        let mut tasks: BTreeMap<usize, &str> = BTreeMap::new();
        let mut reset = false;
        for change in changes {
            match &change.what {
                Changed::Job { status, .. } => {
                    let same_round = job_state.is_none_or(|(_, round)| round == change.round);
                    if reset && same_round {
                        found.push(format!("job {job}: task rows were taken away within round {}", change.round));
                    }
                    reset = false;
                    if let Some((old, round)) = job_state
                        && is_terminal(old)
                        && old != status
                        && !(change.round == round + 1 && status == "queued")
                    {
                        found.push(format!(
                            "job {job}: {old} in round {round}, then {status} in round {}",
                            change.round
                        ));
                    }
                    job_state = Some((status, change.round));
                }
                Changed::Task(row) => {
                    let old = tasks.insert(row.task, &row.status);
                    if let Some(old) = old.filter(|old| is_terminal(old) && *old != row.status) {
                        found.push(format!("job {job} task {}: {old}, then {}", row.task, row.status));
                    }
                }
                Changed::TaskGone { task } => {
                    reset = true;
                    tasks.remove(task);
                }
            }
        }
        let rounds = changes.iter().map(|change| change.round).max().unwrap_or(1);
        let asked = view.evidence.history.iter().filter(|request| {
            request.what == What::Retry && request.job.as_deref() == Some(job) && request.answer != Answer::Fail
        });
        let asked = asked.count();
        if rounds as usize > 1 + asked {
            found.push(format!("job {job}: {rounds} rounds, but {asked} retries were asked for"));
        }
    }
}

/// I5: epochs increase, owners change only with them and not while the old one's lease holds, and nothing is written of
/// a job that nobody has.
pub(super) fn fencing(view: &View<'_>, found: &mut Vec<String>) {
    for (job, changes) in &view.jobs {
        let (mut epoch, mut owner, mut leased) = (0, None, None);
        let mut attempts: BTreeMap<usize, u32> = BTreeMap::new();
        for change in changes {
            if change.epoch < epoch {
                found.push(format!("job {job}: epoch {} after {epoch}", change.epoch));
            }
            match &change.what {
                Changed::Job { owner: new, lease, .. } => {
                    if new.is_some() && *new != owner && change.epoch == epoch {
                        found.push(format!("job {job}: {new:?} has it under epoch {epoch}, as {owner:?} had"));
                    }
                    // Those of PostgreSQL are their hosts', and not in these rows.
                    if new.is_some() && owner.is_some() && *new != owner && leased > Some(change.t) {
                        found.push(format!("job {job}: {new:?} took it from {owner:?}, whose lease held"));
                    }
                    leased = *lease;
                    owner.clone_from(new);
                }
                Changed::Task(row) => {
                    let ours = matches!(row.status.as_str(), "running" | "retrying" | "succeeded" | "failed");
                    let kept = attempts.get(&row.task) == Some(&row.attempt) && is_terminal(&row.status);
                    if ours && owner.is_none() && !kept {
                        found.push(format!(
                            "job {job} task {}: {} was written while nobody had it",
                            row.task, row.status
                        ));
                    }
                    let newest = attempts.entry(row.task).or_default();
                    if row.attempt < *newest {
                        found.push(format!("job {job} task {}: attempt {} after {newest}", row.task, row.attempt));
                    }
                    *newest = (*newest).max(row.attempt);
                }
                Changed::TaskGone { .. } => {}
            }
            epoch = epoch.max(change.epoch);
        }
    }
}

/// I8: a committed success was seen by its own task, with this attempt and code 0.
pub(super) fn no_phantom_success(view: &View<'_>, found: &mut Vec<String>) {
    for change in &view.evidence.audit {
        let Changed::Task(row) = &change.what else { continue };
        let joins = view.task(&change.job, row.task).is_some_and(|task| task.body == Body::Join);
        if row.status != "succeeded" || joins {
            continue;
        }
        let attempt = view.attempts.get(&(change.job.as_str(), row.task, row.attempt));
        let end = attempt.and_then(|attempt| attempt.end);
        if !end.is_some_and(|(t, rc)| rc == 0 && t <= view.time(change) + CLOCKS) {
            found.push(format!(
                "job {} task {} attempt {}: success was committed, the task said {end:?}",
                change.job, row.task, row.attempt
            ));
        }
    }
}

/// I3: when an attempt begins, the end of each dependency is committed, and each success was seen.
pub(super) fn dependency_order(view: &View<'_>, found: &mut Vec<String>) {
    for (&(job, task, n), attempt) in &view.attempts {
        let Some(registered) = attempt.registered else { continue };
        let begin = attempt.begins.first().copied().unwrap_or(i64::MAX);
        let Some(plan) = view.plan(job) else { continue };
        let Some(this) = plan.tasks.get(task) else { continue };
        for &parent in &this.after {
            let mut rows =
                view.jobs[job].iter().rev().filter(|change| change.seq < registered.seq).filter_map(|change| {
                    match &change.what {
                        Changed::Task(row) if row.task == parent => Some(row),
                        _ => None,
                    }
                });
            let Some(row) = rows.next().filter(|row| is_terminal(&row.status)) else {
                found.push(format!("job {job} task {task} attempt {n}: recorded before the end of task {parent} was"));
                continue;
            };
            let allowed = match row.status.as_str() {
                "succeeded" => true,
                "failed" => this.when != When::Success || plan.tasks[parent].allow_failure,
                // A task that was not needed hides no failure; whether one is above it is judged by I16.
                _ => true,
            };
            let seen = row.status != "succeeded"
                || plan.tasks[parent].body == Body::Join
                || view
                    .attempts
                    .get(&(job, parent, row.attempt))
                    .and_then(|parent| parent.end)
                    .is_some_and(|(t, _)| t <= begin);
            if !allowed || !seen {
                found.push(format!("job {job} task {task} attempt {n}: began after task {parent} was {}", row.status));
            }
        }
    }
}

/// I4: an attempt is recorded before it begins, begins once, and is over when the next one begins.
pub(super) fn one_live_attempt(view: &View<'_>, found: &mut Vec<String>) {
    for (&(job, task, n), attempt) in &view.attempts {
        let what = format!("job {job} task {task} attempt {n}");
        if attempt.begins.len() > 1 {
            found.push(format!("{what}: began {} times", attempt.begins.len()));
        }
        if let Some(&begin) = attempt.begins.first()
            && attempt.registered.is_none_or(|change| view.time(change) > begin + CLOCKS)
        {
            found.push(format!("{what}: began before it was recorded"));
        }
        let before = view.of_task(job, task).filter(|((.., other), _)| *other < n);
        for ((.., other), earlier) in before {
            if attempt.begins.iter().any(|begin| *begin < earlier.last) {
                found.push(format!("{what}: began while attempt {other} lived"));
            }
        }
        if let Some((closed, _)) = attempt.closed
            && attempt.last > view.time(closed) + CLOCKS + 2_000
        {
            let late = attempt.last - view.time(closed);
            found.push(format!("{what}: lived {late} µs after its end was committed"));
        }
    }
}

/// I20: whose task executor was killed without the task having said that it succeeded, did not succeed.
pub(super) fn unknown_is_never_success(view: &View<'_>, found: &mut Vec<String>) {
    for fault in view.faults().filter(|fault| matches!(fault.kind, Kind::KillExecutor | Kind::StopExecutor)) {
        let Some((job, task, n)) = &fault.attempt else { continue };
        let Some(attempt) = view.attempts.get(&(job.as_str(), *task, *n)) else { continue };
        let said = attempt.end.is_some_and(|(_, rc)| rc == 0);
        if !said && attempt.closed.is_some_and(|(_, row)| row.status == "succeeded") {
            found.push(format!("job {job} task {task} attempt {n}: success, though its task executor was killed"));
        }
    }
}

/// I6: at most one success in a round; every attempt after a loss has a fault that explains it.
pub(super) fn one_success_and_no_run_without_reason(view: &View<'_>, found: &mut Vec<String>) {
    let mut successes: BTreeMap<(&str, usize, u32), Vec<u32>> = BTreeMap::new();
    for change in &view.evidence.audit {
        let Changed::Task(row) = &change.what else { continue };
        if row.status == "succeeded" {
            successes.entry((&change.job, row.task, change.round)).or_default().push(row.attempt);
        }
    }
    for ((job, task, round), mut attempts) in successes {
        attempts.dedup();
        if attempts.len() > 1 {
            found.push(format!("job {job} task {task}: attempts {attempts:?} succeeded in round {round}"));
        }
    }
    for (&key, attempt) in &view.attempts {
        let Some((_, row)) = attempt.closed else { continue };
        if is_loss(row.cause) && attempt.end.is_none_or(|(_, rc)| rc != 0) && !view.may_be_lost(key) {
            let (job, task, n) = key;
            found.push(format!("job {job} task {task} attempt {n}: lost ({:?}) without a fault", row.message));
        }
    }
}

/// I9: whoever ended with 0, and was neither stopped nor hit, has succeeded.
pub(super) fn no_lost_success(view: &View<'_>, found: &mut Vec<String>) {
    for (&key, attempt) in &view.attempts {
        let (Some((_, 0)), Some((_, row))) = (attempt.end, attempt.closed) else { continue };
        if row.status != "succeeded" && attempt.stopping.is_empty() && !view.may_be_lost(key) {
            let (job, task, n) = key;
            found.push(format!(
                "job {job} task {task} attempt {n}: ended with 0, recorded as {} {:?}",
                row.status, row.cause
            ));
        }
    }
}

/// I7: retries and losses stay within their bounds; what a task did itself is counted by what it said.
pub(super) fn retry_bound(view: &View<'_>, found: &mut Vec<String>) {
    const CRASH_LIMIT: u32 = 5;
    let mut failures: BTreeMap<(&str, usize, u32), u32> = BTreeMap::new();
    for (&(job, task, _), attempt) in &view.attempts {
        let Some((change, row)) = attempt.closed else { continue };
        let Some(plan) = view.task(job, task) else { continue };
        if row.retries > plan.retry {
            found.push(format!("job {job} task {task}: {} retries of {}", row.retries, plan.retry));
        }
        if row.losses > CRASH_LIMIT {
            found.push(format!("job {job} task {task}: lost {} times, the limit is {CRASH_LIMIT}", row.losses));
        }
        if attempt.end.is_some_and(|(_, rc)| rc != 0) && attempt.stopping.is_empty() && !is_loss(row.cause) {
            let count = failures.entry((job, task, change.round)).or_default();
            *count += 1;
            if *count > plan.retry + 1 {
                found.push(format!("job {job} task {task}: failed {count} times in a round, {} retries", plan.retry));
            }
        }
    }
}

/// I10: what is recorded of an end is what the task did; an end by signal is no success.
pub(super) fn exit_fidelity(view: &View<'_>, found: &mut Vec<String>) {
    for (&(job, task, n), attempt) in &view.attempts {
        let Some((_, row)) = attempt.closed else { continue };
        let Some(plan) = view.task(job, task) else { continue };
        let cause = row.cause;
        // Who kills everything on a host kills tasks whose executors may still have said so.
        if view.is_killed_with_its_host((job, task, n)) {
            continue;
        }
        // How a container ends whose engine or holder was killed is told by the engine, which names itself; a success is
        // not for it to tell.
        if view.is_container_ended((job, task, n)) && row.status != "succeeded" {
            continue;
        }
        if is_loss(cause) || row.status == "waiting" || !attempt.stopping.is_empty() || plan.body == Body::Join {
            continue;
        }
        let right = match attempt.end {
            Some((_, rc)) if row.implied => rc != 0,
            None if row.implied => plan.timeout.is_some(),
            Some((_, 0)) => row.status == "succeeded",
            // It would have been retried, and the job was cancelled in the same step.
            Some((_, rc)) if cause == Some("cancelled") => row.code == Some(rc),
            // The init of a container hands on the code, not the signal.
            Some((_, rc)) if rc > 128 && view.evidence.about.docker => {
                row.status != "succeeded" && matches!(cause, Some("signal" | "user_exit")) && row.code == Some(rc)
            }
            Some((_, rc)) if rc > 128 => row.status != "succeeded" && cause == Some("signal") && row.code == Some(rc),
            Some((_, rc)) => row.status != "succeeded" && cause == Some("user_exit") && row.code == Some(rc),
            None => match cause {
                Some("timeout") => plan.timeout.is_some(),
                other => matches!(other, Some("cancelled")),
            },
        };
        if !right {
            found.push(format!(
                "job {job} task {task} attempt {n}: said {:?}, recorded as {} {cause:?} {:?}",
                attempt.end, row.status, row.code
            ));
        }
    }
}
