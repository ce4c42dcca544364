//! Parallelism is a limit of the host: `slots/NN`, one flock each, shared by all workers of a run-dir.
//!
//! A slot belongs to an open file description. The worker holds a descriptor of it and hands a copy to the task executor
//! (SCM_RIGHTS), so the slot stays taken until *both* are gone: a worker that goes on with the next task never lets go,
//! and a slot whose worker died is free when its task executor ends. Waiting is by inotify: a worker that lets go
//! touches the file after the lock is gone; the end of an orphaned task executor closes it.
//!
//! Nobody starves: a worker that waits says so (`wanted`), and the others let go of a slot now and then. One that waits
//! for several at once takes the turn (`turn`): while it has it, nobody else takes a slot, so that they come together.

use std::{
    fmt,
    mem::MaybeUninit,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{FlockOperation, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, inotify},
    io::Errno,
};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{Error, RunDir, file, readiness};

/// The kernel tells of the close a moment before it drops the lock: so many more tries, this far apart.
const AFTER_CLOSE: [Duration; 3] = [Duration::from_millis(1), Duration::from_millis(4), Duration::from_millis(20)];

/// A wait never trusts events alone (queue overflow, a removed folder).
const FLOOR: Duration = Duration::from_secs(1);

/// How long a worker goes on with its slots before it lets go of one more for others that wait: a hand-over costs more
/// than a short task.
const SLICE: Duration = Duration::from_millis(100);

/// How long a turn counts after its holder last tried: one that is stopped must not stop the host.
const TURN: Duration = Duration::from_secs(3);

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

struct State {
    /// One description each, not locked; `None` while a guard of ours has it.
    files: Vec<Option<OwnedFd>>,
    /// Makes taking several slots one step, so that nobody sees a slot that is taken only for a moment.
    gate: OwnedFd,
    /// Locked (shared) by each worker that waits.
    wanted: OwnedFd,
    /// Locked by a worker that waits for several slots.
    turn: OwnedFd,
    has_turn: bool,
    /// Made with the first wait and kept: to close an inotify instance takes the kernel some 20 ms.
    watch: Option<Arc<Watch>>,
    /// The number of the watch on the folder, while we wait.
    waiting: Option<i32>,
    tries: usize,
    /// When a slot was let go for others.
    yielded: Option<Instant>,
}

struct Watch {
    events: AsyncFd<OwnedFd>,
    /// Says to others that somebody waits, as long as it is locked.
    wants: OwnedFd,
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
        self.inner.state().files.len()
    }

    /// Takes `weight` slots, or none: `None` = not so many are free. A weight above the host's count takes all.
    ///
    /// # Errors
    /// The files cannot be locked.
    pub fn try_acquire(&self, weight: usize) -> Result<Option<SlotGuard>, Error> {
        let mut state = self.inner.state();
        let weight = weight.clamp(1, state.files.len());
        if !state.may_take() {
            return Ok(None);
        }
        let State { files, gate, .. } = &mut *state;
        let held = {
            let _gate = Gate::enter(gate);
            take(files, weight)
        }
        .map_err(|e| Error::file("lock a slot in", &self.inner.folder, e))?;
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
                None => Arc::clone(state.watch.insert(Arc::new(Watch::open(&self.inner)?))),
            };
            if state.waiting.is_none() {
                state.waiting = Some(watch.begin(&self.inner)?);
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

    /// Opens the files again if the folder was removed (F26). Slots that are held stay with whoever holds them and are
    /// not counted any more.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn reopen_if_lost(&self) -> Result<(), Error> {
        if !self.inner.folder.join("00").exists() {
            let mut state = self.inner.state();
            let count = state.files.len();
            *state = State::open(&self.inner.folder, count)?;
        }
        Ok(())
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
            let fresh = open(&self.inner.folder.join(slot_name(slot))).ok();
            if let Some(fresh) = &fresh {
                touch(fresh);
            }
            if let Some(place) = state.files.get_mut(slot) {
                *place = fresh;
            }
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below panics with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(folder: &std::path::Path, count: usize) -> Result<Self, Error> {
        file::create_dirs(folder)?;
        let at = |name: &str| {
            let path = folder.join(name);
            open(&path).map_err(|e| Error::file("open", path, e))
        };
        let files = (0..count).map(|slot| at(&slot_name(slot)).map(Some)).collect::<Result<_, _>>()?;
        let (gate, wanted, turn) = (at("gate")?, at("wanted")?, at("turn")?);
        Ok(Self { files, gate, wanted, turn, has_turn: false, watch: None, waiting: None, tries: 0, yielded: None })
    }

    /// Whether nobody else has the turn.
    fn may_take(&mut self) -> bool {
        if self.has_turn {
            return true;
        }
        match rustix::fs::flock(&self.turn, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => !is_fresh(&self.turn),
            _ => {
                rustix::fs::flock(&self.turn, FlockOperation::Unlock).ok();
                true
            }
        }
    }

    /// Takes the turn if it can be had, and says that its holder is alive.
    fn take_turn(&mut self) {
        self.has_turn =
            self.has_turn || rustix::fs::flock(&self.turn, FlockOperation::NonBlockingLockExclusive).is_ok();
        if self.has_turn {
            touch(&self.turn);
        }
    }

    fn stop_waiting(&mut self) {
        if let (Some(watch), Some(number)) = (&self.watch, self.waiting.take()) {
            watch.end(number);
        }
        self.tries = 0;
        if std::mem::take(&mut self.has_turn) {
            rustix::fs::flock(&self.turn, FlockOperation::Unlock).ok();
            touch(&self.turn);
        }
    }

    fn is_wanted_by_others(&self) -> bool {
        // Our own wish would look like another's.
        let ours = self.watch.as_ref().filter(|_| self.waiting.is_some());
        if let Some(watch) = ours {
            rustix::fs::flock(&watch.wants, FlockOperation::Unlock).ok();
        }
        let wanted = match rustix::fs::flock(&self.wanted, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                rustix::fs::flock(&self.wanted, FlockOperation::Unlock).ok();
                false
            }
            Err(e) => e == Errno::WOULDBLOCK,
        };
        if let Some(watch) = ours {
            lock_shared(&watch.wants).ok();
        }
        wanted
    }
}

