//! The docker executor under the programs, on a real engine: the examples, what is killed, what is left.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    engine::{self, Found, Held, Own},
    harness::{Host, TASK_EXECUTOR_SDK, copy_folder, repository, skipped, until, until_within},
    script,
};

/// Starts a container and ends it: a busy machine takes its time.
pub(crate) const LONG: Duration = Duration::from_secs(280);

/// The engine for these tests; `None`: there is none here.
pub(crate) fn docker() -> Option<String> {
    static HELD: OnceLock<Found> = OnceLock::new();
    match HELD.get_or_init(engine::shared) {
        Found::Engine(Held { .. }) => engine::host(),
        Found::None(why) => {
            assert!(!script::in_ci(), "no Docker engine: {why}");
            skipped(&format!("no Docker engine: {why}"));
            None
        }
    }
}

pub(crate) fn host_with(engine: &str) -> Host {
    Host::new().with_env("DOCKER_HOST", engine)
}

/// Containers of a job.
fn containers(engine: &str, job: &str) -> Vec<String> {
    let label = format!("label=qmanager.job={job}");
    let words = ["ps", "-a", "--filter", &label, "--format", "{{.Names}}"];
    engine::docker(engine, &words).lines().map(str::to_owned).collect()
}

/// Each file below a folder, with its bytes.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("BUG: below it").to_string_lossy().into_owned();
                files.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    files
}

#[test]
fn examples_leave_the_same_job_files_under_shell_and_docker() {
    let Some(engine) = docker() else { return };
    engine::script(&["debian"], &engine).expect("images");
    let examples =
        [("cleanup", 1), ("compile", 0), ("logs", 0), ("nightly", 0), ("retry", 0), ("sweep", 0), ("wordcount", 0)];
    for (example, code) in examples {
        let host = host_with(&engine);
        let file = if example == "nightly" { "job.yaml" } else { "workflow.yaml" };
        let mut trees = Vec::new();
        for executor in ["shell", "docker"] {
            let folder = host.dir().join(executor).join(example);
            copy_folder(&repository("examples").join(example), &folder);
            // What a developer's own run has left there is not ours.
            let _none = fs::remove_dir_all(folder.join("out"));
            let path = format!("{executor}/{example}/{file}");
            host.qmanager(["run", "--parallel", "2", "--executor", executor, &path]).expect(code);
            trees.push(tree(&folder));
        }
        let names = |tree: &BTreeMap<String, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&trees[0]), names(&trees[1]), "{example}");
        for (name, bytes) in &trees[0] {
            assert!(trees[1][name] == *bytes, "{example}: {name} differs");
        }
        let job = host.qmanager(["status", "@last", "--json"]).success().json().remove(0);
        assert_eq!(containers(&engine, job["id"].as_str().expect("an id")), [""; 0]);
    }
}

pub(crate) const WAITING: &str = "- name: one
  params:
    image: busybox:local
    command: echo start >> trace; echo begun; while [ ! -e go ]; do sleep 0.05; done; echo end >> trace
";

/// A task that waits in its container, with a daemon: the job's id.
fn waiting(host: &Host) -> String {
    host.write("w.yaml", WAITING);
    let job = host.submit(&["w.yaml"]);
    until("the task runs", || host.qmanager(["logs", &job]).stdout.contains("begun"));
    job
}

fn files(host: &Host, job: &str) -> std::path::PathBuf {
    host.state_dir().join("jobs").join(job).join("files")
}

fn ends_once(host: &Host, engine: &str, job: &str) {
    fs::write(files(host, job).join("go"), "").expect("a job file");
    host.qmanager(["wait", "--timeout", "60s", job]).success();
    let trace = fs::read_to_string(files(host, job).join("trace")).expect("the trace");
    assert_eq!(trace, "start\nend\n", "it ran once: {}", host.job(job));
    until("no container is left", || containers(engine, job).is_empty());
}

#[test]
fn f02_a_killed_task_executor_is_replaced_and_its_container_goes_on() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = waiting(&host);
    // The spare ones too, and all in one moment for the worker: the first that it sends to the container is dead already.
    let worker = Pid::from_raw(host.titled("qworker: ")[0]).expect("a worker");
    kill_process(worker, Signal::STOP).expect("it runs");
    let old = host.titled("task-executor: ");
    old.iter().for_each(|pid| host.kill(*pid));
    kill_process(worker, Signal::CONT).expect("it is there");
    until("another task executor is there", || host.titled("task-executor: ").iter().any(|pid| !old.contains(pid)));
    ends_once(&host, &engine, &job);
    let logs = host.qmanager(["logs", &job]).success();
    assert_eq!(logs.stdout.matches("begun").count(), 1, "{logs:?}");
}

#[test]
fn f01_a_killed_worker_and_manager_lose_no_container() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    let mut daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = waiting(&host);
    host.titled("qworker: ").into_iter().for_each(|pid| host.kill(pid));
    daemon.end(Signal::KILL);
    // All of it: what is left is the container.
    host.titled("task-executor: ").into_iter().for_each(|pid| host.kill(pid));
    assert_eq!(containers(&engine, &job).len(), 1);
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    ends_once(&host, &engine, &job);
}

