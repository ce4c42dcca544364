//! The signal mask around a launch by std (`run_as`). A child inherits it (std changes that no more), and a task that cannot be ended by
//! SIGTERM, or hears of no child, is not what its author tried out (F16).
//!
//! This process blocks signals in order to read them from descriptors. While the mask is lifted, handlers take what
//! arrives, and afterwards it is sent once more, so that no request to stop gets lost or ends this process.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::signal::{SigSet, Signal, raise};

/// Which signals have arrived while they were not blocked. Handlers stay for the life of the process.
static ARRIVED: Mutex<BTreeMap<Signal, Arc<AtomicBool>>> = Mutex::new(BTreeMap::new());

/// Gives a blocked signal a handler, which exec resets.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn handle(signal: Signal) -> Result<(), String> {
    let mut arrived = ARRIVED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Entry::Vacant(entry) = arrived.entry(signal) {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal as i32, Arc::clone(&flag))
            .map_err(|error| format!("cannot take {signal}: {error}"))?;
        entry.insert(flag);
    }
    Ok(())
}

/// Does something with an empty signal mask.
pub(crate) fn lifted<T>(act: impl FnOnce() -> T) -> T {
    let Ok(mask) = SigSet::thread_get_mask() else { return act() };
    for signal in &mask {
        // Refused for those that a fault of our own would raise (SIGSEGV, …): nobody sends them to us.
        handle(signal).ok();
    }
    let lifted = SigSet::empty().thread_set_mask().is_ok();
    let answer = act();
    if lifted && mask.thread_set_mask().is_ok() {
        for (signal, flag) in ARRIVED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if flag.swap(false, Ordering::Relaxed) && mask.contains(*signal) {
                raise(*signal).ok();
            }
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f16_a_signal_that_arrives_during_a_launch_is_not_lost() {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGUSR2);
        mask.thread_block().unwrap();
        raise(Signal::SIGUSR2).unwrap();
        lifted(|| assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR2)));
        assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGUSR2));
        assert_eq!(mask.wait().unwrap(), Signal::SIGUSR2, "pending again");
    }
}
