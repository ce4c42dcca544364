//! The slots of the host as one worker sees them, and those that it holds.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use super::{state::State, watch::Watch};
use crate::{Error, RunDir};

/// The kernel tells of the close a moment before it drops the lock: so many more tries, this far apart.
const AFTER_CLOSE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(4), Duration::from_millis(20)];

/// A wait never trusts events alone (queue overflow, a removed folder).
const FLOOR: Duration = Duration::from_secs(1);

/// How long a worker goes on with its slots before it lets go of one more for others that wait: a hand-over costs more
/// than a short task.
const SLICE: Duration = Duration::from_millis(100);

/// The slots of the host, as one worker sees them. Cheap to clone.
#[derive(Clone)]
pub struct Slots {
    inner: Arc<Inner>,
}

/// Slots that are held. Dropping it lets go of this process's part: the slots are free once no task executor has them.
pub struct SlotGuard {
    inner: Arc<Inner>,
    held: Vec<(usize, OwnedFd)>,
}

struct Inner {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Slots {
    /// The slots of this run-dir; all workers give the same `count`.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn open(run_dir: &RunDir, count: usize) -> Result<Self, Error> {
        let folder = run_dir.slots();
        let state = State::open(&folder, count.max(1))?;
        Ok(Self { inner: Arc::new(Inner { folder, state: Mutex::new(state) }) })
    }

    /// How many the host has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.inner.state().count()
    }

    /// Takes `weight` slots, or none: `None` = not so many are free. A weight above the host's count takes all.
    ///
    /// # Errors
    /// The files cannot be locked.
    pub fn try_acquire(&self, weight: usize) -> Result<Option<SlotGuard>, Error> {
        let mut state = self.inner.state();
        let weight = weight.clamp(1, state.count());
        if !state.may_take() {
            return Ok(None);
        }
        let held = state.take(weight).map_err(|e| Error::file("lock a slot in", &self.inner.folder, e))?;
        if held.is_empty() {
            if weight > 1 {
                state.take_turn();
            }
            return Ok(None);
        }
        state.stop_waiting();
        drop(state);
        Ok(Some(SlotGuard { inner: Arc::clone(&self.inner), held }))
    }

    /// Whether to let go of a guard whose task has ended, instead of handing it to the next task: another worker waits
    /// for a slot, and none was let go for a tenth of a second.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a share of time among workers; nothing is decided by it")]
    pub fn contended(&self) -> bool {
        let mut state = self.inner.state();
        let contended = state.yielded.is_none_or(|yielded| yielded.elapsed() >= SLICE) && state.is_wanted_by_others();
        if contended {
            state.yielded = Some(Instant::now());
        }
        contended
    }

    /// Answers when [`Slots::try_acquire`] is worth another try (it may still fail). Call it after it said `None`;
    /// others are told that somebody waits until it succeeds or [`Slots::give_up`] is called. Cancel-safe.
    ///
    /// # Errors
    /// The folder cannot be watched.
    pub async fn freed(&self) -> Result<(), Error> {
        let (watch, pause) = {
            let mut state = self.inner.state();
            let watch = match &state.watch {
                Some(watch) => Arc::clone(watch),
                None => Arc::clone(state.watch.insert(Arc::new(Watch::open(&self.inner.folder)?))),
            };
            if state.waiting.is_none() {
                state.waiting = Some(watch.begin(&self.inner.folder)?);
                // Whatever happened before the watch stood was missed: try at once.
                return Ok(());
            }
            let pause = AFTER_CLOSE.len().checked_sub(state.tries).and_then(|n| AFTER_CLOSE.get(n)).copied();
            state.tries = state.tries.saturating_sub(1);
            (watch, pause)
        };
        tokio::select! {
            closed = watch.changed() => {
                if closed? {
                    self.inner.state().tries = AFTER_CLOSE.len();
                }
            }
            () = tokio::time::sleep(pause.unwrap_or(FLOOR)) => {}
        }
        Ok(())
    }

    /// Stops waiting: nothing of ours wants a slot any more.
    pub fn give_up(&self) {
        self.inner.state().stop_waiting();
    }

    /// Opens the files again if the folder was removed (F26). What this worker holds counts in the new files too, as far
    /// as nobody else was faster; what others hold does once they do the same.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn reopen_if_lost(&self) -> Result<(), Error> {
        let mut state = self.inner.state();
        if state.is_lost() { state.reopen(&self.inner.folder) } else { Ok(()) }
    }
}

impl SlotGuard {
    /// How many slots these are.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.held.len()
    }

    /// The descriptors, for [`crate::Spare::send`].
    #[must_use]
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.held.iter().map(|(_, fd)| fd.as_fd()).collect()
    }
}

impl Drop for SlotGuard {
    /// Closes our descriptor and opens a new one, instead of unlocking: a task executor that still lives keeps its slot.
    fn drop(&mut self) {
        let mut state = self.inner.state();
        for (slot, fd) in self.held.drain(..) {
            drop(fd);
            state.give_back(&self.inner.folder, slot);
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl fmt::Debug for SlotGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotGuard").field("held", &self.held).finish_non_exhaustive()
    }
}