#[test]
fn f52_a_killed_engine_or_shim_ends_no_job_wrongly() {
    if docker().is_none() || !rustix::process::geteuid().is_root() {
        return skipped("only root can start an engine to be killed");
    }
    let own = Own::start().expect("an engine");
    let engine = own.host();
    let host = host_with(&engine);
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = waiting(&host);
    host.kill(own.pid());
    own.restart();
    let attempts = || fs::read_to_string(files(&host, &job).join("trace")).unwrap_or_default().lines().count();
    until_within(LONG, "the task runs again: how it ended is not known", || attempts() == 2);
    fs::write(files(&host, &job).join("go"), "").expect("a job file");
    host.qmanager(["wait", "--timeout", "60s", &job]).success();
    let row = &host.job(&job)["task_list"][0];
    assert_eq!((&row["status"], &row["attempt"]), (&"succeeded".into(), &2.into()), "{row}");
    until("no container is left", || containers(&engine, &job).is_empty());
    // Its shim is all that holds a container: how that one ended nobody knows, and it runs again.
    let job = waiting(&host);
    let id = engine::docker(&engine, &["ps", "-q", "--no-trunc"]);
    engine::shims(&id).into_iter().for_each(|pid| host.kill(pid));
    until_within(LONG, "the task runs again: its container was let go", || {
        fs::read_to_string(files(&host, &job).join("trace")).unwrap_or_default().lines().count() == 2
    });
    fs::write(files(&host, &job).join("go"), "").expect("a job file");
    host.qmanager(["wait", "--timeout", "60s", &job]).success();
    let row = &host.job(&job)["task_list"][0];
    assert_eq!((&row["status"], &row["attempt"]), (&"succeeded".into(), &2.into()), "{row}");
    assert_eq!((&row["losses"], &row["retries"]), (&1.into(), &0.into()), "{row}");
    until("no container is left", || containers(&engine, &job).is_empty());
}

#[test]
fn f54_what_nobody_waits_for_is_removed_at_the_start() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    host.write("t.yaml", "[{name: a, params: {command: \"true\", image: \"busybox:local\"}}]");
    let daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = host.submit(&["--wait", "t.yaml"]);
    let job = job.lines().next().expect("an id").to_owned();
    drop(daemon);
    let labels = [
        format!("qmanager.host={}", task_process::host_id()),
        format!("qmanager.job={job}"),
        "qmanager.task=0".to_owned(),
        "qmanager.attempt=1".to_owned(),
    ];
    let mut words = vec!["run", "-d"];
    labels.iter().for_each(|label| words.extend(["--label", label]));
    words.extend(["busybox:local", "sleep", "600"]);
    engine::docker(&engine, &words);
    assert_eq!(containers(&engine, &job).len(), 1);
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    until("what was left is gone", || containers(&engine, &job).is_empty());
}

#[test]
fn a_stop_and_a_cancel_leave_no_container() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine).with_env("QMANAGER__TASKS__GRACE", "1s");
    let mut daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = waiting(&host);
    host.qmanager(["cancel", &job]).success();
    host.qmanager(["wait", "--timeout", "60s", &job]).expect(6);
    until("the container is gone", || containers(&engine, &job).is_empty());
    let job = waiting(&host);
    daemon.end(Signal::TERM).success();
    assert_eq!(containers(&engine, &job), [""; 0]);
    assert_eq!(host.job(&job)["status"], "queued");
    host.assert_nothing_left();
}

/// `QMANAGER_CONTAINERS=NUMBER` makes it longer: the acceptance run is 500.
#[test]
fn f50_many_short_containers_lose_no_exit_code() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    let wanted = std::env::var("QMANAGER_CONTAINERS").unwrap_or_else(|_| "60".into());
    let count: usize = wanted.parse().expect("QMANAGER_CONTAINERS=NUMBER");
    let tasks: String = (0..count)
        .map(|i| format!("- {{name: t{i}, params: {{command: [\"true\"], image: \"busybox:local\"}}}}\n"))
        .collect();
    host.write("many.yaml", tasks);
    let mut run = host.spawn(&["run", "--executor", "docker", "--parallel", "4", "many.yaml"]);
    until_within(LONG, "the containers have run", || !run.is_running());
    run.wait().success();
    let job = host.qmanager(["status", "@last", "--tasks", "--json"]).success().json().remove(0);
    let tasks = job["task_list"].as_array().expect("tasks");
    assert_eq!(tasks.iter().filter(|task| task["status"] == "succeeded" && task["attempt"] == 1).count(), count);
    until("no container is left", || containers(&engine, job["id"].as_str().expect("an id")).is_empty());
}

#[test]
fn one_task_alone_runs_in_the_same_container() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    host.write("t.yaml", "[{name: a, params: {command: \"pwd; echo $QM_TASK; exit 7\", image: \"busybox:local\"}}]");
    let done = host.task_executor(["run", "t.yaml", "--task", "a", "--executor", "docker"]).expect(7);
    assert_eq!(done.stdout, "/jobfiles\na\n");
    let done = host.task_executor(["run", "t.yaml", "--task", "a", "--executor", "docker", "--shell"]).success();
    assert_eq!(done.stdout, "", "a shell without input ends at once");
}

#[test]
fn doctor_says_what_is_wrong_with_the_engine() {
    let host = Host::new().with_env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let done = host.qmanager(["doctor", "--executor", "docker"]);
    assert!(done.stdout.contains("there is no socket /no/such/docker.sock"), "{done:?}");
    assert!(done.stdout.contains("DOCKER_HOST"), "{done:?}");
    // Nobody waits in front of a terminal for an engine that is not there.
    host.write("t.yaml", "[{name: a, params: {command: x, image: y}}]");
    let done = host.qmanager(["run", "--executor", "docker", "t.yaml"]).expect(9);
    assert!(done.stderr.contains("there is no socket /no/such/docker.sock"), "{done:?}");
    assert!(Path::new(TASK_EXECUTOR_SDK).is_file());
}
