//! The boundary between a worker and its task executors, with the real program on the far side and this process as the
//! worker. Each test is named after the fault it shows.
#![expect(clippy::disallowed_methods, reason = "some tests start the program by hand")]

use std::{
    collections::HashMap,
    fs,
    io::Write as _,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        net::{UnixListener, UnixStream},
    },
    process::{Command, Stdio},
    time::Duration,
};

use executor::{Ending, Executor as _, Outcome, ProcessId, Shutdown};
use executor_shell::ShellExecutor;
use rustix::fd::OwnedFd;
use task_process::{
    Exit, Inbox, JobDir, Places, Running, Slots, TaskRequest, WorkerLock, encode_request, exit, read_handle,
    read_report,
};
use workflow_model::{Epoch, ExecutorKind, Nonce, QueueName};

use crate::{
    boundary::{Worker, ended, until_there, within},
    harness::TASK_EXECUTOR,
};

#[tokio::test]
async fn f17_report_file_and_message_say_the_same_and_nothing_else_is_left() {
    let mut worker = Worker::new();
    let request = worker.request("echo out; echo err >&2; test -d \"$TMPDIR\"; touch \"$TMPDIR/x\"; exit 3");
    let (report, out) = worker.run(&request).await;
    assert_eq!((report.outcome.ending.clone(), out.as_str()), (ended(3), "out\n"));
    assert_eq!((report.out.tail.as_str(), report.err.tail.as_str()), ("out\n", "err\n"));
    assert!(report.started > 0 && report.ended >= report.started);
    assert_eq!(read_report(&request.paths, request.nonce).as_ref(), Some(&report));
    assert_eq!(read_report(&request.paths, Nonce::generate()), None, "another nonce: not this attempt's");
    assert!(!request.paths.tmp.exists(), "its TMPDIR is removed");
    assert!(!request.paths.handle.exists(), "the handle became the report");
    assert_eq!(fs::metadata(&request.paths.report).expect("a report").permissions().mode() & 0o777, 0o600);
    task_process::remove(&request.paths).expect("removed");
    assert_eq!(fs::read_dir(worker.dir.path().join("job/reports")).expect("reports").count(), 0);
}

#[tokio::test]
async fn f02_of_one_that_is_execed_the_worker_is_the_parent() {
    let mut worker = Worker::cold();
    let request = worker.request("echo out; exit 3");
    let (report, out) = worker.run(&request).await;
    assert_eq!((report.outcome.ending, out.as_str()), (ended(3), "out\n"));
    let mut worker = Worker::cold();
    let request = worker.request("touch up; sleep 300");
    let running = worker.start(&request).await;
    until_there(worker.job_dir.files().join("up")).await;
    running.kill().expect("killed");
    assert_eq!(within(running.exited()).await, Exit::Signal(9));
    let handle = read_handle(&request.paths).expect("a handle");
    let stopped = executor::block_on(ShellExecutor::new().stop(&handle, Shutdown::Twice, &request.spec.job_files));
    stopped.expect("the tree is ended");
}

#[tokio::test]
async fn f17_of_many_short_tasks_every_one_reports_once() {
    let mut worker = Worker::new();
    let mut running = HashMap::new();
    let mut done = 0;
    while done < 60 {
        while running.len() < 4 && worker.tasks < 60 {
            let request = worker.request("true");
            let executor = worker.start(&request).await;
            running.insert(request.task, (executor, request.nonce));
        }
        let report = worker.message().await;
        let (executor, nonce) = running.remove(&report.task).expect("one report a task");
        assert!(report.outcome.is_success() && report.nonce == nonce);
        assert_eq!(within(executor.exited()).await, Exit::Code(0));
        done += 1;
    }
    assert_eq!(worker.inbox.dropped(), 0);
}

/// 10 of 10 "successfully sent" results vanish when the worker dies with the message in its socket; the file does not.
#[tokio::test]
async fn f20_a_worker_dies_with_the_message_and_the_next_one_finds_the_report() {
    let mut worker = Worker::new();
    let requests: Vec<TaskRequest> = (0..10).map(|n| worker.request(&format!("exit {n}"))).collect();
    for request in &requests {
        let running = worker.start(request).await;
        // Delivered, as far as the sender can know; nobody reads the socket.
        assert_eq!(within(running.exited()).await, Exit::Code(exit::DELIVERED.into()));
    }
    let Worker { inbox, dir, .. } = worker;
    drop(inbox);
    for (n, request) in requests.iter().enumerate() {
        let report = read_report(&request.paths, request.nonce).expect("the report is on disk");
        assert_eq!(report.outcome.ending, ended(i32::try_from(n).expect("small")));
    }
    drop(dir);
}

