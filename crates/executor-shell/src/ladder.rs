//! How a task is ended: TERM to its whole tree, a grace period, KILL until nothing is left. Each rung leads only up.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use executor::Shutdown;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{cgroup::Cgroup, clock::now, process::Process};

/// How soon the tree is read again while it is being killed. What is killed needs a moment to end, and a process that
/// was just born must be found. Later looks are further apart.
const AGAIN: Duration = Duration::from_millis(5);

/// How far apart they are at most.
const SELDOM: Duration = Duration::from_millis(250);

/// What even SIGKILL does not end within this time hangs in the kernel (a dead network file system).
const HOPELESS: Duration = Duration::from_secs(10);

/// Where the ending of a task stands.
#[derive(Debug, Default)]
pub(crate) struct Ladder {
    rung: Rung,
    /// Those that have had their SIGTERM: some programs take a second one for "now".
    told: BTreeSet<(i32, u64)>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rung {
    /// Nobody wants its end.
    #[default]
    Calm,
    /// SIGTERM is sent; SIGKILL follows.
    Term { kill_at: Instant },
    /// SIGKILL, again and again.
    Kill { since: Instant, next: Instant },
}

/// What the ladder is for: finds the processes of a task that are alive.
pub(crate) trait Prey {
    /// The group of the task's first process, while that number is certainly its own.
    fn group(&self) -> Option<Pid>;
    /// All of it, also what has left the group.
    fn processes(&self) -> Vec<Process>;
    /// Its cgroup.
    fn cgroup(&self) -> Option<&Cgroup>;
}

impl Ladder {
    /// Whether an end was asked for.
    pub(crate) fn is_calm(&self) -> bool {
        self.rung == Rung::Calm
    }

    /// Whether SIGKILL was needed.
    pub(crate) fn killed(&self) -> bool {
        matches!(self.rung, Rung::Kill { .. })
    }

    /// Asks for the end. A request that is not more urgent than the last changes nothing.
    pub(crate) fn ask(&mut self, how: Shutdown, grace: Duration, prey: &dyn Prey) {
        match (self.rung, how) {
            (Rung::Calm, Shutdown::Once) => {
                self.rung = Rung::Term { kill_at: now() + grace };
                self.advance(prey);
            }
            (Rung::Calm | Rung::Term { .. }, Shutdown::Twice) => {
                self.kill(prey, now());
            }
            (Rung::Term { .. }, Shutdown::Once) | (Rung::Kill { .. }, _) => {}
        }
    }

    /// Does what is due; to be called when something ended and when [`Ladder::due`] has passed.
    pub(crate) fn advance(&mut self, prey: &dyn Prey) {
        match self.rung {
            Rung::Calm => {}
            Rung::Term { kill_at } if now() < kill_at => self.tell(prey),
            Rung::Term { .. } => self.kill(prey, now()),
            Rung::Kill { since, next } if now() >= next => self.kill(prey, since),
            Rung::Kill { .. } => {}
        }
    }

    /// When to call [`Ladder::advance`] next.
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.rung {
            Rung::Calm => None,
            Rung::Term { kill_at } => Some(kill_at),
            Rung::Kill { next, .. } => Some(next),
        }
    }

    /// Whether what is left does not end.
    pub(crate) fn is_hopeless(&self) -> bool {
        matches!(self.rung, Rung::Kill { since, .. } if now().duration_since(since) > HOPELESS)
    }

    fn tell(&mut self, prey: &dyn Prey) {
        let all = prey.processes();
        // The group at once: a process that is born between reading the table and signalling would be missed.
        let group = prey.group().filter(|_| self.told.is_empty());
        if let Some(group) = group {
            kill_process_group(group, Signal::TERM).ok();
            kill_process_group(group, Signal::CONT).ok();
        }
        for process in all {
            let in_group = group.is_some_and(|group| group.as_raw_nonzero().get() == process.group);
            if self.told.insert((process.pid, process.start_time)) && !in_group {
                process.signal(Signal::TERM).ok();
                // What is stopped can only clean up when it goes on (F15).
                process.signal(Signal::CONT).ok();
            }
        }
    }

    fn kill(&mut self, prey: &dyn Prey, since: Instant) {
        // All three: a cgroup dies at once, but a task of root may have left it.
        if let Some(cgroup) = prey.cgroup() {
            cgroup.kill();
        }
        if let Some(group) = prey.group() {
            kill_process_group(group, Signal::KILL).ok();
        }
        for process in prey.processes() {
            process.signal(Signal::KILL).ok();
        }
        let time = now();
        let pause = (time.duration_since(since) / 8).clamp(AGAIN, SELDOM);
        self.rung = Rung::Kill { since, next: time + pause };
    }
}
