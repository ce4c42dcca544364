//! The figures of a run: faults by kind, executions, retries, time to recover.

use std::{collections::BTreeMap, fmt};

use super::{
    bounds,
    view::{View, is_loss},
};
use crate::{
    audit::Changed,
    nemesis::{Fault, Kind},
};

/// What a run was made of.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Microseconds with load.
    pub length: i64,
    /// Jobs.
    pub jobs: usize,
    /// Beginnings of tasks.
    pub executions: usize,
    /// Retries that tasks spent.
    pub retries: usize,
    /// Attempts that were lost.
    pub losses: usize,
    /// New rounds that users asked for.
    pub rounds: usize,
    /// Jobs that ended as cancelled.
    pub cancelled: usize,
    /// Requests of clients, and those with an unknown answer.
    pub requests: (usize, usize),
    /// By kind of fault.
    pub faults: BTreeMap<Kind, Recovery>,
    /// Microseconds that a job of the control queue waited: median, 99 %, worst.
    pub waits: [i64; 3],
    /// Logs that were compared byte by byte.
    pub logs: usize,
}

/// Faults of one kind, and how long it took until work went on.
#[derive(Debug, Clone, Default)]
pub struct Recovery {
    /// Injected.
    pub injected: usize,
    /// With effect.
    pub effective: usize,
    /// Microseconds, sorted.
    pub times: Vec<i64>,
}

pub(super) fn of(view: &View<'_>) -> Figures {
    let e = view.evidence;
    let mut faults: BTreeMap<Kind, Recovery> = BTreeMap::new();
    for fault in &e.faults {
        let recovery = faults.entry(fault.kind).or_default();
        recovery.injected += 1;
        if fault.effective {
            recovery.effective += 1;
            recovery.times.extend(recovered(view, fault));
        }
    }
    faults.values_mut().for_each(|recovery| recovery.times.sort_unstable());
    let closed = || view.attempts.values().filter_map(|attempt| attempt.closed);
    let mut waits: Vec<i64> = bounds::waits(view).into_iter().filter_map(|(_, wait)| wait).collect();
    waits.sort_unstable();
    let rounds = e.jobs.iter().map(|job| job.round as usize - 1).sum();
    Figures {
        length: e.about.phases[2] - e.about.phases[0],
        jobs: e.jobs.len(),
        executions: view.attempts.values().map(|attempt| attempt.begins.len()).sum(),
        retries: closed().filter(|(_, row)| row.status == "retrying" && !is_loss(row.cause)).count(),
        losses: closed().filter(|(_, row)| is_loss(row.cause)).count(),
        rounds,
        cancelled: e.jobs.iter().filter(|job| job.status == "cancelled").count(),
        requests: (e.history.len(), e.history.iter().filter(|r| r.answer == crate::history::Answer::Info).count()),
        faults,
        waits: [quantile(&waits, 50), quantile(&waits, 99), quantile(&waits, 100)],
        logs: e.snapshot.logs_compared,
    }
}

/// How long until work went on: of a job whose worker was killed, until another has it; of an attempt that was hit, until
/// its end is known; else from the end of the fault until a task begins on that host.
fn recovered(view: &View<'_>, fault: &Fault) -> Option<i64> {
    if let Some((job, task, n)) = &fault.attempt {
        let (closed, _) = view.attempts.get(&(job.as_str(), *task, *n))?.closed?;
        return Some((view.time(closed) - fault.t.0).max(0));
    }
    if let (Kind::KillWorker, Some(slot)) = (fault.kind, &fault.slot) {
        return taken_over(view, fault, slot);
    }
    let mut begins = view.evidence.witness.iter().filter(|line| line.host == fault.host && line.t >= fault.t.1);
    begins.find(|line| line.mark == crate::witness::Mark::Begin).map(|line| line.t - fault.t.1)
}

fn taken_over(view: &View<'_>, fault: &Fault, slot: &str) -> Option<i64> {
    view.jobs.values().find_map(|changes| {
        let at = changes.partition_point(|change| view.time(change) < fault.t.0);
        let owner = changes[..at].iter().rev().find_map(|change| match &change.what {
            Changed::Job { owner, .. } => Some((change.epoch, owner.as_ref())),
            _ => None,
        });
        let (epoch, _) = owner.filter(|(_, owner)| owner.is_some_and(|(of, _)| of == slot))?;
        let next = changes[at..].iter().find(|change| change.epoch > epoch)?;
        Some(view.time(next) - fault.t.0)
    })
}

/// Of sorted numbers; 0 if there are none.
pub(super) fn quantile(sorted: &[i64], percent: usize) -> i64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: i64| micros / 1_000;
        writeln!(
            f,
            "{} s, {} jobs, {} executions of tasks, {} retries, {} attempts lost, {} new rounds, {} jobs cancelled",
            self.length / 1_000_000,
            self.jobs,
            self.executions,
            self.retries,
            self.losses,
            self.rounds,
            self.cancelled
        )?;
        let (requests, unknown) = self.requests;
        let [median, most, worst] = self.waits.map(ms);
        writeln!(f, "{requests} requests of clients, {unknown} with an unknown outcome; {} logs compared", self.logs)?;
        writeln!(
            f,
            "a short job of another queue waited {median} ms (median), {most} ms (99 %), {worst} ms (worst)\n"
        )?;
        writeln!(f, "{:<16} {:>8} {:>9} {:>12} {:>12}", "fault", "injected", "effective", "median ms", "worst ms")?;
        for (kind, recovery) in &self.faults {
            let name = serde_json::to_value(kind).ok().and_then(|value| Some(value.as_str()?.to_owned()));
            let (median, worst) = (quantile(&recovery.times, 50), quantile(&recovery.times, 100));
            writeln!(
                f,
                "{:<16} {:>8} {:>9} {:>12} {:>12}",
                name.unwrap_or_default(),
                recovery.injected,
                recovery.effective,
                ms(median),
                ms(worst)
            )?;
        }
        Ok(())
    }
}
