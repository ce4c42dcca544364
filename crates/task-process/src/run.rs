//! The body of a task executor: one request, one task, one report, and the end.
//!
//! No runtime, no thread, no libzmq, no configuration: everything comes with the request, and every page that is
//! touched before the task starts costs each task 10 microseconds.

use std::{
    io,
    mem::MaybeUninit,
    path::Path,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use executor::{Capture, Captured, Control, Ending, Executor, Handle, Io, Outcome};
use failpoint::{Bug, Point};
use rustix::{
    fd::OwnedFd,
    fs::Mode,
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags},
    process::{DumpableBehavior, set_dumpable_behavior, umask},
};

use workflow_model::{ExecutorKind, TaskName};

use crate::{
    Error,
    codec::{self, HEADER, MAX_SLOTS},
    control::Requests,
    exit,
    file::{self, Record},
    message::{OutputInfo, Paths, TaskReport, TaskRequest, VERSION},
    outbox::{self, Call},
    reports,
    template::{self, Served},
};

/// A frame that fits is read in one call; on the stack, since untouched memory is dear.
const FIRST_READ: usize = 3 * 1024;

/// Larger ones are read in steps: memory follows what came, not what was announced.
const STEP: usize = 1 << 20;

/// Waits on standard input (a socket) for one request, runs its task with the executor of its kind, and reports. Where
/// standard input is a template's, it comes so far in each process that is forked from it, after a call of `forked`.
/// `None`: standard input is no socket, so this program was called by hand and should explain itself.
#[must_use]
pub fn run(executors: &[&dyn Executor], forked: impl FnOnce()) -> Option<ExitCode> {
    // Memory holds secrets: no core file and no ptrace by others. Reset by exec, so the task's own limits stand.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).ok();
    umask(OURS);
    match template::is_wanted() {
        Ok(false) => {}
        Ok(true) => match template::serve() {
            Ok(Served::Forked) => {
                let _goes_on = failpoint::at(Point::C6);
                forked();
            }
            Ok(Served::Over) => return Some(ExitCode::SUCCESS),
            Err(_) => return Some(ExitCode::from(exit::BAD_REQUEST)),
        },
        Err(_) => return None,
    }
    let code = match receive() {
        Ok(Some((request, slots))) => {
            let code = serve(executors, request);
            last_word(code);
            // Until here the task executor holds its slots, whatever became of the worker.
            drop(slots);
            code
        }
        // The worker has no task for this spare, or is gone.
        Ok(None) => exit::DELIVERED,
        Err(_) => exit::BAD_REQUEST,
    };
    Some(ExitCode::from(code))
}

/// umask 077: what we write is nobody else's business.
const OURS: Mode = Mode::RWXG.union(Mode::RWXO);

type Slots = Vec<OwnedFd>;

fn receive() -> Result<Option<(TaskRequest, Slots)>, Error> {
    let mut first = [0; FIRST_READ];
    let (mut filled, slots) = receive_first(&mut first)?;
    if filled == 0 {
        return Ok(None);
    }
    while filled < HEADER {
        filled += receive_more(&mut first[filled..])?;
    }
    let header = codec::decode_header(first.first_chunk().expect("BUG: read above"))?;
    if slots.len() != usize::from(header.slots) {
        return Err(incomplete("its slots are missing"));
    }
    let whole = HEADER + header.length;
    let request = match first.get(HEADER..whole) {
        Some(body) if filled >= whole => codec::decode_body(body),
        _ => codec::decode_body(&receive_rest(&first[..filled], whole)?[HEADER..]),
    };
    request.map(|request| Some((request, slots)))
}

fn receive_rest(first: &[u8], whole: usize) -> Result<Vec<u8>, Error> {
    let mut frame = first.to_vec();
    while frame.len() < whole {
        let filled = frame.len();
        frame.resize(whole.min(filled + STEP), 0);
        let read = receive_more(&mut frame[filled..])?;
        frame.truncate(filled + read);
    }
    Ok(frame)
}

fn receive_first(frame: &mut [u8]) -> Result<(usize, Slots), Error> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SLOTS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [io::IoSliceMut::new(frame)];
    let received = loop {
        // The slots are ours alone: with CLOEXEC the task does not inherit them.
        match rustix::net::recvmsg(rustix::stdio::stdin(), &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            other => break other.map_err(|e| Error::system("reading the request", e))?,
        }
    };
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    Ok((received.bytes, rights.flatten().collect()))
}

fn receive_more(frame: &mut [u8]) -> Result<usize, Error> {
    loop {
        match rustix::io::read(rustix::stdio::stdin(), &mut *frame) {
            Ok(0) => return Err(incomplete("the worker has gone")),
            Ok(n) => return Ok(n),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::system("reading the request", e)),
        }
    }
}

