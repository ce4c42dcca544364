//! Who may use an engine and for what: the engine's group, the rights of tasks, registries, debugging.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use crate::{
    docker::{LONG, WAITING, docker, host_with},
    engine,
    harness::{Host, QMANAGER, QWORKER, TASK_EXECUTOR, TASK_EXECUTOR_SDK, skipped, until, until_within},
    program::Done,
    registry::Registry,
    script,
};

/// A user and a group that this machine does not know.
const MADE_UP: u32 = 54_321;

/// The programs in a folder that every user may read; a build's folder may lie in somebody's home.
fn programs_for_all(host: &Host) -> PathBuf {
    let folder = host.dir().join("programs");
    fs::create_dir(&folder).expect("a folder");
    for program in [QMANAGER, QWORKER, TASK_EXECUTOR, TASK_EXECUTOR_SDK] {
        let copy = folder.join(Path::new(program).file_name().expect("a name"));
        if fs::hard_link(program, &copy).is_err() {
            fs::copy(program, &copy).expect("a copy");
        }
    }
    folder
}

/// `qmanager ARGS` as [`MADE_UP`], in these further groups.
fn as_somebody(host: &Host, program: &Path, groups: &[u32], args: &[&str]) -> Command {
    let list: Vec<String> = groups.iter().map(u32::to_string).collect();
    let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={}", list.join(",")) };
    let id = [format!("--reuid={MADE_UP}"), format!("--regid={MADE_UP}"), groups, "--".to_owned()];
    let mut command = host.command("setpriv", id);
    command.arg(program).args(args);
    command
}

#[test]
fn who_is_no_root_needs_the_engines_group_and_is_told_so() {
    let Some(engine) = docker() else { return };
    let socket = engine.strip_prefix("unix://").map(|path| fs::metadata(path).expect("a socket"));
    let (true, Some(socket)) = (rustix::process::geteuid().is_root(), socket) else {
        return skipped("only root can become another user");
    };
    assert_ne!(socket.gid(), MADE_UP);
    let host = host_with(&engine);
    let programs = programs_for_all(&host);
    host.write("w/t.yaml", "[{name: a, params: {command: \"id -u > who; pwd\", image: \"busybox:local\"}}]");
    for path in [host.dir().to_path_buf(), host.home(), host.dir().join("w"), host.dir().join("w/t.yaml")] {
        chown(path, Some(MADE_UP), Some(MADE_UP)).expect("root may");
    }
    let run = |groups: &[u32], program: &str, args: &[&str]| {
        Done::from(as_somebody(&host, &programs.join(program), groups, args).output().expect("setpriv starts"))
    };
    let told =
        |done: &Done, words: &[&str]| words.iter().all(|word| (done.stdout.clone() + &done.stderr).contains(word));
    let alone = ["run", "w/t.yaml", "--task", "a", "--executor", "docker"];
    let refused = run(&[], "task-executor", &alone).expect(125);
    assert!(told(&refused, &["no permission to use", "usermod -aG"]), "{refused:?}");
    let doctor = run(&[], "qmanager", &["doctor", "--executor", "docker"]);
    assert!(told(&doctor, &["no permission to use", "usermod -aG"]), "{doctor:?}");
    run(&[socket.gid()], "qmanager", &["run", "--executor", "docker", "w/t.yaml"]).success();
    let made = host.dir().join("w/who");
    assert_eq!(fs::read_to_string(&made).expect("a job file"), format!("{MADE_UP}\n"));
    let made = fs::metadata(made).expect("a job file");
    assert_eq!((made.uid(), made.gid()), (MADE_UP, MADE_UP));
    let doctor = run(&[socket.gid()], "qmanager", &["doctor", "--executor", "docker"]);
    assert!(!told(&doctor, &["no permission"]), "{doctor:?}");
}

