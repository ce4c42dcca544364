//! When a process that this one has just started began, without a look into `/proc`.
//!
//! Field 22 of `/proc/PID/stat` is CLOCK_BOOTTIME at the moment of the fork, in clock ticks (10 ms). When the tick is the
//! same before and after the fork, that is the answer; a look into `/proc` makes inodes and directory entries that the
//! kernel takes away again when the process ends, 40 microseconds of each task in all.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::time::{ClockId, clock_gettime};

/// Whether the clock was seen to be the one of `/proc`.
static TRUSTED: AtomicBool = AtomicBool::new(false);

/// A process is about to be started.
#[derive(Debug, Clone, Copy)]
pub struct Birth {
    before: u64,
}

impl Birth {
    /// Call it right before the start.
    #[must_use]
    pub fn awaited() -> Self {
        Self { before: ticks() }
    }

    /// Call it right after the start: the process's start time, in clock ticks since boot. `None`: it has to be looked
    /// up, because a tick has passed, or [`Birth::trust_clock`] was not called or found another clock.
    #[must_use]
    pub fn start_time(self) -> Option<u64> {
        (TRUSTED.load(Ordering::Relaxed) && ticks() == self.before).then_some(self.before)
    }

    /// From now on the clock is believed, if it agrees with what `/proc` says of this process (`start_time`), which
    /// began not longer than some seconds ago. Processes forked from this one believe it too.
    pub fn trust_clock(start_time: u64) {
        let age = ticks().checked_sub(start_time);
        TRUSTED.store(age.is_some_and(|age| age <= 10 * rustix::param::clock_ticks_per_second()), Ordering::Relaxed);
    }
}

fn ticks() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let hz = rustix::param::clock_ticks_per_second().max(1);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    // As the kernel does it: both are whole multiples.
    seconds * hz + nanos / (1_000_000_000 / hz)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_proc(pid: u32) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().parse().unwrap()
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "processes that are born")]
    fn f08_the_start_time_is_the_one_of_proc() {
        let mut known = 0;
        for _ in 0..50 {
            let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
            Birth::trust_clock(from_proc(child.id()));
            child.kill().unwrap();
            child.wait().unwrap();
            let birth = Birth::awaited();
            let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
            if let Some(start_time) = birth.start_time() {
                assert_eq!(start_time, from_proc(child.id()));
                known += 1;
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(known > 0, "a start takes less than a tick");
        Birth::trust_clock(0);
        assert_eq!(Birth::awaited().start_time(), None, "a clock that does not agree is not believed");
    }
}
