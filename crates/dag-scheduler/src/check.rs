//! A job's indexes, recomputed from its states: what tests ask for after every step.

use crate::{
    Counts, Scheduler, When,
    state::{Running, State},
    transition::{Cancel, Decision, decide},
};

impl Scheduler {
    /// Whether every index agrees with the states, and nothing that could be decided is not. Looks at everything.
    ///
    /// # Errors
    /// Says what does not agree: a bug of this crate.
    pub fn sanity_check(&self) -> Result<(), String> {
        self.check_counts()?;
        self.check_edges()?;
        self.check_lists()?;
        let all = self.counts.terminal() as usize == self.tasks.len();
        if self.opened && all != self.finished.is_some() {
            return Err(format!("finished: {:?}, all tasks terminal: {all}", self.finished));
        }
        if !self.ended.is_empty() {
            return Err(format!("ends that nobody was told of: {:?}", self.ended));
        }
        Ok(())
    }

    fn check_counts(&self) -> Result<(), String> {
        let (mut counts, mut used) = (Counts::default(), 0);
        for ix in self.plan.tasks() {
            let (state, policy) = (&self.tasks[ix.index()].state, self.plan.policy(ix));
            *counts.of(state) += 1;
            counts.allowed += u32::from(*state == State::Failed && policy.allow_failure);
            used += if matches!(state, State::Running(_)) { u64::from(policy.weight) } else { 0 };
        }
        if (counts, used) != (self.counts, self.used) {
            return Err(format!("counted {counts:?} {used}, kept {:?} {}", self.counts, self.used));
        }
        Ok(())
    }

    fn check_edges(&self) -> Result<(), String> {
        let (mut unfinished, mut tainted) = (vec![0; self.tasks.len()], vec![false; self.tasks.len()]);
        for ix in self.plan.order() {
            for below in self.flat.after(ix) {
                unfinished[below.index()] += u32::from(!self.tasks[ix.index()].state.is_terminal());
                tainted[below.index()] |= tainted[ix.index()] || self.is_failure(ix);
            }
        }
        for ix in self.plan.tasks() {
            let (task, index) = (&self.tasks[ix.index()], ix.index());
            if (unfinished[index], tainted[index]) != (self.unfinished[index], task.tainted) {
                return Err(format!("task {ix}: {} unfinished, tainted {}", self.unfinished[index], task.tainted));
            }
            let when = self.plan.policy(ix).when;
            let decision = decide(when, unfinished[index] == 0, tainted[index], self.cancel);
            if task.state == State::Waiting && decision != Decision::Wait {
                return Err(format!("task {ix} waits though it is decided: {decision:?}"));
            }
            let doomed = self.cancel == Cancel::Now || self.cancel == Cancel::Asked && when != When::Always;
            if doomed && matches!(task.state, State::Ready | State::Due | State::Backoff) {
                return Err(format!("task {ix} is {:?} though the job is being cancelled", task.state));
            }
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), String> {
        for (at, ix) in self.running.iter().enumerate() {
            let state = &self.tasks[ix.index()].state;
            if !matches!(state, State::Running(Running { place, .. }) if *place as usize == at) {
                return Err(format!("task {ix} in place {at} of those that run is {state:?}"));
            }
        }
        if self.running.len() != self.counts.running as usize {
            return Err(format!("{} in the list of those that run", self.running.len()));
        }
        let mut ready: Vec<_> = self.ready().collect();
        ready.sort_unstable();
        ready.dedup();
        if ready.len() != self.counts.ready as usize || ready.len() != self.ready().count() {
            return Err(format!("{} in the ready queue, once each {}", self.ready().count(), ready.len()));
        }
        let mut changed = self.changed.clone();
        changed.sort_unstable();
        changed.dedup();
        let marked = self.tasks.iter().filter(|task| task.changed).count();
        if changed.len() != self.changed.len() || marked != changed.len() {
            return Err(format!("{} changes listed, {} tasks marked", self.changed.len(), marked));
        }
        let room = self.opened && !self.releasing && self.used == 0 && self.limits.parallel > 0;
        if room && self.counts.ready > 0 {
            return Err("nothing runs though something is ready".into());
        }
        Ok(())
    }
}
