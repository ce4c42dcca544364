//! What can stop a running task from outside: SIGTERM and SIGINT (first: with grace, second: now), and a lease that
//! nobody renews.
//!
//! A signalfd and a timerfd on CLOCK_BOOTTIME; an epoll of both for those who want one descriptor.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use executor::{Control, Shutdown};
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::epoll,
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime},
};
use workflow_model::Epoch;

use crate::{Lease, boottime_now};

/// From the KILL to the lease's end, so that nothing of the task is left when another host may begin.
const MARGIN: Duration = Duration::from_secs(2);

/// The stop requests of one attempt.
#[derive(Debug)]
pub(crate) struct Requests {
    signals: SignalFd,
    /// With a lease.
    timer: Option<OwnedFd>,
    both: OnceLock<Option<OwnedFd>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requested: Option<Shutdown>,
    /// The first signal that came.
    signal: Option<u32>,
    watch: Option<LeaseWatch>,
}

/// When to do what about the lease. Pure: the clock and the file's content are passed in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LeaseWatch {
    path: PathBuf,
    epoch: Epoch,
    grace: u64,
    deadline: u64,
    /// When this deadline was learnt.
    seen: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Held,
    Terminated,
    Killed,
}

impl Requests {
    /// Takes SIGTERM and SIGINT from now on. `lease`: its file, our epoch, its deadline, the task's grace.
    pub(crate) fn new(lease: Option<(PathBuf, Epoch, u64, Duration)>) -> io::Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let Some((path, epoch, deadline, grace)) = lease else {
            return Ok(Self {
                signals,
                timer: None,
                both: OnceLock::new(),
                state: Mutex::new(State { requested: None, signal: None, watch: None }),
            });
        };
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let watch = LeaseWatch::new(path, epoch, deadline, grace, boottime_now());
        arm(&timer, watch.next())?;
        let state = Mutex::new(State { requested: None, signal: None, watch: Some(watch) });
        Ok(Self { signals, timer: Some(timer), both: OnceLock::new(), state })
    }

    /// Whether the task was stopped because nobody renewed the lease.
    pub(crate) fn is_lease_lost(&self) -> bool {
        self.state().watch.as_ref().is_some_and(|watch| watch.stage != Stage::Held)
    }

    /// The number of the first signal that came.
    pub(crate) fn signal(&self) -> Option<u32> {
        self.state().signal
    }

    fn both(&self, timer: &OwnedFd) -> rustix::io::Result<OwnedFd> {
        let both = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (n, fd) in [self.signals.as_fd(), timer.as_fd()].into_iter().enumerate() {
            epoll::add(&both, fd, epoll::EventData::new_u64(n as u64), epoll::EventFlags::IN)?;
        }
        Ok(both)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control for Requests {
    fn fd(&self) -> BorrowedFd<'_> {
        let Some(timer) = &self.timer else { return self.signals.as_fd() };
        // Without memory for an epoll only signals are heard; the worker stops a task whose lease is lost, too.
        self.both.get_or_init(|| self.both(timer).ok()).as_ref().map_or_else(|| self.signals.as_fd(), AsFd::as_fd)
    }

    fn fds(&self) -> (BorrowedFd<'_>, Option<BorrowedFd<'_>>) {
        (self.signals.as_fd(), self.timer.as_ref().map(AsFd::as_fd))
    }

    fn take(&self) -> Option<Shutdown> {
        let mut state = self.state();
        // SIGTERM and SIGINT are two signals: one of each counts as two requests, as from an impatient person.
        while let Ok(Some(info)) = self.signals.read_signal() {
            state.signal.get_or_insert(info.ssi_signo);
            state.requested = Some(if state.requested.is_some() { Shutdown::Twice } else { Shutdown::Once });
        }
        if let (Some(timer), Some(watch)) = (&self.timer, &mut state.watch) {
            let now = boottime_now();
            if watch.next().is_none_or(|due| now >= due) {
                // Only says that it fired; what it means is decided by the clock.
                rustix::io::read(timer, &mut [0; 8][..]).ok();
                let wish = watch.look(now, Lease::read);
                arm(timer, watch.next()).ok();
                state.requested = state.requested.max(wish);
            }
        }
        state.requested
    }
}

impl LeaseWatch {
    fn new(path: PathBuf, epoch: Epoch, deadline: u64, grace: Duration, now: u64) -> Self {
        let grace = u64::try_from(grace.as_micros()).unwrap_or(u64::MAX);
        Self { path, epoch, grace, deadline, seen: now, stage: Stage::Held }
    }