/// The worker's connection is made when the task begins; at its end another worker may be in the place.
#[tokio::test]
async fn f20_a_message_goes_to_whoever_is_in_the_place_at_the_end() {
    let mut worker = Worker::new();
    let request = worker.request("touch up; while [ ! -e go ]; do sleep 0.01; done; exit 4");
    let running = worker.start(&request).await;
    until_there(worker.job_dir.files().join("up")).await;
    let Worker { inbox, run_dir, dir, .. } = worker;
    drop(inbox);
    let lock = WorkerLock::acquire(&run_dir, &QueueName::default(), 0).expect("the lock");
    let mut inbox = Inbox::bind(lock).expect("the Q socket");
    fs::write(dir.path().join("job/files/go"), "").expect("written");
    let report = within(inbox.recv()).await.expect("the Q socket");
    assert_eq!((report.nonce, report.outcome.ending), (request.nonce, ended(4)));
    assert_eq!(within(running.exited()).await, Exit::Code(exit::DELIVERED.into()));
}

/// A spare by hand: its standard input is ours.
pub(crate) fn spare() -> (std::process::Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair");
    let child = Command::new(TASK_EXECUTOR)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    (child, ours)
}

#[tokio::test]
async fn nothing_is_launched_before_the_request_is_complete() {
    let mut worker = Worker::new();
    let request = worker.request("touch launched");
    let frame = encode_request(&request, 0).expect("a frame");
    for length in [1, 11, 12, 13, frame.len() - 1] {
        let (mut child, mut stdin) = spare();
        stdin.write_all(&frame[..length]).expect("written");
        drop(stdin);
        assert_eq!(child.wait().expect("it ends").code(), Some(exit::BAD_REQUEST.into()), "{length} bytes");
    }
    let mut broken = frame.clone();
    broken[0] = b'X';
    let (mut child, mut stdin) = spare();
    stdin.write_all(&broken).expect("written");
    assert_eq!(child.wait().expect("it ends").code(), Some(exit::BAD_REQUEST.into()), "not our magic");
    assert!(!worker.job_dir.files().join("launched").exists());
    assert!(!request.paths.report.exists());
    // In pieces it is complete all the same.
    let (mut child, mut stdin) = spare();
    for piece in frame.chunks(100) {
        stdin.write_all(piece).expect("written");
    }
    assert_eq!(child.wait().expect("it ends").code(), Some(exit::DELIVERED.into()));
    assert!(worker.job_dir.files().join("launched").exists());
}

#[test]
fn a_spare_ends_with_its_worker() {
    let (mut child, stdin) = spare();
    drop(stdin);
    assert_eq!(child.wait().expect("it ends").code(), Some(exit::DELIVERED.into()));
}

#[test]
fn by_hand_it_explains_itself() {
    let output = Command::new(TASK_EXECUTOR).stdin(Stdio::null()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(exit::EXPLAINED.into()));
    assert!(String::from_utf8_lossy(&output.stderr).contains("qmanager run FILE"));
    let output = Command::new(TASK_EXECUTOR).arg("--version").output().expect("it starts");
    assert!(output.status.success() && output.stdout.starts_with(b"task-executor "));
}

#[tokio::test]
async fn a_request_larger_than_any_buffer_arrives_whole() {
    let mut worker = Worker::new();
    let mut request = worker.request("wc -c");
    request.spec.stdin = executor::Stdin::Text("0123456789".repeat(1_000_000));
    let (report, out) = worker.run(&request).await;
    assert!(report.outcome.is_success(), "{:?}", report.outcome);
    assert_eq!(out.trim(), "10000000");
}

