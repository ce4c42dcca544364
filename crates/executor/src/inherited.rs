//! What a program inherits from whoever started it, and its tasks must not: open descriptors, blocked and ignored signals.

use std::{
    ffi::OsString,
    fs,
    os::fd::RawFd,
    sync::{Arc, atomic::AtomicBool},
};

/// Closes every descriptor from 3 on, empties the signal mask, and gives ignored signals a disposition that `exec`
/// turns into the default. To be called first of all in `main`, before anything is opened; what this program starts
/// later then inherits nothing foreign either. A descriptor that one of `args` names (`/dev/fd/63`: what a shell makes of
/// `<(command)`) is kept. Answers the signals that were ignored (under `nohup`: SIGHUP).
pub fn shed(args: impl IntoIterator<Item = OsString>) -> Vec<i32> {
    let named: Vec<RawFd> = args.into_iter().filter_map(|arg| named_descriptor(arg.to_str()?)).collect();
    close(&named);
    let ignored = ignored_signals();
    for signal in &ignored {
        // A handler, since `SIG_DFL` cannot be set safely; exec resets it. SIGKILL and SIGSTOP refuse, rightly.
        drop(signal_hook::flag::register(*signal, Arc::new(AtomicBool::new(false))));
    }
    // After the handlers: what was held back arrives now. Only a mask that is no mask could fail.
    nix::sys::signal::SigSet::empty().thread_set_mask().ok();
    ignored
}

/// Closes every descriptor from 3 on. To be called before anything is opened: libzmq, for one, marks its own descriptors
/// in the worker not as closed on exec.
pub fn close_descriptors() {
    close(&[]);
}

fn close(keep: &[RawFd]) {
    for fd in open_descriptors().into_iter().filter(|fd| !keep.contains(fd)) {
        // Nobody in this program knows of them yet; one that is gone already is no matter.
        nix::unistd::close(fd).ok();
    }
}

fn named_descriptor(arg: &str) -> Option<RawFd> {
    let (_, rest) = arg.split_once("/dev/fd/").or_else(|| arg.split_once("/proc/self/fd/"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
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
