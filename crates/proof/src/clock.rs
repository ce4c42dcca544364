//! The clocks of a run, in microseconds: CLOCK_MONOTONIC for everything that is measured, the wall clock only to place
//! what the database wrote.

use std::{thread, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// One second.
pub const SECOND: i64 = 1_000_000;

/// CLOCK_MONOTONIC, the same for all processes of a host.
#[must_use]
pub fn mono() -> i64 {
    micros(clock_gettime(ClockId::Monotonic))
}

/// The wall clock, since 1970.
#[must_use]
pub fn wall() -> i64 {
    micros(clock_gettime(ClockId::Realtime))
}

/// Lets time pass: for load and faults that last, never to wait for an effect.
pub fn pass(micros: i64) {
    thread::sleep(Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
}

/// Waits until a condition holds, at most so long; answers whether it does.
pub fn until(limit: i64, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = mono() + limit;
    loop {
        if condition() {
            return true;
        }
        if mono() > deadline {
            return false;
        }
        pass(10_000);
    }
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec * SECOND + time.tv_nsec / 1_000
}