#[tokio::test]
async fn f08_only_exactly_that_process_is_adopted() {
    let mut worker = Worker::new();
    let request = worker.request("touch up; while [ ! -e go ]; do sleep 0.01; done; echo done");
    let id = worker.start(&request).await.id().clone();
    until_there(worker.job_dir.files().join("up")).await;
    let adopt = |id: ProcessId| Running::adopt(&id).expect("no error");
    assert!(adopt(ProcessId { start_time: id.start_time + 1, ..id.clone() }).is_none(), "a later process");
    assert!(adopt(ProcessId { boot_id: "another".into(), ..id.clone() }).is_none(), "before the last boot");
    assert!(adopt(ProcessId { pid: -1, ..id.clone() }).is_none());
    assert!(adopt(ProcessId { pid: 0, ..id.clone() }).is_none());
    let adopted = adopt(id.clone()).expect("it lives");
    fs::write(worker.job_dir.files().join("go"), "").expect("written");
    within(adopted.exited()).await;
    assert!(read_report(&request.paths, request.nonce).expect("its report").outcome.is_success());
    assert!(adopt(id).is_none(), "it has ended");
}

#[tokio::test]
async fn f19_without_a_receiver_the_report_is_on_disk_in_time() {
    let mut worker = Worker::new();
    let silent = worker.dir.path().join("silent");
    let _listens_and_never_answers = UnixListener::bind(&silent).expect("bound");
    for reply in [worker.dir.path().join("missing"), silent] {
        let mut request = worker.request("echo kept");
        request.reply = Some(reply);
        let running = worker.start(&request).await;
        let exited = tokio::time::timeout(Duration::from_secs(20), running.exited()).await.expect("bounded");
        assert_eq!(exited, Exit::Code(exit::ON_DISK.into()));
        assert_eq!(read_report(&request.paths, request.nonce).expect("a report").out.tail, "kept\n");
    }
}

#[tokio::test]
async fn f45_when_the_report_cannot_be_stored_the_message_is_enough() {
    let mut worker = Worker::new();
    let mut request = worker.request("echo delivered");
    request.paths.tmp = worker.dir.path().join("tmp");
    fs::remove_dir_all(worker.dir.path().join("job/reports")).expect("removed");
    let running = worker.start(&request).await;
    let report = worker.message().await;
    assert_eq!((report.nonce, report.out.tail.as_str()), (request.nonce, "delivered\n"));
    assert_eq!(within(running.exited()).await, Exit::Code(exit::MESSAGE_ONLY.into()));
}

#[tokio::test]
async fn f16_a_task_gets_the_callers_umask_three_descriptors_and_no_blocked_signal() {
    let mut worker = Worker::new();
    let slots = Slots::open(&worker.run_dir, 3).expect("slots");
    let guard = slots.try_acquire(3).expect("slots").expect("free");
    let script = "umask; grep -E 'SigBlk|SigIgn' /proc/self/status; ls /proc/self/fd";
    let mut request = worker.request(script);
    request.umask = Some(0o027);
    let running =
        worker.spares.take().expect("a spare").send(&request, &guard.fds()).await.expect("the request is taken");
    assert!(worker.message().await.outcome.is_success());
    within(running.exited()).await;
    let out = fs::read_to_string(&request.paths.out).expect("output");
    // Ignored signals that this process inherited itself it passes on; qworker sheds them. `ls` opens the folder.
    let plain = Command::new("/bin/sh").args(["-c", &format!("umask 027; {script}")]).output().expect("sh runs");
    let signals =
        String::from_utf8_lossy(&plain.stdout).lines().take(3).map(|line| format!("{line}\n")).collect::<String>();
    assert_eq!(out, signals + "0\n1\n2\n3\n");
    assert!(out.starts_with("0027\nSigBlk:\t0000000000000000\n"), "{out}");
    assert_eq!(fs::metadata(&request.paths.out).expect("a log").mode() & 0o777, 0o600, "our own files stay ours");
}

#[tokio::test]
async fn a_slot_is_held_until_the_task_executor_ends() {
    let mut worker = Worker::new();
    let ours = Slots::open(&worker.run_dir, 1).expect("slots");
    let other = Slots::open(&worker.run_dir, 1).expect("slots");
    let guard = ours.try_acquire(1).expect("slots").expect("free");
    let request = worker.request("touch up; while [ ! -e go ]; do sleep 0.01; done");
    let spare = worker.spares.take().expect("a spare");
    let running = spare.send(&request, &guard.fds()).await.expect("the request is taken");
    // As if the worker had died: nothing of ours holds the slot.
    drop(guard);
    drop(ours);
    until_there(worker.job_dir.files().join("up")).await;
    assert!(other.try_acquire(1).expect("slots").is_none(), "held by the task executor");
    fs::write(worker.job_dir.files().join("go"), "").expect("written");
    within(async {
        while other.try_acquire(1).expect("slots").is_none() {
            other.freed().await.expect("a watch");
        }
    })
    .await;
    within(running.exited()).await;
}

