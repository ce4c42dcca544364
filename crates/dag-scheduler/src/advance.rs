//! How a task moves on, and what that decides for the tasks below it.

use crate::{
    Scheduler, TaskIx,
    state::{Running, State},
    transition::{self, Decision},
};

impl Scheduler {
    /// Tells the dependents of what ended, and theirs, as far as that decides them.
    pub(crate) fn propagate(&mut self) {
        while let Some(ix) = self.ended.pop() {
            if self.is_failure(ix) {
                self.taint_below(ix); // before the counters: a dependent is decided knowing of this failure
            }
            self.edges_followed += self.flat.range(ix).len() as u64;
            for place in self.flat.range(ix) {
                let dependent = self.flat.at(place);
                let unfinished = &mut self.unfinished[dependent.index()];
                *unfinished -= 1;
                if *unfinished == 0 {
                    self.decide(dependent);
                }
            }
        }
    }

    /// Whether what the task did counts as a failure for its descendants.
    pub(crate) fn is_failure(&self, ix: TaskIx) -> bool {
        match self.tasks[ix.index()].state {
            State::Failed => !self.plan.policy(ix).allow_failure,
            State::Cancelled => true,
            State::Waiting
            | State::Ready
            | State::Running(_)
            | State::Backoff
            | State::Due
            | State::Succeeded
            | State::Skipped => false,
        }
    }

    /// The one bit that travels along the edges: over each edge at most once in a job's life.
    pub(crate) fn taint_below(&mut self, ix: TaskIx) {
        if self.tasks[ix.index()].tainted {
            return; // then everything below is, too
        }
        self.tainting.push(ix);
        while let Some(ix) = self.tainting.pop() {
            self.edges_followed += self.flat.range(ix).len() as u64;
            for place in self.flat.range(ix) {
                let below = self.flat.at(place);
                if !self.tasks[below.index()].tainted {
                    self.tasks[below.index()].tainted = true;
                    self.tainting.push(below);
                    self.decide(below);
                }
            }
        }
    }

    /// Decides a task that waits, if it can be.
    pub(crate) fn decide(&mut self, ix: TaskIx) {
        let task = &self.tasks[ix.index()];
        if task.state != State::Waiting {
            return;
        }
        let done = self.unfinished[ix.index()] == 0;
        match transition::decide(self.plan.policy(ix).when, done, task.tainted, self.cancel) {
            Decision::Wait => {}
            Decision::Start => self.turn(ix, State::Ready),
            Decision::Skip => self.end(ix, State::Skipped),
            Decision::Cancel => self.end(ix, State::Cancelled),
        }
    }

    /// Ends a task that is not running; its dependents are told by `propagate`.
    pub(crate) fn end(&mut self, ix: TaskIx, state: State) {
        self.turn(ix, state);
        self.ended.push(ix);
    }

    /// Moves a task on.
    pub(crate) fn turn(&mut self, ix: TaskIx, new: State) {
        let old = self.tasks[ix.index()].state;
        debug_assert!(transition::may_follow(&old, &new), "BUG: task {ix} from {old:?} to {new:?}");
        self.set_state(ix, new);
        // Becoming ready shows in no row, unless an attempt came before.
        if !matches!(new, State::Ready | State::Due) || matches!(old, State::Running(_)) {
            self.mark_changed(ix);
        }
    }

    /// The choke point: the only place where a state changes; keeps every index.
    pub(crate) fn set_state(&mut self, ix: TaskIx, new: State) {
        let old = std::mem::replace(&mut self.tasks[ix.index()].state, new);
        *self.counts.of(&old) -= 1;
        *self.counts.of(&new) += 1;
        let policy = self.plan.policy(ix);
        if let State::Running(Running { place, .. }) = old {
            self.used -= u64::from(policy.weight);
            let place = place as usize;
            self.running.swap_remove(place);
            if let Some(moved) = self.running.get(place)
                && let State::Running(running) = &mut self.tasks[moved.index()].state
            {
                running.place = u32::try_from(place).expect("BUG: a plan has fewer than 2^32 tasks");
            }
        }
        match new {
            State::Running(_) => {
                self.used += u64::from(policy.weight);
                self.running.push(ix);
            }
            State::Ready | State::Due => self.ready.push_back(ix),
            State::Failed => self.counts.allowed += u32::from(policy.allow_failure),
            State::Waiting | State::Backoff | State::Succeeded | State::Skipped | State::Cancelled => {}
        }
    }

    pub(crate) fn mark_changed(&mut self, ix: TaskIx) {
        let task = &mut self.tasks[ix.index()];
        if !task.changed {
            task.changed = true;
            self.changed.push(ix);
        }
    }
}