#[test]
fn what_is_not_allowed_is_refused_with_the_setting_before_anything_starts() {
    let host = Host::new().with_env("DOCKER_HOST", "unix:///no/such/docker.sock");
    let check = |place: &str, params: &str| {
        let (task, params) = if place == "task" { (params, "image: x") } else { ("description: x", params) };
        host.write("t.yaml", format!("[{{name: a, {task}, params: {{command: x, {params}}}}}]"));
        host.qmanager(["check", "--executor", "docker", "t.yaml"])
    };
    let docker_setting = "[executors.docker]";
    for (params, setting) in [
        ("workdir: x", "`image`"),
        ("image: x, volumes: [\"/etc:/etc\"]", "`binds_allowed`"),
        ("image: x, volumes: [\"/proc:/host\"]", "`binds_allowed`"),
        ("image: x, volumes: [\"/dev:/dev\"]", "`binds_allowed`"),
    ] {
        let done = check("params", params).expect(9);
        assert!(done.stderr.contains(setting) && done.stderr.contains(docker_setting), "{params}: {done:?}");
    }
    let done = check("params", "image: x, volumes: [\"scratch:/s\"]").expect(9);
    assert!(done.stderr.contains("[volumes.scratch]"), "{done:?}");
    // What a workflow has no words for: the setting is named all the same, wherever it was written.
    for (key, setting) in [
        ("privileged: true", "`privileged = true`"),
        ("cap_add: [NET_ADMIN]", "`cap_add = "),
        ("network: host", "`network = "),
        ("network_mode: host", "`network = "),
        ("pid: host", "`host_namespaces = [\"pid\"]`"),
        ("ipc: host", "`host_namespaces = [\"ipc\"]`"),
        ("uts: host", "`host_namespaces = [\"uts\"]`"),
        ("userns_mode: host", "`host_namespaces = [\"user\"]`"),
        ("security_opt: [\"seccomp=unconfined\"]", "`no_new_privs = false`"),
        ("user: root", "`user = "),
        ("pids_limit: 0", "`pids_limit = "),
        ("docker_socket: true", "`docker_socket = true`"),
    ] {
        for place in ["params", "task"] {
            let params = if place == "task" { key.to_owned() } else { format!("image: x, {key}") };
            let done = check(place, &params).expect(3);
            assert!(done.stderr.contains(setting) && done.stderr.contains(docker_setting), "{place}, {key}: {done:?}");
        }
    }
    for key in ["devices: [/dev/kvm]", "sysctls: {}", "cgroup_parent: /"] {
        let done = check("params", &format!("image: x, {key}")).expect(3);
        assert!(done.stderr.contains("no setting"), "{key}: {done:?}");
    }
}

#[test]
fn an_engines_socket_is_no_volume_unless_the_host_says_so() {
    let host = Host::new();
    let listener = std::os::unix::net::UnixListener::bind(host.dir().join("docker.sock")).expect("a socket");
    let (folder, socket) = (host.dir().display().to_string(), host.dir().join("docker.sock").display().to_string());
    let host = host.with_env("DOCKER_HOST", &format!("unix://{socket}"));
    let config = host.write("q.toml", format!("[executors.docker]\nbinds_allowed = [\"{folder}\"]\n"));
    let check = |source: &str| {
        host.write("t.yaml", format!("[{{name: a, params: {{command: x, image: x, volumes: [\"{source}:/s\"]}}}}]"));
        host.qmanager(["--config", &config.to_string_lossy(), "check", "--executor", "docker", "t.yaml"])
    };
    for source in [&socket, &folder] {
        let done = check(source).expect(9);
        assert!(done.stderr.contains("`docker_socket = true` of [executors.docker]"), "{done:?}");
    }
    fs::write(&config, format!("[executors.docker]\nbinds_allowed = [\"{folder}\"]\ndocker_socket = true\n"))
        .expect("a file");
    check(&socket).success();
    drop(listener);
}

#[test]
fn f56_a_registry_that_comes_back_costs_no_retry() {
    let Some(engine) = docker() else { return };
    let Some(mut registry) = Registry::start(false).expect("a registry starts") else {
        assert!(!script::in_ci(), "there is no docker-registry");
        return skipped("there is no docker-registry");
    };
    let image = registry.push(&engine, "back:1");
    registry.stop();
    let host = host_with(&engine);
    host.write("t.yaml", format!("[{{name: a, params: {{command: \"true\", image: \"{image}\"}}}}]"));
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    let job = host.submit(&["t.yaml"]);
    let attempt = || host.job(&job)["task_list"][0]["attempt"].as_u64().unwrap_or_default();
    until_within(LONG, "it is tried again", || attempt() >= 2);
    registry.restart();
    host.qmanager(["wait", "--timeout", "60s", &job]).success();
    assert_eq!(registry.pulls("back:1"), 1);
    registry.forget(&engine, &image);
}

#[test]
fn f54_a_debugged_container_whose_debugger_was_killed_is_removed() {
    let Some(engine) = docker() else { return };
    let host = host_with(&engine);
    host.write("t.yaml", WAITING);
    let mut debugging =
        host.background(host.command(TASK_EXECUTOR, ["run", "t.yaml", "--task", "one", "--executor", "docker"]));
    let place = format!("volume={}", host.dir().display());
    let ours = || {
        let words = ["ps", "-a", "--filter", "label=qmanager.debugger", "--filter", &place, "--format", "{{.State}}"];
        engine::docker(&engine, &words)
    };
    let trace = || fs::read_to_string(host.dir().join("trace")).unwrap_or_default();
    until("the task runs", || trace().contains("start"));
    until("the engine says so", || ours() == "running");
    debugging.end(Signal::KILL);
    assert_eq!(ours(), "running");
    let _daemon = host.start(&["--workers", "1", "--executor", "docker"]);
    until("its container is gone", || ours().is_empty());
    assert_eq!(trace(), "start\n");
}
