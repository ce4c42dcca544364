//! What a program inherits from whoever started it, and its tasks must not: open descriptors, blocked and ignored signals.

use std::{
    ffi::OsString,
    fs,
    mem::MaybeUninit,
    os::fd::{AsRawFd, RawFd},
    sync::{Arc, atomic::AtomicBool},
};

use rustix::fs::{Mode, OFlags, RawDir};

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

/// Read by hand: each exec'ed task executor does this, and std's `read_dir` costs it three page faults more.
fn open_descriptors() -> Vec<RawFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(folder) = rustix::fs::open("/proc/self/fd", flags, Mode::empty()) else { return Vec::new() };
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&folder, &mut buffer);
    let mut open = Vec::new();
    while let Some(Ok(entry)) = entries.next() {
        let number = entry.file_name().to_str().ok().and_then(|name| name.parse::<RawFd>().ok());
        // Not the folder's own, which is closed when this returns.
        open.extend(number.filter(|fd| *fd > 2 && *fd != folder.as_raw_fd()));
    }
    open
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
