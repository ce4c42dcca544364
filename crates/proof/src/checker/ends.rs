//! What was promised to those who asked: accepted is durable, a cancel cancels, a failure spreads as the table says.

use std::collections::BTreeSet;

use super::{
    model::{self, States},
    view::{CLOCKS, View, is_terminal},
};
use crate::{
    audit::Changed,
    history::{Answer, What},
    plan::When,
};

/// How soon a running job sees a cancel.
const SEEN: i64 = 1_000_000;

/// I1: each accepted job is there, and terminal.
pub(super) fn accepted_is_durable(view: &View<'_>, found: &mut Vec<String>) {
    for request in &view.evidence.history {
        let (What::Submit, Answer::Ok, Some(job)) = (request.what, &request.answer, &request.job) else { continue };
        match view.evidence.jobs.iter().find(|end| end.job == *job) {
            None => found.push(format!("job {job} ({}) was accepted and is not there", request.key)),
            Some(end) if !is_terminal(&end.status) => {
                found.push(format!("job {job} ({}) is {}", request.key, end.status));
            }
            Some(_) => {}
        }
    }
    for end in view.evidence.jobs.iter().filter(|end| !is_terminal(&end.status)) {
        found.push(format!("job {} is {} at the end", end.job, end.status));
    }
}

/// I16: recomputed from the tasks' states, everything fits.
pub(super) fn failure_propagation(view: &View<'_>, found: &mut Vec<String>) {
    for end in &view.evidence.jobs {
        let Some(plan) = view.plan(&end.job) else { continue };
        let states: States<'_> = end.tasks.iter().map(|row| (row.task, row.status.as_str())).collect();
        if end.status == "cancelled" {
            let asked = view.evidence.history.iter().any(|request| {
                matches!(request.what, What::Cancel | What::CancelNow)
                    && request.job.as_ref() == Some(&end.job)
                    && request.answer != Answer::Fail
            });
            if !asked {
                found.push(format!("job {} is cancelled, and nobody asked for that", end.job));
            }
            continue;
        }
        if !is_terminal(&end.status) {
            continue; // that is I1's
        }
        for misfit in model::misfits(plan, &states, end.round > 1) {
            found.push(format!("job {}: {misfit}", end.job));
        }
        let status = model::job_status(plan, &states);
        if end.status != status {
            found.push(format!("job {} is {}, its tasks say {status}", end.job, end.status));
        }
    }
    // Nothing that was skipped has begun.
    for end in &view.evidence.jobs {
        for row in end.tasks.iter().filter(|row| row.status == "skipped" && row.attempt == 0) {
            if view.of_task(&end.job, row.task).any(|(_, attempt)| !attempt.begins.is_empty()) {
                found.push(format!("job {} task {} was skipped and began", end.job, row.task));
            }
        }
    }
}

/// I15: after an accepted cancel the job ends as cancelled, and starts nothing but what cleans up.
pub(super) fn cancel(view: &View<'_>, found: &mut Vec<String>) {
    for request in &view.evidence.history {
        let now = match request.what {
            What::Cancel => false,
            What::CancelNow => true,
            _ => continue,
        };
        let (Answer::Ok, Some(job)) = (&request.answer, &request.job) else { continue };
        let Some(changes) = view.jobs.get(job.as_str()) else { continue };
        let answered = request.t.1 + CLOCKS;
        let at_answer = changes.iter().rev().find_map(|change| match &change.what {
            Changed::Job { status, cancel, .. } if view.time(change) <= answered => Some((*change, status, cancel)),
            _ => None,
        });
        let Some((change, status, cancel)) = at_answer else { continue };
        if is_terminal(status) {
            continue;
        }
        if cancel.is_none() {
            // A retry may have opened a new round between the cancel of the old one and the answer.
            let ended_meanwhile = changes.iter().any(|other| {
                matches!(&other.what, Changed::Job { status, .. } if is_terminal(status))
                    && (request.t.0 - CLOCKS..=answered).contains(&view.time(other))
            });
            if !ended_meanwhile && change.round == 1 {
                found.push(format!("job {job}: a cancel was accepted and is not kept"));
            }
            continue;
        }
        let end = changes.iter().find_map(|other| match &other.what {
            Changed::Job { status, .. } if other.round == change.round && is_terminal(status) => Some(status),
            _ => None,
        });
        if end.is_some_and(|end| end != "cancelled") {
            found.push(format!("job {job}: cancelled by its user, ended as {end:?}"));
        }
        starts_nothing(view, job, change.round, now, found);
    }
}

