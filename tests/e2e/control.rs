//! What a person can ask of a job or a queue while it runs: cancel, pause, limit, priority, run-at, key, prune; and
//! that a task gets what the caller has, and nothing else.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::{
    harness::{Host, QMANAGER, Running, now, until, until_within},
    template::install,
};

fn path(file: &Path) -> &str {
    file.to_str().expect("text")
}

fn stop(host: &Host, daemon: &mut Running) {
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

/// `long` runs until it is ended, `after` would follow, `cleanup` always comes.
fn job_with_cleanup(host: &Host) -> std::path::PathBuf {
    let dir = host.dir().display();
    host.write(
        "cleanup.yaml",
        format!(
            "- name: long\n  params: {{command: 'touch {dir}/up; sleep 300'}}\n\
             - name: after\n  depends: [long]\n  params: {{command: 'touch {dir}/after'}}\n\
             - name: cleanup\n  depends: [long]\n  when: always\n  params: {{command: 'touch {dir}/clean'}}\n"
        ),
    )
}

fn causes(job: &Value) -> Vec<(String, String)> {
    let tasks = job["task_list"].as_array().expect("tasks");
    tasks
        .iter()
        .map(|task| (task["name"].as_str().expect("a name").into(), task["status"].as_str().expect("a status").into()))
        .collect()
}

#[test]
fn cancel_ends_a_running_job_within_a_second_and_cleans_up() {
    let host = Host::new();
    let file = job_with_cleanup(&host);
    let mut daemon = host.start(&["--workers", "1"]);
    let job = host.submit(&[path(&file)]);
    until("the task runs", || host.dir().join("up").exists());
    host.qmanager(["cancel", &job]).success();
    // 1 s is design §6's bound; the rest is for the programs that this test starts itself on a busy machine.
    let began = now();
    host.qmanager(["wait", &job, "--timeout", "30s"]).expect(6);
    assert!(began.elapsed().as_millis() < 3000, "{:?}", began.elapsed());
    assert!(host.dir().join("clean").exists(), "`when: always` runs");
    assert!(!host.dir().join("after").exists());
    let shown = host.job(&job);
    let of = |name: &str, status: &str| (name.to_owned(), status.to_owned());
    assert_eq!(causes(&shown), [of("long", "cancelled"), of("after", "cancelled"), of("cleanup", "succeeded")]);
    assert_eq!(host.qmanager(["cancel", &job]).code(), 0, "asked once more: it is cancelled");
    stop(&host, &mut daemon);
}

#[test]
fn cancel_now_starts_nothing_more() {
    let host = Host::new();
    let file = job_with_cleanup(&host);
    let mut daemon = host.start(&["--workers", "1"]);
    let job = host.submit(&[path(&file)]);
    until("the task runs", || host.dir().join("up").exists());
    host.qmanager(["cancel", "--now", &job]).success();
    host.qmanager(["wait", &job, "--timeout", "30s"]).expect(6);
    assert!(!host.dir().join("clean").exists());
    stop(&host, &mut daemon);
}

#[test]
fn cancel_of_waiting_jobs_needs_no_daemon_and_a_filter_needs_yes() {
    let host = Host::new();
    let file = job_with_cleanup(&host);
    let one = host.submit(&[path(&file), "--label", "team=a"]);
    let two = host.submit(&[path(&file), "--label", "team=a"]);
    let other = host.submit(&[path(&file), "--label", "team=b"]);
    host.qmanager(["cancel", &one]).success();
    assert_eq!(host.job(&one)["status"], "cancelled");
    let refused = host.qmanager(["cancel", "--label", "team=a"]).expect(2);
    assert!(refused.stderr.contains("--yes"), "{refused:?}");
    host.qmanager(["cancel", "--label", "team=a", "--yes"]).success();
    assert_eq!(host.job(&two)["status"], "cancelled");
    assert_eq!(host.job(&other)["status"], "queued");
    host.qmanager(["wait", &one, &two]).expect(6);
}

#[test]
fn f07_a_task_that_kills_its_executor_fails_as_poison_and_no_other_job_suffers() {
    let host = Host::new();
    let mut daemon = host.start(&["--workers", "2"]);
    let poison = host.write("poison.yaml", "- name: bad\n  params: {command: 'kill -9 $PPID; sleep 300'}\n");
    let good = host.write("good.yaml", "- name: good\n  params: {command: 'sleep 0.2'}\n");
    let bad = host.submit(&[path(&poison)]);
    let jobs: Vec<String> = (0..5).map(|_| host.submit(&[path(&good)])).collect();
    host.qmanager(["wait", &bad, "--timeout", "60s"]).expect(1);
    let task = &host.job(&bad)["task_list"][0];
    assert_eq!((&task["status"], &task["cause"]), (&"failed".into(), &"poison".into()), "{task}");
    assert_eq!(task["losses"], 5, "{task}");
    for job in jobs {
        host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    }
    stop(&host, &mut daemon);
}

/// A stub in the task executor's place takes the request and ends, with whatever code, without a report or a message.
#[test]
fn f05_a_task_executor_that_ends_without_a_word_is_never_success() {
    let host = Host::new();
    let bin = install(&host);
    let (stub, code) = (bin.join("task-executor"), host.dir().join("code"));
    fs::remove_file(&stub).expect("removed");
    fs::write(&stub, format!("#!/bin/sh\nhead -c 100 > /dev/null\nexit $(cat {})\n", path(&code))).expect("a stub");
    fs::set_permissions(&stub, PermissionsExt::from_mode(0o755)).expect("it may run");
    let program = bin.join("qmanager");
    let mut daemon = host.background(host.command(path(&program), ["start", "--workers", "1"]));
    let file = host.write("w.yaml", "- {name: a, params: {command: 'true'}}\n");
    for ends_with in ["0", "1", "101"] {
        fs::write(&code, ends_with).expect("a code");
        let job = host.submit(&[path(&file)]);
        let task = || host.job(&job)["task_list"][0].clone();
        until("the attempt is lost and no success", || {
            let task = task();
            assert_ne!(task["status"], "succeeded", "{task}");
            task["status"] == "retrying" && task["cause"] == "lost_executor"
        });
        host.qmanager(["cancel", &job, "--now"]).success();
        host.qmanager(["wait", &job, "--timeout", "60s"]).expect(6);
    }
    stop(&host, &mut daemon);
}

#[test]
fn f16_a_task_gets_the_callers_umask_and_nothing_that_the_caller_leaked() {
    let host = Host::new();
    let script =
        "umask; grep -E 'SigBlk|SigIgn' /proc/self/status; for fd in /proc/$$/fd/*; do echo ${fd##*/}; done; exit 0";
    let file = host.write(
        "w/w.yaml",
        format!("- name: a\n  params: {{command: [sh, -c, \"{}\"]}}\n", script.replace('"', "\\\"")),
    );
    host.write("leak", "");
    for verb in ["run", "submit"] {
        let line = match verb {
            "run" => format!("exec '{QMANAGER}' run '{}'", path(&file)),
            _ => format!("exec '{QMANAGER}' start --workers 1"),
        };
        let line = format!("umask 027; exec 7<'{}/leak'; {line}", host.dir().display());
        let env = ["--block-signal=TERM", "--ignore-signal=CHLD", "--ignore-signal=PIPE", "sh", "-c", &line];
        let mut program = host.background(host.command("/usr/bin/env", env));
        let job = if verb == "run" {
            program.wait().success();
            "@last".to_owned()
        } else {
            let job = host.submit(&[path(&file)]);
            host.qmanager(["wait", &job, "--timeout", "60s"]).success();
            job
        };
        let out = host.qmanager(["logs", &job, "--no-prefix", "--out"]).success().stdout;
        let lines: Vec<&str> = out.lines().collect();
        let (fds, ignored) = (&lines[3..], lines[2].strip_prefix("SigIgn:\t").expect("a mask"));
        assert_eq!((lines[0], lines[1]), ("0027", "SigBlk:\t0000000000000000"), "{verb}: {out}");
        let ignored = u64::from_str_radix(ignored, 16).expect("a mask");
        // 1 to 31: what the C library keeps for itself comes after.
        assert_eq!(ignored & 0x7fff_ffff, 0, "{verb}: {out}");
        // `*` opens the folder.
        assert!(fds.len() <= 4 && ["0", "1", "2"].iter().all(|fd| fds.contains(fd)), "{verb}: {out}");
        if verb == "submit" {
            host.qmanager(["stop"]).success();
            // TERM reaches a daemon whose parent blocked it.
            program.wait().success();
        }
        host.assert_nothing_left();
    }
}

#[test]
fn priority_run_at_key_pause_and_limit() {
    let host = Host::new();
    let log = host.dir().join("order");
    let file = |name: &str| {
        let text = format!("- name: a\n  params: {{command: 'echo {name} >>{}; sleep 0.3'}}\n", log.display());
        host.write(&format!("{name}.yaml"), text)
    };
    let (low, high, late, keyed) = (file("low"), file("high"), file("late"), file("keyed"));
    host.qmanager(["queue", "pause"]).success();
    let mut daemon = host.start(&["--workers", "2"]);
    host.qmanager(["queue", "limit", "1"]).success();
    let begun = now();
    let jobs = [
        host.submit(&[path(&late), "--at", "2s", "--priority", "9"]),
        host.submit(&[path(&low), "--priority", "-1"]),
        host.submit(&[path(&high), "--priority", "5"]),
        host.submit(&[path(&keyed), "--key", "night", "--priority", "1"]),
    ];
    assert_eq!(host.submit(&[path(&keyed), "--key", "night"]), jobs[3], "the same key: the same job");
    host.qmanager(["submit", path(&low), "--key", "night"]).expect(8);
    assert_eq!(host.job("@key:night")["id"], jobs[3].as_str());
    assert_eq!(host.job(&jobs[2])["status"], "queued", "paused");
    host.qmanager(["queue", "resume"]).success();
    until("the first runs", || log.exists());
    let running = |host: &Host| {
        let list = host.qmanager(["list", "--state", "running", "--json"]).success();
        list.json().len()
    };
    assert!(running(&host) <= 1, "limited to one, over two workers");
    for job in &jobs {
        host.qmanager(["wait", job, "--timeout", "60s"]).success();
    }
    let order: Vec<String> = fs::read_to_string(&log).expect("the order").lines().map(str::to_owned).collect();
    let others: Vec<&String> = order.iter().filter(|name| *name != "late").collect();
    assert_eq!(others, ["high", "keyed", "low"], "{order:?}");
    assert!(begun.elapsed().as_millis() >= 2000, "not before its time");
    stop(&host, &mut daemon);
}

#[test]
fn prune_removes_folders_of_ours_and_never_one_of_the_users() {
    let host = Host::new();
    let file = host.write("mine/w.yaml", "- name: a\n  params: {command: 'echo made >made'}\n");
    host.qmanager(["run", path(&file)]).success();
    let in_place = host.job("@last")["id"].as_str().expect("an id").to_owned();
    host.qmanager(["run", "--fresh", path(&file)]).success();
    let fresh = host.job("@last")["id"].as_str().expect("an id").to_owned();
    let waiting = host.submit(&[path(&file)]);
    let folder = |job: &str| host.state_dir().join("jobs").join(job);
    assert!(folder(&fresh).join("files/made").exists());
    let dry = host.qmanager(["prune", "--older-than", "0s", "--dry-run"]).success();
    assert!(dry.stdout.contains(&fresh) && dry.stdout.contains(&in_place), "{dry:?}");
    assert!(folder(&fresh).exists(), "only said");
    host.qmanager(["prune", "--older-than", "0s"]).success();
    until_within(std::time::Duration::from_secs(5), "the folders are gone", || {
        !folder(&fresh).exists() && !folder(&in_place).exists()
    });
    assert!(host.dir().join("mine/w.yaml").exists() && host.dir().join("mine/made").exists(), "the user's own");
    host.qmanager(["status", &fresh]).expect(4);
    assert_eq!(host.job(&waiting)["status"], "queued", "one that has not ended is kept");
}
