//! Slots of unequal weight, task executors that do not obey, and ends that are nobody's but the task's.

use crate::harness::{Host, until};

fn host() -> Host {
    Host::new().with_env("QMANAGER__TASKS__GRACE", "1s")
}

fn tasks(host: &Host, job: &str) -> Vec<serde_json::Value> {
    let status = host.qmanager(["status", job, "--tasks", "--json"]).success().json().remove(0);
    status["task_list"].as_array().expect("tasks").clone()
}

/// A task takes as many slots as it has CPUs; what it leaves is enough for lighter and heavier ones.
#[test]
fn tasks_of_unequal_weight_follow_each_other() {
    let host = host();
    let weights = [2, 1, 1, 3, 1, 2, 8, 1];
    let task = |(n, cpus): (usize, &u32)| {
        let after = if n == 5 { "\n  depends: [t0, t3]" } else { "" };
        format!("- name: t{n}{after}\n  params: {{command: sleep 0.02, resources: {{cpus: {cpus}}}}}\n")
    };
    host.write("weights.yaml", weights.iter().enumerate().map(task).collect::<String>());
    for parallel in ["1", "2", "3"] {
        host.qmanager(["run", "weights.yaml", "--fresh", "--parallel", parallel]).expect(0);
    }
    host.assert_nothing_left();
}

/// A task stops its own task executor: its timeout and a cancel end both all the same.
#[test]
fn f15_a_stopped_task_executor_is_ended() {
    let host = host();
    host.write(
        "stop.yaml",
        "- name: by-timeout\n  timeout: 1s\n  params: {command: kill -STOP $PPID; sleep 300}\n\
         - name: by-cancel\n  params: {command: touch there; kill -STOP $PPID; sleep 300}\n",
    );
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&["stop.yaml"]);
    until("both run", || tasks(&host, &job).iter().all(|task| task["status"] == "running"));
    host.qmanager(["cancel", &job, "--now"]).success();
    host.qmanager(["wait", &job]).expect(6);
    for task in tasks(&host, &job) {
        assert_eq!(task["status"], "cancelled", "{task}");
    }
    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

/// A command that succeeded is not run again because its output cannot go where the file says.
#[test]
fn output_that_cannot_be_published_is_the_tasks_own_fault() {
    let host = host();
    host.write("out.yaml", "- name: out\n  retry: 3\n  params: {command: echo x >> ran; echo y, stdout: taken}\n");
    std::fs::create_dir(host.dir().join("taken")).expect("a folder");
    host.qmanager(["run", "out.yaml"]).expect(1);
    let row = tasks(&host, "@last").remove(0);
    assert_eq!((row["cause"].as_str(), row["attempt"].as_u64()), (Some("invalid"), Some(1)), "{row}");
    assert_eq!(host.read("ran"), "x\n");
}
