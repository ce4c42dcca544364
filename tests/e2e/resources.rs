//! A host that is short of something: descriptors, processes, memory, CPU.

use std::{fs, os::unix::fs::chown};

use job_queue::conformance::server::Server;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::{
    harness::{Host, QMANAGER, QWORKER, Running, TASK_EXECUTOR, until},
    witness::Witness,
};

fn tasks(host: &Host, job: &str) -> Vec<serde_json::Value> {
    host.job(job)["task_list"].as_array().expect("tasks").clone()
}

/// A worker that can open nothing more starts no task executor: it says so, its task waits, and costs no retry.
#[test]
fn f82_no_descriptors_left() {
    let host = Host::new();
    host.write("w.yaml", "- name: first\n  params: {command: sleep 0.1}\n- name: then\n  depends: [first]\n  params: {command: 'true'}\n");
    let mut daemon = host.start(&["--workers", "1", "--parallel", "1"]);
    // The first job has everything opened that stays open.
    let warm = host.submit(&["w.yaml"]);
    host.qmanager(["wait", &warm, "--timeout", "60s"]).success();
    let worker = host.titled("qworker: ").first().copied().and_then(Pid::from_raw).expect("a worker");
    // The hard limit stays: not everybody may raise it again.
    let none = Rlimit { current: Some(3), maximum: getrlimit(Resource::Nofile).maximum };
    let before = prlimit(Some(worker), Resource::Nofile, none).expect("its limit can be set");
    let job = host.submit(&["w.yaml"]);
    let degraded = || host.qmanager(["status", "--json"]).json()[0]["daemon"]["workers"][0]["degraded"].is_string();
    until("the worker says so", degraded);
    assert!(tasks(&host, &job).iter().all(|task| task["retries"] == 0), "{:?}", tasks(&host, &job));
    prlimit(Some(worker), Resource::Nofile, before).expect("its limit can be set");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    for task in tasks(&host, &job) {
        assert_eq!((task["status"].as_str(), task["retries"].as_u64()), (Some("succeeded"), Some(0)), "{task}");
    }
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

/// Limits how many processes the user of a host may have, for all of its processes but the manager.
fn limit_processes(host: &Host, daemon: &Running, most: Option<u64>) {
    let most = most.map_or("unlimited".to_owned(), |most| most.to_string());
    for (pid, _) in host.processes() {
        if pid != daemon.pid() {
            // As that user: others' limits are not even root's to set everywhere. It may have ended in between.
            drop(host.command("prlimit", ["--pid", &pid.to_string(), &format!("--nproc={most}:")]).output());
        }
    }
}

/// A host whose programs run as a user of no other process (root has no limit of processes), and the daemon of it.
fn unprivileged() -> (Host, Running) {
    const USER: u32 = 54_321;
    let mut host = Host::new();
    let program = if rustix::process::getuid().is_root() {
        for program in [QMANAGER, QWORKER, TASK_EXECUTOR] {
            let name = std::path::Path::new(program).file_name().expect("a name");
            // Where they were built that user may not look.
            fs::copy(program, host.dir().join(name)).expect("a copy");
        }
        for folder in [host.dir().to_path_buf(), host.home()] {
            chown(folder, Some(USER), Some(USER)).expect("given away");
        }
        host = host.within(&["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]);
        host.dir().join("qmanager").to_str().expect("text").to_owned()
    } else {
        QMANAGER.to_owned()
    };
    let daemon = host.background(host.command(&program, ["start", "--workers", "1", "--parallel", "2"]));
    until("the daemon serves", || {
        let done = host.qmanager(["status", "--json"]);
        done.code() == 0 && done.json()[0]["daemon"]["workers"].as_array().is_some_and(|all| !all.is_empty())
    });
    (host, daemon)
}

/// No process can be started any more (`RLIMIT_NPROC`, as `pids.max` does): the worker says so, its tasks wait and spend no
/// retry; when there is room again, they run.
#[test]
fn f82_no_process_can_be_started() {
    let (host, mut daemon) = unprivileged();
    let witness = Witness::new(host.dir());
    let text = witness.task("first", &[], "true") + &witness.task("then", &["first".into()], "true");
    let file = host.write("w.yaml", text);
    let file = file.to_str().expect("text");
    let warm = host.submit(&[file]);
    host.qmanager(["wait", &warm, "--timeout", "60s"]).success();
    until("only its spare is left", || host.titled("task-executor: ").len() <= 2);
    limit_processes(&host, &daemon, Some(1));
    // The spare that waits already may still take the first task; what that starts fails, or the second has none.
    let job = host.submit(&[file]);
    let said = || {
        let shown = host.qmanager(["status", "--json"]).json()[0]["daemon"]["workers"][0].clone();
        shown["degraded"].is_string() || tasks(&host, &job).iter().any(|task| task["losses"] != 0)
    };
    until("it is told", said);
    assert!(tasks(&host, &job).iter().all(|task| task["retries"] == 0), "{:?}", tasks(&host, &job));
    assert!(host.job(&job)["status"] != "failed", "{:?}", tasks(&host, &job));
    limit_processes(&host, &daemon, getrlimit(Resource::Nproc).maximum);
    host.qmanager(["wait", &job, "--timeout", "100s"]).success();
    for task in tasks(&host, &job) {
        assert_eq!((task["status"].as_str(), task["retries"].as_u64()), (Some("succeeded"), Some(0)), "{task}");
    }
    // An attempt that could not start its shell is lost, and has not begun.
    assert_eq!(witness.len(), 8, "each task ran once, in both jobs");
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

/// A worker that gets no more memory (`RLIMIT_AS`): whether it ends or waits, another one or itself goes on with the job
/// when there is memory, and no task runs twice or spends a retry.
#[test]
fn f82_no_memory_left() {
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", host.dir().join("go").display());
    let mut text = witness.task("long", &[], &wait);
    for number in 0..200 {
        text += &witness.task(&format!("t{number}"), &["long".into()], "true");
    }
    let file = host.write("w.yaml", text);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "4"]);
    let job = host.submit(&[file.to_str().expect("text")]);
    until("the long task runs", || witness.len() == 1);
    let worker = host.titled("qworker: ")[0];
    let none = Rlimit { current: Some(1 << 20), maximum: getrlimit(Resource::As).maximum };
    prlimit(Pid::from_raw(worker), Resource::As, none).expect("its limit can be set");
    host.write("go", "");
    host.qmanager(["wait", &job, "--timeout", "100s"]).success();
    for task in tasks(&host, &job) {
        let row = (task["status"].as_str(), task["retries"].as_u64(), task["attempt"].as_u64());
        assert_eq!(row, (Some("succeeded"), Some(0), Some(1)), "{task}");
    }
    assert_eq!(witness.len(), 402, "each task ran once");
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

/// Many more busy tasks than CPUs for longer than the lease: it is renewed all the same, and no task is lost.
#[test]
fn f83_cpu_starvation_costs_no_lease() {
    starve(&Host::new().with_env("QMANAGER__TIMES__LEASE", "3s").with_env("QMANAGER__TASKS__GRACE", "1s"));
}

/// Likewise where the lease is the database's, and the server has as little of the CPU.
#[test]
fn f83_cpu_starvation_costs_no_lease_on_postgresql() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    let host = Host::new().with_env("QMANAGER__DB__URL", &database.url());
    host.qmanager(["queue", "migrate"]).success();
    starve(&host.with_env("QMANAGER__TIMES__LEASE", "6s").with_env("QMANAGER__TASKS__GRACE", "1s"));
}

fn starve(host: &Host) {
    let busy = |n: usize| {
        format!(
            "- name: t{n}\n  params: {{command: 'end=$(($(date +%s) + 7)); while [ $(date +%s) -lt $end ]; do :; done'}}\n"
        )
    };
    host.write("busy.yaml", (0..16).map(busy).collect::<String>());
    let mut daemon = host.start(&["--workers", "2", "--parallel", "16"]);
    let job = host.submit(&["busy.yaml"]);
    host.qmanager(["wait", &job, "--timeout", "120s"]).success();
    for task in tasks(host, &job) {
        assert_eq!((task["attempt"].as_u64(), task["losses"].as_u64()), (Some(1), Some(0)), "{task}");
    }
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}
