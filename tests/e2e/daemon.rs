//! The daemon among its disturbances: a second one, a removed run-dir, stopped and crashing workers; and how it says
//! that it is ready.

use std::{fs, os::unix::net::UnixDatagram, time::Duration};

use job_queue::{Claim, OpenOptions, Owner};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use workflow_model::{ExecutorKind, JobStatus, TaskStatus};

use crate::{
    harness::{Host, QMANAGER, Running, until},
    witness::Witness,
};

/// A task that ends well when the file `go` is there, and says when it began.
fn patient(host: &Host, witness: &Witness) -> String {
    let go = host.dir().join("go");
    let text = witness.task("long", &[], &format!("while [ ! -e {} ]; do sleep 0.02; done", go.display()));
    host.write("patient.yaml", text).to_str().expect("text").to_owned()
}

/// A host whose silent workers are killed after 4 s.
fn host() -> Host {
    Host::new()
        .with_env("QMANAGER__TIMES__LEASE", "6s")
        .with_env("QMANAGER__TASKS__GRACE", "500ms")
        .with_env("QMANAGER__TIMES__BACKOFF", "20ms")
        .with_env("QMANAGER__TIMES__BACKOFF_MAX", "500ms")
}

fn status(host: &Host) -> Value {
    host.qmanager(["status", "--json"]).success().json().remove(0)
}

fn signal(pid: i32, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(pid).expect("a pid"), signal).expect("it can be signalled");
}

