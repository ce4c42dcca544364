//! The template that task executors are forked from: what becomes of it, and that nobody's tasks depend on it.

use std::{collections::BTreeSet, fs, os::unix::process::CommandExt as _, path::PathBuf};

use rustix::process::{Pid, Signal};

use crate::{
    boundary::{Worker, within},
    harness::{Host, QMANAGER, QWORKER, TASK_EXECUTOR, until},
    witness::Witness,
};

/// A line `Name:` of `/proc/PID/status`; empty when there is no such process.
fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn parent(pid: i32) -> i32 {
    status(pid, "PPid").parse().expect("it lives")
}

fn is_gone(pid: i32) -> bool {
    let state = status(pid, "State");
    state.is_empty() || state.starts_with('Z')
}

fn signal(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it can be signalled");
}

/// What is open in a process: numbers and targets.
fn open_files(pid: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let mut files: Vec<(i32, String)> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let target = fs::read_link(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().parse().expect("a number"), target.to_string_lossy().into_owned())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn f02_a_template_that_is_killed_costs_no_task() {
    let mut worker = Worker::new();
    while worker.spares.refill().expect("spares") {}
    let spare = worker.spares.take().expect("a spare");
    let template = parent(spare.id().pid);
    assert_eq!(status(template, "Name"), "task-template");
    // A child says who it is before it has its own name.
    until("the spare has its name", || status(spare.id().pid, "Name") == "task-executor");
    signal(template, Signal::KILL);
    // One that lives is as good as before,
    let request = worker.request("echo lives");
    let running = spare.send(&request, &[]).await.expect("it takes its request");
    assert!(worker.message().await.outcome.is_success());
    within(running.exited()).await;
    until("its worker waits for it", || {
        drop(worker.spares.take().expect("a spare"));
        status(template, "State").is_empty()
    });
    // and the next ones come from another template.
    while worker.spares.refill().expect("spares") {}
    let spare = worker.spares.take().expect("a spare");
    let next = parent(spare.id().pid);
    assert_eq!(status(next, "Name"), "task-template");
    assert_ne!(next, template);
    let request = worker.request("exit 7");
    let running = spare.send(&request, &[]).await.expect("it takes its request");
    assert_eq!(worker.message().await.outcome.ending, executor::Ending::Exited { code: 7 });
    within(running.exited()).await;
}

#[tokio::test]
async fn f15_a_template_that_is_stopped_holds_nobody_up() {
    let mut worker = Worker::new();
    let spare = worker.spares.take().expect("a spare");
    let template = parent(spare.id().pid);
    drop(spare);
    signal(template, Signal::STOP);
    let request = worker.request("true");
    let (report, _) = within(worker.run(&request)).await;
    assert!(report.outcome.is_success());
    assert!(is_gone(template), "it is ended, since it does nothing");
}

#[tokio::test]
async fn f16_nothing_of_the_template_or_of_its_other_children_is_open_in_a_task_executor() {
    let mut worker = Worker::new();
    worker.spares.set_ahead(5);
    while worker.spares.refill().expect("spares") {}
    let spares: Vec<_> = (0..5).map(|_| worker.spares.take().expect("a spare")).collect();
    let template = parent(spares[0].id().pid);
    let sockets = |pid: i32| -> BTreeSet<String> {
        open_files(pid).into_iter().map(|(_, to)| to).filter(|to| to.starts_with("socket:")).collect()
    };
    let mut seen = sockets(template);
    assert_eq!(seen.len(), 1, "the template has its own socket alone: {:?}", open_files(template));
    for spare in &spares {
        // It has said who it is before it has closed everything.
        let pid = spare.id().pid;
        until("it has closed what is not its own", || open_files(pid).len() <= 4);
        let own = sockets(pid);
        assert_eq!(own.len(), 1, "its standard input: {:?}", open_files(pid));
        assert!(own.iter().all(|socket| seen.insert(socket.clone())), "no socket is in two of them");
        until("it leads its own session", || getsid(pid) == pid);
    }
    for spare in &spares {
        assert_eq!(parent(spare.id().pid), template);
    }
}

fn getsid(pid: i32) -> i32 {
    rustix::process::getsid(Pid::from_raw(pid)).map_or(0, |session| session.as_raw_nonzero().get())
}

#[tokio::test]
async fn a_template_and_its_spares_end_with_their_worker() {
    let mut worker = Worker::new();
    worker.spares.set_ahead(3);
    while worker.spares.refill().expect("spares") {}
    let spare = worker.spares.take().expect("a spare");
    let template = parent(spare.id().pid);
    let children = || fs::read_to_string(format!("/proc/{template}/task/{template}/children")).unwrap_or_default();
    until("all are there", || children().split_whitespace().count() >= 3);
    let pids: Vec<i32> = children().split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
    drop(spare);
    drop(worker);
    for pid in pids.into_iter().chain([template]) {
        assert!(status(pid, "State").is_empty(), "{pid} is left: {}", status(pid, "State"));
    }
}

#[tokio::test]
async fn a_template_waits_for_its_children() {
    let mut worker = Worker::new();
    let spare = worker.spares.take().expect("a spare");
    let pid = spare.id().pid;
    let template = parent(pid);
    drop(spare);
    until("no zombie is left", || status(pid, "State").is_empty());
    assert!(!is_gone(template));
}

/// The three programs of an installation of its own.
pub(crate) fn install(host: &Host) -> PathBuf {
    let bin = host.dir().join("bin");
    fs::create_dir(&bin).expect("a folder");
    for program in [QMANAGER, QWORKER, TASK_EXECUTOR] {
        let name = std::path::Path::new(program).file_name().expect("a name");
        fs::copy(program, bin.join(name)).expect("a copy");
    }
    bin
}

/// The programs that the task executors of a host run.
fn images(host: &Host) -> Vec<String> {
    let link = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default().to_string_lossy().into_owned();
    host.titled("task-executor: ").into_iter().map(link).filter(|image| !image.is_empty()).collect()
}

#[test]
fn f09_a_program_that_is_replaced_under_running_jobs_costs_none_of_them() {
    let host = Host::new().with_env("QMANAGER__TIMES__BACKOFF", "10ms");
    let bin = install(&host);
    let program = bin.join("qmanager");
    let witness = Witness::new(host.dir());
    let tasks: String = (0..60).map(|n| witness.task(&format!("t{n}"), &[], "sleep 0.02")).collect();
    let file = host.write("w.yaml", tasks);
    let mut daemon =
        host.background(host.command(program.to_str().expect("text"), ["start", "--workers", "1", "--parallel", "2"]));
    until("the daemon serves", || !host.titled("task-executor: ").is_empty());
    let job = host.submit(&[file.to_str().expect("text")]);
    until("the job runs", || witness.len() >= 10);
    // As a package manager does it: the new file beside the old one, then in its place.
    fs::copy(TASK_EXECUTOR, bin.join("new")).expect("a copy");
    fs::rename(bin.join("new"), bin.join("task-executor")).expect("replaced");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    assert_eq!(testimony.ended().len(), 60);
    assert!(testimony.begins().values().all(|begins| *begins == 1), "no attempt was lost");
    assert!(images(&host).iter().any(|image| image.ends_with(" (deleted)")), "the old template goes on");

    for worker in host.titled("qworker: ") {
        host.kill(worker);
    }
    let new = bin.join("task-executor").to_string_lossy().into_owned();
    until("the next worker starts the new one", || {
        let images = images(&host);
        !images.is_empty() && images.iter().all(|image| *image == new)
    });
    let job = host.submit(&[file.to_str().expect("text")]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    assert!(images(&host).iter().all(|image| *image == new));
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

/// Ctrl-Z and `fg`, over and over, while task executors are started.
#[test]
fn f15_stops_from_the_terminal_in_the_spawn_window_hold_nothing_up() {
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let tasks: String = (0..60).map(|n| witness.task(&format!("t{n}"), &[], "sleep 0.02")).collect();
    let file = host.write("w/w.yaml", tasks);
    let mut command = host.command(QMANAGER, ["run", file.to_str().expect("text"), "--parallel", "2"]);
    command.process_group(0);
    let mut run = host.background(command);
    let group = Pid::from_raw(run.pid()).expect("a pid");
    let mut stops = 0;
    loop {
        // A task has just begun or ended, so one is about to be started.
        let seen = witness.len();
        until("it goes on", || witness.len() > seen || !run.is_running());
        if !run.is_running() {
            break;
        }
        for signal in [Signal::TSTP, Signal::CONT] {
            // It may have ended in between.
            let _gone = rustix::process::kill_process_group(group, signal);
        }
        stops += 1;
    }
    run.wait().expect(0);
    assert!(stops >= 5, "{stops} stops");
    let testimony = witness.read();
    assert_eq!(testimony.ended().len(), 60);
    assert!(testimony.begins().values().all(|begins| *begins == 1), "no attempt was lost");
    host.assert_nothing_left();
}