#[tokio::test]
async fn places_are_used_again_and_always_empty() {
    let mut worker = Worker::new();
    let mut places = Places::new(&worker.job_dir, Epoch(5));
    let mut inodes = Vec::new();
    for n in 0..3 {
        let mut request = worker.request("ls -A \"$TMPDIR\"; touch \"$TMPDIR/x\"; [ -e keep ] || rm \"$TMPDIR/x\"");
        places.lend(&mut request.paths);
        let (report, out) = worker.run(&request).await;
        assert!(report.outcome.is_success());
        assert_eq!(out, "", "attempt {n} begins with an empty TMPDIR");
        assert_eq!(read_report(&request.paths, request.nonce), Some(report));
        inodes.push(fs::metadata(&request.paths.report).expect("a report").ino());
        places.take_back(&request.paths).expect("taken back");
        assert!(!request.paths.handle.exists());
        assert!(request.paths.blank.is_none_or(|blank| !blank.exists()), "the report before it was written over");
        fs::write(worker.job_dir.files().join("keep"), "").expect("written");
    }
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "one file for all: {inodes:?}");

    // The next job's attempts have them too.
    let old = worker.job_dir.clone();
    let leftover = old.leave(places).expect("left").expect("all places came back");
    worker.job_dir = JobDir::new(worker.dir.path().join("next"), 10);
    let mut places = worker.job_dir.create(Some(leftover)).expect("made").expect("moved");
    fs::create_dir(worker.job_dir.files()).expect("made");
    assert!(!old.reports().exists());
    let mut request = worker.request("[ -d \"$TMPDIR\" ] && chmod 500 \"$TMPDIR\"");
    places.lend(&mut request.paths);
    let tmp = request.paths.tmp.clone();
    assert!(tmp.starts_with(worker.job_dir.reports()));
    worker.run(&request).await;
    assert_eq!(fs::metadata(&request.paths.report).expect("a report").ino(), inodes[0]);
    assert!(!tmp.exists(), "a folder whose rights were changed serves nobody else");
    assert!(worker.job_dir.leave(places).expect("removed").is_none(), "a place that was not given back may be in use");
    assert!(!worker.job_dir.reports().exists());
}

/// A folder that is there already is this job's own, and stays; what would have been moved is removed.
#[test]
fn places_move_to_new_folders_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let (old, next) = (JobDir::new(dir.path().join("old"), 1), JobDir::new(dir.path().join("next"), 1));
    old.create(None).expect("made");
    next.create(None).expect("made");
    fs::write(next.reports().join("0.1.json"), "{}").expect("written");
    let leftover = old.leave(Places::new(&old, Epoch(1))).expect("left");
    assert!(next.create(leftover).expect("made").is_none());
    assert!(next.reports().join("0.1.json").exists() && !old.reports().exists());
}

#[tokio::test]
async fn a_start_that_fails_is_reported_and_an_unknown_executor_too() {
    let mut worker = Worker::new();
    let mut request = worker.request("");
    request.spec.argv = Some(vec!["no-such-program".into()]);
    let (report, _) = worker.run(&request).await;
    assert_eq!((report.outcome.ending.clone(), report.started), (Ending::StartFailed { code: 127 }, 0));
    let mut request = worker.request("true");
    request.executor = ExecutorKind::Docker;
    let (report, _) = worker.run(&request).await;
    let Outcome { ending, message } = report.outcome;
    assert_eq!(ending, Ending::Invalid);
    assert!(message.contains("docker"), "{message}");
}

#[tokio::test]
async fn a_task_executor_is_small_while_its_task_runs() {
    let mut worker = Worker::new();
    let request = worker.request("touch up; sleep 300");
    let running = worker.start(&request).await;
    until_there(worker.job_dir.files().join("up")).await;
    let status = fs::read_to_string(format!("/proc/{}/status", running.id().pid)).expect("it runs");
    let resident =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
    // An unoptimised program is a larger one.
    let limit = if cfg!(debug_assertions) { 8 } else { 3 } * 1024;
    assert!(resident.is_some_and(|kib: u64| kib <= limit), "{resident:?} KiB");
    running.stop().expect("TERM");
    within(running.exited()).await;
}