impl Watch {
    fn open(inner: &Inner) -> Result<Self, Error> {
        let failed = |e: Errno| Error::file("watch", &inner.folder, e);
        let wanted = inner.folder.join("wanted");
        let wants = open(&wanted).map_err(|e| Error::file("open", &wanted, e))?;
        let events = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).map_err(failed)?;
        let events = readiness::register(events, Interest::READABLE)
            .map_err(|e| Error::system("registering the watch on the slots", e))?;
        Ok(Self { events, wants })
    }

    /// Tells others that somebody waits, and watches the folder.
    fn begin(&self, inner: &Inner) -> Result<i32, Error> {
        let failed = |e: Errno| Error::file("watch", &inner.folder, e);
        lock_shared(&self.wants).map_err(failed)?;
        let mask = inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::ATTRIB | inotify::WatchFlags::ONLYDIR;
        inotify::add_watch(self.events.get_ref(), &inner.folder, mask).map_err(failed)
    }

    fn end(&self, number: i32) {
        inotify::remove_watch(self.events.get_ref(), number).ok();
        rustix::fs::flock(&self.wants, FlockOperation::Unlock).ok();
    }

    /// Waits for a change and takes all there are; whether one of them was a close.
    async fn changed(&self) -> Result<bool, Error> {
        loop {
            let mut guard =
                self.events.readable().await.map_err(|e| Error::system("waiting for the watch on the slots", e))?;
            guard.clear_ready();
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(self.events.get_ref(), &mut buffer);
            let (mut any, mut closed) = (false, false);
            while let Ok(event) = reader.next() {
                any = true;
                closed |= event.events().contains(inotify::ReadFlags::CLOSE_WRITE);
            }
            if any {
                return Ok(closed);
            }
        }
    }
}

/// Holds the gate, if it could be had in time: a worker that is stopped inside must not stop the host.
struct Gate<'a>(&'a OwnedFd);

impl<'a> Gate<'a> {
    fn enter(fd: &'a OwnedFd) -> Self {
        for _ in 0..1000 {
            match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => std::thread::yield_now(),
                _ => break,
            }
        }
        Self(fd)
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        rustix::fs::flock(self.0, FlockOperation::Unlock).ok();
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

/// Locks `weight` of the files and takes them out, or none.
fn take(files: &mut [Option<OwnedFd>], weight: usize) -> rustix::io::Result<Vec<(usize, OwnedFd)>> {
    let mut got = Vec::with_capacity(weight);
    for (slot, file) in files.iter().enumerate() {
        let Some(file) = file else { continue };
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => got.push(slot),
            Err(Errno::WOULDBLOCK) => {}
            Err(e) => {
                unlock(files, &got);
                return Err(e);
            }
        }
        if got.len() == weight {
            return Ok(got.into_iter().filter_map(|slot| Some((slot, files[slot].take()?))).collect());
        }
    }
    unlock(files, &got);
    Ok(Vec::new())
}

/// Only for descriptors that were never handed out.
fn unlock(files: &[Option<OwnedFd>], slots: &[usize]) {
    for file in slots.iter().filter_map(|&slot| files[slot].as_ref()) {
        rustix::fs::flock(file, FlockOperation::Unlock).ok();
    }
}

fn open(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
}

/// Held exclusively by others only for a moment each.
fn lock_shared(fd: &OwnedFd) -> rustix::io::Result<()> {
    loop {
        match rustix::fs::flock(fd, FlockOperation::LockShared) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Whether it was touched within [`TURN`].
#[expect(clippy::disallowed_methods, reason = "compared with a file's time; a clock that jumps costs fairness only")]
fn is_fresh(fd: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(fd) else { return false };
    let touched = UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
    // Whole seconds: up to one more.
    SystemTime::now().duration_since(touched).is_ok_and(|age| age < TURN + Duration::from_secs(1))
}

/// Tells those who wait, after the lock is gone.
fn touch(fd: &OwnedFd) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    rustix::fs::futimens(fd, &Timestamps { last_access: now, last_modification: now }).ok();
}

fn slot_name(slot: usize) -> String {
    format!("{slot:02}")
}