fn starts_nothing(view: &View<'_>, job: &str, round: u32, now: bool, found: &mut Vec<String>) {
    let about = &view.evidence.about;
    let in_round = view.jobs[job].iter().filter(|change| change.round == round);
    let mut asked = None;
    let mut asked_now = None;
    let mut seen = None;
    for change in in_round {
        let Changed::Job { status, cancel, .. } = &change.what else { continue };
        if cancel.is_some() {
            asked.get_or_insert(*change);
        }
        if cancel.as_deref() == Some("now") {
            asked_now.get_or_insert(*change);
        }
        if status == "cancelling" || is_terminal(status) {
            seen.get_or_insert(*change);
        }
    }
    let (Some(asked), Some(seen)) = (asked, seen) else { return };
    let (from, to) = (view.time(asked), view.time(seen));
    if to - from > SEEN + about.slack && !view.is_disturbed(from, to, None) {
        found.push(format!("job {job}: the cancel was seen after {} µs", to - from));
    }
    let job_plan = view.plan(job);
    for (&(_, task, n), attempt) in view.attempts.iter().filter(|((of, ..), _)| *of == job) {
        let Some(registered) = attempt.registered.filter(|change| change.round == round) else { continue };
        let cleans = job_plan.and_then(|plan| plan.tasks.get(task)).is_some_and(|task| task.when == When::Always);
        // What cleans up goes on until somebody says that it is to end now too, which may be long after the cancel. No row
        // tells when that was seen: the job was being cancelled already.
        let (late, to) = match asked_now.filter(|_| now).map(|change| view.time(change)) {
            Some(asked) if cleans => {
                let to = asked + SEEN + about.slack;
                (view.time(registered) > to && !view.is_disturbed(asked, to, None), to)
            }
            _ if cleans => continue,
            _ => (registered.seq > seen.seq, to),
        };
        if late {
            found.push(format!("job {job} task {task} attempt {n}: started after the cancel was seen"));
        }
        let limit = to + about.grace + 2_000_000 + about.slack;
        if attempt.last > limit && !view.is_disturbed(from, limit, None) {
            found.push(format!("job {job} task {task} attempt {n}: lived {} µs after the cancel", attempt.last - to));
        }
    }
}

/// I19: what was refused left nothing, a key has one job, whatever became of the answers.
pub(super) fn all_or_nothing_submit(view: &View<'_>, found: &mut Vec<String>) {
    for plan in &view.evidence.plans {
        let made = view.evidence.audit.iter().filter_map(|change| match &change.what {
            Changed::Job { key: Some(key), .. } if *key == plan.key => Some(change.job.as_str()),
            _ => None,
        });
        let made: BTreeSet<&str> = made.collect();
        let asked = view.evidence.history.iter().filter(|r| r.what == What::Submit && r.key == plan.key);
        let (mut told, mut only_refused) = (BTreeSet::new(), true);
        for request in asked {
            only_refused &= request.answer == Answer::Fail;
            told.extend(request.job.as_deref());
        }
        if made.len() > 1 || told.len() > 1 {
            found.push(format!("key {} has jobs {made:?}, clients were told {told:?}", plan.key));
        }
        if only_refused && !made.is_empty() {
            found.push(format!("key {} was refused, and has a job", plan.key));
        }
        if !told.is_subset(&made) {
            found.push(format!("key {}: clients were told {told:?}, there is {made:?}", plan.key));
        }
    }
}

/// I21: every end that is no success says why, shortly, and shows nobody our insides.
pub(super) fn clear_cause(view: &View<'_>, found: &mut Vec<String>) {
    const CAUSES: &[&str] = &[
        "user_exit",
        "signal",
        "timeout",
        "oom",
        "cancelled",
        "lost_worker",
        "lost_executor",
        "lost_infra",
        "image_pull",
        "invalid",
        "poison",
        "upstream",
    ];
    let mut judge = |what: String, status: &str, cause: Option<&str>, message: Option<&str>| {
        let bad = status != "succeeded" && is_terminal(status);
        if bad && !cause.is_some_and(|cause| CAUSES.contains(&cause)) {
            found.push(format!("{what}: {status} with cause {cause:?}"));
        }
        let message = message.unwrap_or_default();
        if message.len() > 1024 || message.contains("panicked") || message.contains("stack backtrace") {
            found.push(format!("{what}: {message:?}"));
        }
    };
    for end in &view.evidence.jobs {
        judge(format!("job {}", end.job), &end.status, end.cause.as_deref(), end.message.as_deref());
        for row in &end.tasks {
            let what = format!("job {} task {}", end.job, row.task);
            judge(what, &row.status, row.cause.as_deref(), row.message.as_deref());
        }
    }
    found.extend(view.evidence.snapshot.panics.iter().cloned());
}