/// Only our parent learns the exit code, and that is the template.
fn last_word(code: u8) {
    // A worker that is gone does not need it.
    rustix::net::send(rustix::stdio::stdin(), &[code], SendFlags::NOSIGNAL | SendFlags::DONTWAIT).ok();
}

fn incomplete(why: &str) -> Error {
    Error::Malformed { what: "request", reason: why.into() }
}

fn serve(executors: &[&dyn Executor], mut request: TaskRequest) -> u8 {
    let lease = request.deadline.map(|deadline| {
        let grace = request.spec.grace;
        (request.paths.lease.clone(), request.epoch, deadline, grace)
    });
    let control = Requests::new(lease);
    let mut launch = Launch::default();
    let mut outcome = match &control {
        Ok(control) => execute(executors, &mut request, control, &mut launch),
        Err(e) => lost(&request, &format!("cannot take stop requests: {e}")),
    };
    // Before the report: when the worker knows of the end, nothing of the attempt is left.
    if !(request.paths.recycle && reports::is_empty(&request.paths.tmp, &[])) {
        reports::remove_tmp(&request.paths.tmp).ok();
    }
    if failpoint::has(Bug::ExitCodeWrong)
        && let Ending::Exited { code: code @ 1.. } = &mut outcome.ending
    {
        *code += 1;
    }
    let report = TaskReport {
        v: VERSION,
        job: request.job,
        task: request.task,
        attempt: request.attempt,
        epoch: request.epoch,
        nonce: request.nonce,
        outcome,
        started: launch.started,
        ended: now(),
        out: launch.out,
        err: launch.err,
    };
    // A worker that does not renew its lease is not there to listen; its successor reads the file.
    let reply = request.reply.as_deref().filter(|_| !control.is_ok_and(|control| control.is_lease_lost()));
    let code = deliver(&report, &request.paths.report, launch.record, reply.map(|reply| (reply, launch.call)));
    if code != exit::NOWHERE
        && let Some((executor, handle)) = launch.handle.as_ref()
    {
        // Only now: until then what is left of it is the record of its end.
        executor::drive(*executor, executor.tidy(handle));
    }
    code
}

/// What is known of an attempt beside its outcome.
#[derive(Default)]
struct Launch<'a> {
    started: u64,
    /// Whose it is, where something of it is left to be tidied.
    handle: Option<(&'a dyn Executor, Handle)>,
    record: Option<Record>,
    call: Option<Call>,
    out: OutputInfo,
    err: OutputInfo,
}

fn execute<'a>(
    executors: &[&'a dyn Executor],
    request: &mut TaskRequest,
    control: &Requests,
    launch: &mut Launch<'a>,
) -> Outcome {
    let Some(executor) = executors.iter().find(|executor| executor.kind() == request.executor) else {
        let text =
            format!("task {:?}: this task-executor knows no executor {}", request.name.as_str(), request.executor);
        return Outcome::new(Ending::Invalid, text);
    };
    if let Err(e) = make_tmp(request) {
        return lost(request, &format!("cannot make its TMPDIR {}: {}", request.paths.tmp.display(), e.kind()));
    }
    let begun = if request.attach { attach(*executor, request) } else { start(*executor, request, control, launch) };
    match begun {
        Ok(handle) => {
            launch.call = request.reply.as_deref().and_then(|reply| Call::begin(reply).ok());
            let _goes_on = failpoint::at(Point::C9);
            let outcome = wait(*executor, request, &handle, control, launch);
            // A process leaves nothing that would have to wait for the report.
            launch.handle = (request.executor != ExecutorKind::Shell).then_some((*executor, handle));
            outcome
        }
        Err(outcome) => {
            launch.started = 0;
            outcome
        }
    }
}

fn start(
    executor: &dyn Executor,
    request: &TaskRequest,
    control: &Requests,
    launch: &mut Launch<'_>,
) -> Result<Handle, Outcome> {
    if control.take().is_some() {
        return Err(Outcome::new(Ending::Stopped, ""));
    }
    let _goes_on = failpoint::at(Point::C7);
    launch.started = now();
    let handle = with_umask(request.umask, || executor::drive(executor, executor.start(&request.spec)))?;
    let _goes_on = failpoint::at(Point::C8);
    launch.record = store_handle(&handle, &request.paths);
    Ok(handle)
}

/// When it was launched is known to the worker.
fn attach(executor: &dyn Executor, request: &TaskRequest) -> Result<Handle, Outcome> {
    let handle = reports::read_handle(&request.paths).or_else(|| executor.handle(&request.spec));
    let handle = handle.ok_or_else(|| lost(request, "there is nothing to find it by"))?;
    executor::drive(executor, executor.attach(&request.spec, &handle))?;
    Ok(handle)
}