    /// When to stop with grace: grace and margin before the end, but never in the first half of a lease that is too
    /// short for the grace period (it would stop every task at its start).
    fn soft(&self) -> u64 {
        let wanted = self.deadline.saturating_sub(self.grace.saturating_add(margin()));
        wanted.max(self.seen.midpoint(self.deadline)).min(self.deadline)
    }

    /// When to kill.
    fn hard(&self) -> u64 {
        self.deadline.saturating_sub(margin()).max(self.soft().midpoint(self.deadline)).min(self.deadline)
    }

    /// When to look again; `None` = never.
    fn next(&self) -> Option<u64> {
        match self.stage {
            Stage::Held => Some(self.soft()),
            Stage::Terminated => Some(self.hard()),
            Stage::Killed => None,
        }
    }

    fn look(&mut self, now: u64, read: impl FnOnce(&std::path::Path) -> Option<Lease>) -> Option<Shutdown> {
        if self.stage == Stage::Held && now >= self.soft() {
            // Any epoch that is at least ours speaks for us; a missing file says nothing.
            if let Some(lease) = read(&self.path).filter(|lease| lease.epoch >= self.epoch)
                && lease.deadline != self.deadline
            {
                (self.deadline, self.seen) = (lease.deadline, now);
            }
            if now >= self.soft() {
                self.stage = Stage::Terminated;
            }
        }
        if self.stage == Stage::Terminated && now >= self.hard() {
            self.stage = Stage::Killed;
        }
        match self.stage {
            Stage::Held => None,
            Stage::Terminated => Some(Shutdown::Once),
            Stage::Killed => Some(Shutdown::Twice),
        }
    }
}

fn margin() -> u64 {
    u64::try_from(MARGIN.as_micros()).unwrap_or(u64::MAX)
}

fn arm(timer: &OwnedFd, at: Option<u64>) -> io::Result<()> {
    // 0 disarms; a time that is past fires at once.
    let at = at.map_or(0, |at| at.max(1));
    let value = Timespec {
        tv_sec: i64::try_from(at / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(at % 1_000_000).unwrap_or(0) * 1_000,
    };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &once)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn watch(deadline: u64, grace: u64) -> LeaseWatch {
        LeaseWatch::new(PathBuf::new(), Epoch(5), deadline * S, Duration::from_secs(grace), 100 * S)
    }

    fn says(epoch: u64, deadline: u64) -> impl FnOnce(&std::path::Path) -> Option<Lease> {
        move |_| Some(Lease { epoch: Epoch(epoch), deadline: deadline * S })
    }

    #[test]
    fn f14_nobody_renewed_term_then_kill_before_the_end() {
        let mut w = watch(160, 10);
        assert_eq!(w.next(), Some(148 * S));
        assert_eq!(w.look(147 * S, |_| None), None);
        assert_eq!(w.look(148 * S, |_| None), Some(Shutdown::Once));
        assert_eq!(w.next(), Some(158 * S));
        assert_eq!(w.look(157 * S, says(9, 900)), Some(Shutdown::Once), "too late: the task was told to end");
        assert_eq!(w.look(158 * S, |_| None), Some(Shutdown::Twice));
        assert_eq!(w.next(), None);
    }

    #[test]
    fn a_renewal_of_our_epoch_or_a_later_one_is_obeyed_and_an_older_one_is_not() {
        for (epoch, obeyed) in [(4, false), (5, true), (6, true)] {
            let mut w = watch(160, 10);
            let wish = w.look(148 * S, says(epoch, 200));
            assert_eq!(wish, if obeyed { None } else { Some(Shutdown::Once) }, "epoch {epoch}");
            assert_eq!(w.next(), Some(if obeyed { 188 * S } else { 158 * S }));
        }
    }

    #[test]
    fn after_a_long_sleep_everything_is_over_at_once() {
        assert_eq!(watch(160, 10).look(4000 * S, |_| None), Some(Shutdown::Twice));
    }

    #[test]
    fn a_lease_shorter_than_the_grace_period_does_not_stop_a_task_at_its_start() {
        let mut w = watch(103, 10);
        assert_eq!(w.look(100 * S, |_| None), None);
        assert_eq!(w.look(101 * S + S / 2, says(5, 104)), None);
        assert_eq!(w.look(103 * S, |_| None), Some(Shutdown::Once));
        assert!(w.hard() < 104 * S);
    }
}
