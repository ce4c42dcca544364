//! From the launch of a task to the moment when nothing of it is left: one loop around one `poll`.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use executor::{Io, Outcome, Shutdown, Sink, TaskSpec};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, WaitOptions, WaitStatus, getpid, wait},
};

use crate::{
    cgroup::Cgroup,
    clock::now,
    command::Launched,
    feed::read_chunk,
    ladder::{Ladder, Prey},
    message,
    prepare::Prepared,
    process::{Process, descendants},
};

/// How long a stream may be silent after the end of the task's first process, while something holds it open (F49).
const DRAIN_IDLE: Duration = Duration::from_millis(100);

/// How long it may be silent while something of the task waits for a processor: on a busy machine a writer may not come
/// to write.
const DRAIN_BUSY: Duration = Duration::from_secs(1);

/// How long it may go on in all.
const DRAIN_CAP: Duration = Duration::from_secs(5);

/// A pipe holds 64 kB; a larger buffer would stay empty.
const CHUNK: usize = 64 << 10;

/// How often a stream is read after the last process is gone: only what was written before is in it.
const LAST_READS: usize = 64;

/// A task under way.
struct Run<'a> {
    prepared: &'a Prepared,
    spec: &'a TaskSpec,
    tree: Tree,
    pidfd: Option<OwnedFd>,
    out: Option<OwnedFd>,
    err: Option<OwnedFd>,
    feed: Option<crate::feed::Feed>,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
    ladder: Ladder,
    /// Why the ladder is being climbed while the task's first process runs.
    why: Option<Why>,
    /// How the first process ended, and when.
    end: Option<(Option<WaitStatus>, Instant)>,
    last_byte: Instant,
    /// When the silence was last forgiven.
    forgiven: Instant,
    /// Whether the last look at the streams found something.
    heard: bool,
    nothing_left: bool,
}

/// The processes of the task: everything below this process.
struct Tree {
    leader: Pid,
    leader_reaped: bool,
    cgroup: Option<Cgroup>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    TimedOut,
    Stopped(Shutdown),
}

/// Which descriptors `poll` found ready.
#[derive(Debug)]
struct Ready {
    out: PollFlags,
    err: PollFlags,
    feed: bool,
    leader: bool,
    children: bool,
    control: bool,
}