fn stop(host: &Host, daemon: &mut Running) {
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

/// The job ends well, `long` began once, the daemon stops and leaves nothing.
fn ends_well(host: &Host, witness: &Witness, job: &str, daemon: &mut Running) {
    host.write("go", "");
    host.qmanager(["wait", job, "--timeout", "60s"]).success();
    assert_eq!(witness.read().begins().get("long"), Some(&1), "{}", host.job(job));
    stop(host, daemon);
}

#[test]
fn f21_a_second_start_is_refused_and_names_the_first() {
    let host = Host::new();
    let mut daemon = host.start(&["--workers", "1"]);
    for again in [["start"].as_slice(), &["start", "-d"]] {
        let refused = host.qmanager(again).expect(8);
        assert!(refused.stderr.contains(&daemon.pid().to_string()), "{refused:?}");
        assert!(refused.stdout.is_empty(), "{refused:?}");
    }
    assert_eq!(status(&host)["daemon"]["pid"], daemon.pid());
    stop(&host, &mut daemon);
}

#[test]
fn f26_a_removed_run_dir_is_made_anew_and_no_second_daemon_slips_in() {
    let host = host();
    let witness = Witness::new(host.dir());
    let file = patient(&host, &witness);
    let mut daemon = host.start(&["--workers", "2"]);
    let job = host.submit(&[&file]);
    until("the task runs", || witness.len() == 1);
    fs::remove_dir_all(host.run_dir()).expect("removed");
    host.qmanager(["start", "--workers", "2"]).expect(8);
    let there = |name: &str| host.run_dir().join(name).exists();
    until("the run-dir is made anew", || there("manager.lock") && there("manager.json") && there("default00.ipc"));
    assert_eq!(status(&host)["daemon"]["pid"], daemon.pid());
    // Another job has all it needs too.
    let quick = host.write("quick.yaml", "- name: a\n  params: {command: 'true'}\n");
    host.qmanager(["submit", quick.to_str().expect("text"), "--wait"]).success();
    ends_well(&host, &witness, &job, &mut daemon);
}

#[test]
fn f14_a_stopped_worker_is_killed_and_its_job_goes_on() {
    let host = host();
    let witness = Witness::new(host.dir());
    let file = patient(&host, &witness);
    let mut daemon = host.start(&["--workers", "1"]);
    let job = host.submit(&[&file]);
    until("the task runs", || witness.len() == 1);
    let worker = host.titled("qworker: ");
    signal(worker[0], Signal::STOP);
    until("another worker has its place", || {
        let now = host.titled("qworker: ");
        now.len() == 1 && now != worker
    });
    ends_well(&host, &witness, &job, &mut daemon);
}

#[tokio::test]
async fn f14_a_worker_that_wakes_up_late_writes_nothing() {
    let host = host().with_env("QMANAGER__TIMES__LEASE", "60s");
    let witness = Witness::new(host.dir());
    let file = patient(&host, &witness);
    let mut daemon = host.start(&["--workers", "1"]);
    let job = host.submit(&[&file]);
    until("the task runs", || witness.len() == 1);
    let worker = host.titled("qworker: ")[0];
    signal(worker, Signal::STOP);
    // Somebody else takes the job meanwhile.
    let url = format!("sqlite:{}", host.state_dir().join("queue.db").display());
    let queue = job_queue::open(&url, &OpenOptions::default()).expect("the queue");
    let row = queue.get(job.parse().expect("an id")).await.expect("the job");
    let claim = Claim {
        queue: row.queue.clone(),
        owner: Owner { host: "elsewhere".into(), run_dir: "r".into(), slot: "default00".into() },
        dead: vec![row.owner.expect("the worker")],
        executor: ExecutorKind::Shell,
        store: format!("fs:{}", host.state_dir().join("jobs").display()),
        place: None,
        ttl: Duration::from_secs(600),
        fresh: false,
    };
    let taken = queue.claim(&claim).await.expect("claimed").expect("the job").job;
    host.write("go", "");
    until("the task has ended", || witness.len() == 2);
    signal(worker, Signal::CONT);
    until("the late worker has ended", || !host.titled("qworker: ").contains(&worker));
    let now = queue.get(taken.id).await.expect("the job");
    assert_eq!((now.status, now.epoch), (JobStatus::Running, taken.epoch));
    assert_eq!(queue.tasks(taken.id).await.expect("tasks")[0].status, TaskStatus::Running, "it wrote nothing");
    queue.release(taken.id, taken.epoch, &[]).await.expect("released");
    queue.wake().await.expect("told");
    ends_well(&host, &witness, &job, &mut daemon);
}

#[test]
fn f06_a_crash_loop_is_slow_and_visible_and_the_daemon_stays_up() {
    let host = host();
    let mut daemon = host.start(&["--workers", "1"]);
    let lock = host.run_dir().join("default00.lock");
    let worker = host.titled("qworker: ")[0];
    // The worker may be starting still.
    until("it holds its number", || lock.exists());
    fs::remove_file(&lock).expect("removed");
    fs::create_dir(&lock).expect("in its way");
    host.kill(worker);
    until("status says so", || status(&host)["daemon"]["workers"][0]["degraded"].is_string());
    let shown = host.qmanager(["status"]).success();
    assert!(shown.stdout.contains("degraded"), "{shown:?}");
    let file = host.write("w.yaml", "- name: a\n  params: {command: 'true'}\n");
    let job = host.submit(&[file.to_str().expect("text")]);
    let starts = || daemon.stderr().matches("a worker ended").count();
    until("it goes on trying", || starts() >= 7);
    // 20, 40, …, 500 ms: not more than two a second in the end.
    let last = daemon.stderr().lines().rfind(|line| line.contains("a worker ended")).map(str::to_owned);
    assert!(last.as_ref().is_some_and(|line| line.contains("delay_ms=5")), "{last:?}");
    fs::remove_dir(&lock).expect("out of its way");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    until("all is well again", || status(&host)["daemon"]["workers"][0]["degraded"].is_null());
    stop(&host, &mut daemon);
}

#[test]
fn f06_without_its_program_a_task_waits_and_the_worker_says_so() {
    let host = host();
    // The three programs of an installation of its own.
    let bin = host.dir().join("bin");
    fs::create_dir(&bin).expect("a folder");
    for program in [QMANAGER, crate::harness::QWORKER, crate::harness::TASK_EXECUTOR] {
        fs::copy(program, bin.join(std::path::Path::new(program).file_name().expect("a name"))).expect("a copy");
    }
    let program = bin.join("qmanager");
    let mut daemon =
        host.command(program.to_str().expect("text"), ["start", "--workers", "1"]).spawn().expect("it starts");
    until("the daemon serves", || {
        status(&host)["daemon"]["workers"][0]["pid"].is_u64() && !host.titled("task-executor: ").is_empty()
    });
    fs::rename(bin.join("task-executor"), bin.join("gone")).expect("renamed");
    let file = host.write(
        "w.yaml",
        "- {name: a, params: {command: 'true'}}\n- {name: b, depends: [a], params: {command: 'true'}}\n",
    );
    let job = host.submit(&[file.to_str().expect("text")]);
    until("status says so", || status(&host)["daemon"]["workers"][0]["degraded"].is_string());
    assert_eq!(host.job(&job)["status"], "running");
    fs::rename(bin.join("gone"), bin.join("task-executor")).expect("renamed");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    until("all is well again", || status(&host)["daemon"]["workers"][0]["degraded"].is_null());
    host.qmanager(["stop"]).success();
    assert!(daemon.wait().expect("it ends").success());
    host.assert_nothing_left();
}

#[test]
fn more_workers_than_four_for_each_cpu_need_force() {
    let host = Host::new();
    let refused = host.qmanager(["start", "--workers", "4000"]).expect(2);
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    assert!(!host.state_dir().exists(), "nothing is made");
}

#[test]
fn start_d_returns_when_the_daemon_is_ready() {
    let host = Host::new();
    host.qmanager(["start", "-d", "--workers", "1"]).success();
    let shown = status(&host);
    assert!(shown["daemon"]["pid"].is_i64(), "{shown}");
    let file = host.write("w.yaml", "- name: a\n  params: {command: 'true'}\n");
    host.qmanager(["submit", file.to_str().expect("text"), "--wait"]).success();
    host.qmanager(["stop"]).success();
    host.assert_nothing_left();
    let again = host.qmanager(["stop"]).success();
    assert!(again.stderr.contains("no daemon"), "{again:?}");
}

#[test]
fn a_service_manager_is_told_of_the_start_and_the_stop() {
    let host = Host::new();
    let path = host.dir().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let host = host.with_env("NOTIFY_SOCKET", path.to_str().expect("text"));
    let heard = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).expect("a message");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut daemon = host.spawn(&["start", "--workers", "1"]);
    assert!(heard().contains("READY=1"));
    let file = host.write("w.yaml", "- name: a\n  params: {command: 'test -z \"$NOTIFY_SOCKET\"'}\n");
    host.qmanager(["submit", file.to_str().expect("text"), "--wait"]).success();
    daemon.end(Signal::TERM).success();
    assert!(heard().contains("STOPPING=1"));
    host.assert_nothing_left();
}
