//! What a program inherits from whoever started it, and its tasks must not: open descriptors, blocked and ignored signals.

use std::{
    fs,
    os::fd::RawFd,
    sync::{Arc, atomic::AtomicBool},
};

/// Closes every descriptor from 3 on, empties the signal mask, and gives ignored signals a disposition that `exec`
/// turns into the default. To be called first of all in `main`, before anything is opened; what this program starts
/// later then inherits nothing foreign either. Answers the signals that were ignored (under `nohup`: SIGHUP).
pub fn shed() -> Vec<i32> {
    for fd in open_descriptors() {
        // Nobody in this program knows of them yet; one that is gone already is no matter.
        nix::unistd::close(fd).ok();
    }
    let ignored = ignored_signals();
    for signal in &ignored {
        // A handler, since `SIG_DFL` cannot be set safely; exec resets it. SIGKILL and SIGSTOP refuse, rightly.
        drop(signal_hook::flag::register(*signal, Arc::new(AtomicBool::new(false))));
    }
    // After the handlers: what was held back arrives now. Only a mask that is no mask could fail.
    nix::sys::signal::SigSet::empty().thread_set_mask().ok();
    ignored
}

fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Vec::new() };
    // Collected first: reading the folder needs a descriptor itself, which is closed when this returns.
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|&fd: &RawFd| fd > 2).collect()
}

/// Those with `SIG_IGN` but SIGPIPE, which Rust programs ignore on purpose and std resets in each child.
fn ignored_signals() -> Vec<i32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (1..=31)
        .filter(|signal| mask & (1 << (signal - 1)) != 0 && *signal != rustix::process::Signal::PIPE.as_raw())
        .collect()
}