fn wait(
    executor: &dyn Executor,
    request: &TaskRequest,
    handle: &Handle,
    control: &Requests,
    launch: &mut Launch<'_>,
) -> Outcome {
    let spec = &request.spec;
    let redact = if failpoint::has(Bug::SecretPrinted) { &[][..] } else { &spec.redact[..] };
    let mut out = Capture::new(request.paths.out.clone(), spec.log_limit).redact(redact);
    if let Some(relative) = &spec.stdout {
        out = out.publish(spec.job_files.clone(), relative).publish_as(request.umask, spec.run_as);
    }
    let mut err = Capture::new(request.paths.err.clone(), spec.log_limit).redact(&spec.redact);
    let io = Io { control, out: &mut out, err: &mut err };
    let mut outcome = executor::drive(executor, executor.wait(spec, handle, io));
    let (out, err) = (out.finish(outcome.is_success()), err.finish(outcome.is_success()));
    if failpoint::has(Bug::LogCut) && out.bytes > 0 {
        let file = std::fs::OpenOptions::new().write(true).open(&request.paths.out);
        file.and_then(|file| file.set_len(out.bytes - 1)).ok();
    }
    if let Some(problem) = out.publish_problem.as_deref().filter(|_| outcome.is_success()) {
        outcome = unpublished(&request.name, problem);
    }
    (launch.out, launch.err) = (info(out), info(err));
    outcome
}

fn info(captured: Captured) -> OutputInfo {
    OutputInfo { bytes: captured.bytes, lost: captured.lost, problem: captured.log_problem, tail: captured.tail }
}

/// The attempt's own TMPDIR, unless the task names another, or its world is not this host's.
pub(crate) fn make_tmp(request: &mut TaskRequest) -> io::Result<()> {
    if request.executor != ExecutorKind::Shell {
        return Ok(());
    }
    let tmp = &request.paths.tmp;
    match rustix::fs::mkdir(tmp, Mode::RWXU) {
        // Of an executor that was killed before its request was over: the same attempt, so nobody uses it.
        Ok(()) | Err(Errno::EXIST) => {}
        // Somebody has tidied the job's folder.
        Err(Errno::NOENT) => std::fs::create_dir_all(tmp)?,
        Err(e) => return Err(e.into()),
    }
    if let Some((uid, gid)) = request.spec.run_as {
        std::os::unix::fs::chown(tmp, Some(uid), Some(gid))?;
    }
    let env = &mut request.spec.env;
    if !env.iter().any(|(name, _)| name == "TMPDIR")
        && let Some(tmp) = tmp.to_str()
    {
        env.push(("TMPDIR".into(), tmp.into()));
    }
    Ok(())
}

/// A full disk costs no task its run: then the marker in the environment finds its processes.
fn store_handle(handle: &Handle, paths: &Paths) -> Option<Record> {
    let body = serde_json::to_vec(handle).expect("BUG: a handle has only numbers and texts");
    Record::begin(paths.blank.as_deref(), &paths.handle, &body).ok()
}

/// The file is the record, the message is what makes it fast; either alone is enough.
fn deliver(report: &TaskReport, path: &Path, record: Option<Record>, reply: Option<(&Path, Option<Call>)>) -> u8 {
    let _goes_on = failpoint::at(Point::C10);
    let body = codec::encode_report(report);
    let became = record.is_some_and(|record| record.become_report(path, &body).is_ok());
    let stored = became || file::replace(path, &body).is_ok();
    let _goes_on = failpoint::at(Point::C11);
    let delivered = reply.map(|(reply, call)| {
        let called = call.map(|call| call.finish(&body, outbox::LINGER));
        match called {
            Some(Ok(())) => true,
            Some(Err(e)) if e.kind() == io::ErrorKind::TimedOut => false,
            // Its peer is gone: perhaps there is another.
            _ => outbox::send_message(reply, &body, outbox::LINGER).is_ok(),
        }
    });
    let _goes_on = failpoint::at(Point::C12);
    match (stored, delivered) {
        (true, Some(true) | None) => exit::DELIVERED,
        (true, Some(false)) => exit::ON_DISK,
        (false, Some(true)) => exit::MESSAGE_ONLY,
        (false, _) => exit::NOWHERE,
    }
}

fn with_umask<T>(theirs: Option<u32>, act: impl FnOnce() -> T) -> T {
    let Some(theirs) = theirs else { return act() };
    umask(Mode::from_bits_truncate(theirs & 0o777));
    let answer = act();
    umask(OURS);
    answer
}

/// A full disk may have room next time; anything else (a folder in its place, a link that leads out) is as it is.
pub(crate) fn unpublished(name: &TaskName, problem: &str) -> Outcome {
    let ending = if problem.contains("no space left") { Ending::Lost } else { Ending::Invalid };
    Outcome::new(ending, format!("task {:?}: its standard output could not be published: {problem}", name.as_str()))
}

fn lost(request: &TaskRequest, why: &str) -> Outcome {
    Outcome::new(Ending::Lost, format!("task {:?}: {why}", request.name.as_str()))
}

#[expect(clippy::disallowed_methods, reason = "for people to read in a report; nothing is decided by it")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
