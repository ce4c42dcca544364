//! Bugs that the proof plants: its checker must find each of them.

/// A bug that the programs have while a file `bug` in the folder of failpoints names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A claim also takes jobs that a living worker has.
    DoubleClaim,
    /// Each submit under a key makes a job.
    KeyIgnored,
    /// Some submits are accepted and not made.
    SubmitLost,
    /// A job's counts do not follow its tasks.
    CountsWrong,
    /// Nobody renews leases.
    LeaseNotRenewed,
    /// A dead worker is not replaced for a long time.
    DeadWorkerKept,
    /// A manager neither listens nor polls for a long time.
    WakeIgnored,
    /// A manager obeys a signal only after a long time.
    StopIgnored,
    /// A worker says that it cancels, and goes on.
    CancelIgnored,
    /// A job with failed tasks succeeds.
    FailureHidden,
    /// A failed job has no cause.
    CauseMissing,
    /// Tasks are retried more often than they may.
    RetriesUnbounded,
    /// Tasks do not wait for what they depend on.
    EdgeIgnored,
    /// A task is launched before it is recorded.
    LaunchedUnrecorded,
    /// A host has more slots than it should.
    SlotsIgnored,
    /// A task executor that ends without a word has succeeded.
    PhantomSuccess,
    /// Some successes are taken for losses.
    SuccessForgotten,
    /// What a dead worker left running is run again at once.
    NotAdopted,
    /// A failing task's exit code is another one.
    ExitCodeWrong,
    /// The end of a log is missing.
    LogCut,
    /// Secrets are not masked in logs.
    SecretPrinted,
    /// What a task leaves in the background lives on.
    ProcessLeaked,
}

/// Whether the programs are to have this bug. Always `false` without the feature `on`.
#[must_use]
#[inline]
pub fn has(bug: Bug) -> bool {
    #[cfg(feature = "on")]
    let has = crate::armed::has(bug);
    #[cfg(not(feature = "on"))]
    let has = off(bug);
    has
}

/// What the compiler takes away.
#[cfg(not(feature = "on"))]
#[inline]
const fn off(_bug: Bug) -> bool {
    false
}