/// Waits for the end of a task and of all that it started.
pub(crate) fn run(launched: Launched, prepared: &Prepared, spec: &TaskSpec, mut io: Io<'_>) -> Outcome {
    let Some(leader) = Pid::from_raw(launched.pid) else { return message::lost("BUG: a task without a number") };
    let mut run = Run {
        prepared,
        spec,
        tree: Tree { leader, leader_reaped: false, cgroup: launched.cgroup },
        pidfd: Some(launched.pidfd),
        out: Some(launched.out),
        err: Some(launched.err),
        feed: launched.feed,
        // Made with the first byte: a task that writes nothing costs no page.
        buffer: Vec::new(),
        deadline: spec.timeout.and_then(|timeout| launched.since.checked_add(timeout)),
        ladder: Ladder::default(),
        why: None,
        end: None,
        last_byte: launched.since,
        forgiven: launched.since,
        heard: false,
        nothing_left: false,
    };
    while !run.is_over() {
        let ready = run.poll(&io);
        run.transfer(&ready, &mut io);
        run.look(&ready);
        run.obey(&ready, &io);
    }
    run.last_words(&mut io);
    let outcome = run.outcome();
    if let Some(cgroup) = &run.tree.cgroup {
        cgroup.remove();
    }
    outcome
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        self.nothing_left || self.ladder.is_hopeless()
    }

    fn poll(&self, io: &Io<'_>) -> Ready {
        let input = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = Vec::with_capacity(7);
        let (control, more) = io.control.fds();
        fds.push(input(control));
        fds.extend(more.map(input));
        fds.push(input(self.prepared.children.as_fd()));
        fds.extend(self.pidfd.as_ref().map(|fd| input(fd.as_fd())));
        fds.extend(self.out.as_ref().map(|fd| input(fd.as_fd())));
        fds.extend(self.err.as_ref().map(|fd| input(fd.as_fd())));
        fds.extend(self.feed.as_ref().map(|feed| PollFd::new(&feed.pipe, PollFlags::OUT)));
        // An interrupted or failed poll means "nothing": the clock still runs.
        poll(&mut fds, self.pause().as_ref()).ok();
        let mut found = fds.iter().map(PollFd::revents);
        let mut next = |open: bool| if open { found.next().unwrap_or(PollFlags::empty()) } else { PollFlags::empty() };
        Ready {
            control: !next(true).is_empty() | !next(more.is_some()).is_empty(),
            children: !next(true).is_empty(),
            leader: !next(self.pidfd.is_some()).is_empty(),
            out: next(self.out.is_some()),
            err: next(self.err.is_some()),
            feed: !next(self.feed.is_some()).is_empty(),
        }
    }

    /// Until the next thing that is due by the clock; `None` = never.
    fn pause(&self) -> Option<Timespec> {
        let timeout = self.deadline.filter(|_| self.end.is_none() && self.ladder.is_calm());
        let due = [timeout, self.ladder.due(), self.drained_at()].into_iter().flatten().min()?;
        let left = due.saturating_duration_since(now());
        Timespec::try_from(left).ok()
    }

    /// When the streams are given up although something still holds them open.
    fn drained_at(&self) -> Option<Instant> {
        let (_, ended) = self.end.as_ref().filter(|_| self.ladder.is_calm())?;
        if self.out.is_none() && self.err.is_none() {
            return Some(*ended);
        }
        Some((self.last_byte.max(*ended).max(self.forgiven) + DRAIN_IDLE).min(*ended + DRAIN_CAP))
    }

    fn is_drained(&mut self, time: Instant) -> bool {
        let Some((_, ended)) = self.end.as_ref().filter(|_| self.drained_at().is_some_and(|due| time >= due)) else {
            return false;
        };
        if (self.out.is_none() && self.err.is_none()) || time >= *ended + DRAIN_CAP {
            return true;
        }
        // The last look must have found nothing: on a busy machine this process itself may have paused since.
        if self.heard {
            return false;
        }
        let silent = time.duration_since(self.last_byte.max(*ended));
        if silent < DRAIN_BUSY && self.tree.processes().iter().any(|process| process.runnable) {
            self.forgiven = time;
            return false;
        }
        true
    }

    fn transfer(&mut self, ready: &Ready, io: &mut Io<'_>) {
        self.heard = read_ready(&mut self.out, ready.out, &mut self.buffer, io.out);
        self.heard |= read_ready(&mut self.err, ready.err, &mut self.buffer, io.err);
        if self.heard && self.end.is_some() {
            self.last_byte = now();
        }
        if ready.feed && self.feed.as_mut().is_some_and(|feed| !feed.push()) {
            self.feed = None;
        }
    }

    /// Collects who has ended.
    fn look(&mut self, ready: &Ready) {
        if ready.leader {
            // Nearly always this is all: the task has left nothing behind.
            self.reap();
        }
        if self.nothing_left || !(ready.children || ready.leader || self.ladder.killed()) {
            return;
        }
        // In this order: who ends between the two is told of again.
        self.forget_signals();
        self.reap();
        if ready.leader {
            self.ladder.advance(&self.tree);
        }
    }

    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.tree.leader => {
                    self.end = Some((Some(status), now()));
                    self.tree.leader_reaped = true;
                    self.pidfd = None;
                    if failpoint::has(failpoint::Bug::ProcessLeaked) {
                        self.nothing_left = true;
                        return;
                    }
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => break,
            }
        }
        self.nothing_left = true;
        if self.end.is_none() {
            // Somebody else has waited for it (a library in this process): its end is unknown, so no success.
            self.end = Some((None, now()));
        }
    }

    /// Empties the descriptor that tells of ended children.
    fn forget_signals(&self) {
        while let Ok(Some(_)) = self.prepared.children.read_signal() {}
    }

    /// Climbs the ladder when the clock, a request or the end of the first process say so.
    fn obey(&mut self, ready: &Ready, io: &Io<'_>) {
        if self.nothing_left {
            return;
        }
        if ready.control
            && let Some(how) = io.control.take()
        {
            if self.end.is_none() && self.why.is_none_or(|why| why == Why::Stopped(Shutdown::Once)) {
                self.why = Some(Why::Stopped(how));
            }
            // What outlives the first process has no claim to a grace period of its own.
            let how = if self.end.is_some() && self.ladder.is_calm() { Shutdown::Twice } else { how };
            self.ladder.ask(how, self.spec.grace, &self.tree);
        }
        if self.ladder.is_calm() {
            let time = now();
            if self.end.is_none() && self.deadline.is_some_and(|deadline| time >= deadline) {
                self.why = Some(Why::TimedOut);
                self.ladder.ask(Shutdown::Once, self.spec.grace, &self.tree);
            } else if self.is_drained(time) {
                self.ladder.ask(Shutdown::Twice, self.spec.grace, &self.tree);
            }
        } else if self.ladder.killed() || ready.children || self.ladder.due().is_some_and(|due| now() >= due) {
            self.ladder.advance(&self.tree);
        }
    }

    /// Takes what is still in the pipes.
    fn last_words(&mut self, io: &mut Io<'_>) {
        for (stream, sink) in [(&mut self.out, &mut *io.out), (&mut self.err, &mut *io.err)] {
            for _ in 0..LAST_READS {
                let Some(fd) = stream.as_ref() else { break };
                let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
                poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).ok();
                let flags = fds[0].revents();
                if !read_ready(stream, flags, &mut self.buffer, sink) {
                    break;
                }
            }
        }
    }

    fn outcome(&self) -> Outcome {
        if !self.nothing_left {
            return self.undying();
        }
        match self.why {
            Some(Why::TimedOut) => return message::timed_out(self.spec, self.ladder.killed()),
            Some(Why::Stopped(how)) => {
                return message::stopped(self.spec, self.ladder.killed(), how == Shutdown::Twice);
            }
            None => {}
        }
        let Some((Some(status), _)) = &self.end else {
            return message::lost("how the task's first process ended is not known: somebody else has waited for it");
        };
        let (code, signal) = (status.exit_status(), status.terminating_signal());
        // 137 = a shell says that the command it ran was killed.
        let killed = code == Some(137) || signal == Some(9);
        if killed && self.tree.cgroup.as_ref().is_some_and(Cgroup::out_of_memory) {
            return message::out_of_memory(self.spec);
        }
        match (code, signal) {
            (Some(code), _) => message::exited(code, self.spec),
            (None, Some(signal)) => message::signaled(signal),
            (None, None) => message::lost("the task's first process ended in a way that is not known"),
        }
    }

    /// What is left does not end: said, whatever the task itself did.
    fn undying(&self) -> Outcome {
        let left = self.tree.processes();
        let names: Vec<_> =
            left.iter().take(5).map(|process| format!("{} ({})", process.pid, process.name())).collect();
        message::lost(format!("{} processes do not end even by SIGKILL: {}", left.len(), names.join(", ")))
    }
}

impl Prey for Tree {
    fn group(&self) -> Option<Pid> {
        (!self.leader_reaped).then_some(self.leader)
    }

    fn processes(&self) -> Vec<Process> {
        descendants(&Process::all(), &[getpid().as_raw_nonzero().get()])
    }

    fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }
}

/// Reads what is ready of a stream, once; whether there was something. Closes it at its end.
fn read_ready(stream: &mut Option<OwnedFd>, ready: PollFlags, buffer: &mut Vec<u8>, sink: &mut dyn Sink) -> bool {
    let Some(fd) = stream.as_ref() else { return false };
    if ready.contains(PollFlags::IN) {
        buffer.reserve_exact(CHUNK.saturating_sub(buffer.len()));
        match read_chunk(fd, buffer) {
            Ok(0) | Err(_) => *stream = None,
            Ok(_) => {
                sink.write(buffer);
                return true;
            }
        }
    } else if !ready.is_empty() {
        // Hung up and empty: the end, without asking for it.
        *stream = None;
    }
    false
}
