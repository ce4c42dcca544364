//! A host that is short of something: descriptors, CPU.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::harness::{Host, until};

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

/// Many more busy tasks than CPUs for longer than the lease: it is renewed all the same, and no task is lost.
#[test]
fn f83_cpu_starvation_costs_no_lease() {
    let host = Host::new().with_env("QMANAGER__TIMES__LEASE", "3s").with_env("QMANAGER__TASKS__GRACE", "1s");
    let busy = |n: usize| {
        format!(
            "- name: t{n}\n  params: {{command: 'end=$(($(date +%s) + 7)); while [ $(date +%s) -lt $end ]; do :; done'}}\n"
        )
    };
    host.write("busy.yaml", (0..16).map(busy).collect::<String>());
    let mut daemon = host.start(&["--workers", "2", "--parallel", "16"]);
    let job = host.submit(&["busy.yaml"]);
    host.qmanager(["wait", &job, "--timeout", "120s"]).success();
    for task in tasks(&host, &job) {
        assert_eq!((task["attempt"].as_u64(), task["losses"].as_u64()), (Some(1), Some(0)), "{task}");
    }
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}
