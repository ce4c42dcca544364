//! Bounds: how long things may take, and how many may run at once.

use super::view::{CLOCKS, View, is_terminal};
use crate::{
    audit::Changed,
    clock::SECOND,
    history::{Answer, What},
    host::CONTROL,
    nemesis::Kind,
};

/// I12: a dead worker's job is taken over within 2 s (locally).
pub(super) fn detection(view: &View<'_>, found: &mut Vec<String>) {
    let limit = 2 * SECOND + view.evidence.about.slack;
    for fault in view.faults().filter(|fault| fault.kind == Kind::KillWorker) {
        let Some(slot) = &fault.slot else { continue };
        if view.is_disturbed(fault.t.0, fault.t.0 + limit, Some(fault)) {
            continue;
        }
        for (job, changes) in &view.jobs {
            let before = changes.iter().rev().find_map(|change| match &change.what {
                Changed::Job { owner, .. } if view.time(change) < fault.t.0 - CLOCKS => Some((change.epoch, owner)),
                _ => None,
            });
            let Some((epoch, Some((owner, _)))) = before else { continue };
            if owner != slot {
                continue;
            }
            let after = changes.iter().find(|change| {
                let over = matches!(&change.what, Changed::Job { status, .. } if is_terminal(status));
                view.time(change) >= fault.t.0 - CLOCKS && (change.epoch > epoch || over)
            });
            let took = after.map(|change| view.time(change) - fault.t.0);
            if took.is_none_or(|took| took > limit) {
                found.push(format!("job {job}: its worker {slot} was killed, taken over after {took:?} µs"));
            }
        }
    }
}

/// I13: a stop, and a start after a kill, are over in time.
pub(super) fn shutdown_and_start(view: &View<'_>, found: &mut Vec<String>) {
    let about = &view.evidence.about;
    for fault in view.faults() {
        let limit = match fault.kind {
            Kind::Term => about.grace + 5 * SECOND,
            Kind::TermTwice | Kind::Handover => 2 * SECOND,
            _ => continue,
        };
        let quiet = !view.is_disturbed(fault.t.0, fault.t.0 + limit, Some(fault));
        if let Some(took) = fault.stop.filter(|took| *took > limit + about.slack && quiet) {
            found.push(format!("{:?} of {} took {took} µs", fault.kind, fault.host));
        }
    }
    for fault in view.faults().filter(|fault| fault.kind == Kind::KillManager) {
        let limit = 10 * SECOND + about.slack;
        if view.is_disturbed(fault.t.1, fault.t.1 + limit, Some(fault)) || fault.t.1 + limit > about.phases[2] {
            continue;
        }
        let began = view
            .evidence
            .witness
            .iter()
            .any(|line| line.host == fault.host && (fault.t.1..fault.t.1 + limit).contains(&line.t));
        if !began {
            found.push(format!("nothing ran on {} within {limit} µs of its new start", fault.host));
        }
    }
}

/// I17: at no instant do more tasks run than there are slots.
pub(super) fn concurrency(view: &View<'_>, found: &mut Vec<String>) {
    let mut steps: Vec<(&str, bool, i64, i32)> = Vec::new();
    for (&(job, task, n), attempt) in &view.attempts {
        let Some(&begin) = attempt.begins.first() else { continue };
        let control = view.plan(job).is_some_and(|plan| plan.queue == CONTROL);
        // A killed task executor holds no slot any more, whatever its task still has to say.
        let killed = view.faults().find_map(|fault| {
            let hit = fault.attempt.as_ref().is_some_and(|(j, t, a)| (j.as_str(), *t, *a) == (job, task, n));
            // With the run-dir go the slots: new ones know nothing of who has the old ones, and it takes a beat until
            // everybody has noticed.
            // Of a container only its executor holds a slot, and another takes hold of it without asking for one.
            let docker = view.evidence.about.docker && attempt.last >= fault.t.0;
            let gone = match fault.kind {
                Kind::KillExecutor | Kind::KillTemplate | Kind::StopExecutor | Kind::KillEngine if docker => i64::MAX,
                Kind::KillHost => fault.t.1,
                Kind::RemoveRunDir => fault.t.1 + view.evidence.about.lease / 3 + 2 * SECOND,
                _ => i64::MIN,
            };
            (hit || fault.host == attempt.host && gone > begin).then_some(fault.t.0)
        });
        let end = attempt.last.min(killed.unwrap_or(i64::MAX)).max(begin);
        steps.push((attempt.host, control, begin, 1));
        steps.push((attempt.host, control, end, -1));
    }
    steps.sort_unstable();
    let mut at = ("", false);
    let mut running = 0;
    for (host, control, t, step) in steps {
        if at != (host, control) {
            (at, running) = ((host, control), 0);
        }
        running += step;
        let limit = if control { 1 } else { view.evidence.about.parallel };
        if step > 0 && running > i32::try_from(limit).unwrap_or(i32::MAX) {
            found.push(format!("{running} tasks at once on {host} at {t}, the limit is {limit}"));
        }
    }
}

/// I18: without notifications an idle worker still finds an eligible job within the poll floor and a second.
pub(super) fn liveness(view: &View<'_>, found: &mut Vec<String>) {
    let about = &view.evidence.about;
    let limit = about.poll + SECOND + about.slack;
    for (submitted, latency) in waits(view) {
        if latency.is_none_or(|latency| latency > limit) && !view.is_disturbed(submitted, submitted + limit, None) {
            found.push(format!("a job submitted at {submitted} to an idle worker began after {latency:?} µs"));
        }
    }
}

/// I24: what happens to one job does not delay those of another queue.
pub(super) fn isolation(view: &View<'_>, found: &mut Vec<String>) {
    let about = &view.evidence.about;
    let before = |submitted: i64| submitted < about.phases[1];
    let baseline = waits(view).into_iter().filter(|(t, _)| before(*t)).filter_map(|(_, latency)| latency).max();
    let Some(baseline) = baseline else { return };
    let limit = (2 * baseline).max(baseline + about.slack);
    for (submitted, latency) in waits(view) {
        let isolated =
            view.faults().any(|fault| !fault.kind.delays() && (fault.t.0..fault.t.1 + SECOND).contains(&submitted));
        let late = latency.is_some_and(|latency| latency > limit);
        if isolated && late && !view.is_disturbed(submitted, submitted + limit, None) {
            found.push(format!(
                "a job submitted at {submitted} waited {latency:?} µs, without faults at most {baseline}"
            ));
        }
    }
}

/// The jobs of the control queue: when each was accepted, and how long it waited for its beginning.
pub(super) fn waits(view: &View<'_>) -> Vec<(i64, Option<i64>)> {
    let control =
        view.evidence.history.iter().filter(|request| {
            request.what == What::Submit && request.answer == Answer::Ok && request.key.starts_with('c')
        });
    let wait = |request: &crate::history::Request| {
        let job = request.job.as_deref().unwrap_or_default();
        let begin = view.of_job(job).find_map(|(_, attempt)| attempt.begins.first().copied());
        (request.t.1, begin.map(|begin| (begin - request.t.1).max(0)))
    };
    control.map(wait).collect()
}
