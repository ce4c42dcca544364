//! Limit keys, as people see them, on both queues: who waits, who is passed over, and by whom a limit is taken.

use job_queue::conformance::server::{Database, Server};

use crate::harness::{Host, Running, until, until_within};

fn stop(host: &Host, daemon: &mut Running) {
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    until("all processes of the host have ended", || host.processes().is_empty());
}

fn on(database: &Database, jobs: &std::path::Path) -> Host {
    Host::new()
        .with_env("QMANAGER__DB__URL", &database.url())
        .with_env("QMANAGER__DB__MIGRATE", "true")
        .with_env("QMANAGER__JOBFILES__URL", &format!("fs:{}", jobs.display()))
}

/// A job that runs until the file of its name is there.
fn job(host: &Host, name: &str, flags: &[&str]) -> String {
    let go = host.dir().join(format!("go-{name}"));
    let text = format!(
        "- name: a\n  params: {{command: 'while [ ! -e {} ]; do sleep 0.02; done; echo {name} >>{}/ended'}}\n",
        go.display(),
        host.dir().display()
    );
    let file = host.write(&format!("{name}.yaml"), text);
    let args = [&[file.to_str().expect("text"), "--name", name], flags].concat();
    host.submit(&args)
}

fn is(host: &Host, job: &str, status: &str) -> bool {
    host.job(job)["status"] == status
}

#[test]
fn limit_keys_on_sqlite() {
    let host = Host::new();
    limit_keys(&host);
    host.assert_nothing_left();
}

#[test]
fn limit_keys_on_postgresql() {
    let Some(server) = Server::shared() else { return };
    let (database, jobs) = (server.database(), tempfile::tempdir().expect("a folder"));
    limit_keys(&on(&database, &jobs.path().join("jobs")));
}

fn limit_keys(host: &Host) {
    let mut daemon = host.start(&["--workers", "3"]);
    let holder = job(host, "holder", &["--limit-key", "data base"]);
    until("the holder runs", || is(host, &holder, "running"));
    let waits = job(host, "waits", &["--limit-key", "data base", "--priority", "5"]);
    let free = job(host, "free", &[]);
    // It came later and has a lower priority, and is not held up.
    until("the job behind runs", || is(host, &free, "running"));
    assert!(is(host, &waits, "queued"));
    shows(host, &holder, &waits);

    let set = host.qmanager(["queue", "limit", "2", "--key", "data base", "--json"]).success().json().remove(0);
    assert_eq!((&set["keys"][0]["limit"], &set["keys"][0]["own"]), (&2.into(), &true.into()), "{set}");
    until("two at once", || is(host, &waits, "running"));
    host.qmanager(["queue", "limit", "none", "--key", "data base"]).success();
    let third = job(host, "third", &["--limit-key", "data base"]);
    host.write("go-holder", "");
    host.qmanager(["wait", &holder]).success();
    assert!(is(host, &third, "queued"), "one runs, and one may");
    host.write("go-waits", "");
    until("the next of the key runs", || is(host, &third, "running"));
    // A new round of the holder waits for its turn; its key is the same.
    host.qmanager(["retry", "--all", &holder]).success();
    assert_eq!(host.job(&holder)["limit_key"], "data base");
    assert!(is(host, &holder, "queued"));
    host.write("go-third", "");
    host.qmanager(["wait", &holder, &third, &waits]).success();
    host.write("go-free", "");
    host.qmanager(["wait", &free]).success();

    // Held, one key or the queue's keys; and a queue's own limit names who takes it.
    host.qmanager(["queue", "limit", "0", "--key", "k"]).success();
    host.qmanager(["queue", "limit", "2", "--per-key"]).success();
    let held = job(host, "held", &["--limit-key", "k"]);
    let said = host.qmanager(["explain", &held]).success().stdout;
    assert!(
        said.contains("limit key k of queue default is held") && said.contains("queue limit 1 default --key k"),
        "{said}"
    );
    host.qmanager(["queue", "limit", "1"]).success();
    let only = job(host, "only", &[]);
    until("the only one runs", || is(host, &only, "running"));
    let behind = job(host, "behind", &[]);
    let said = host.qmanager(["explain", &behind]).success().stdout;
    assert!(said.contains("runs at most 1 at once") && names(&said, &only, "only"), "{said}");
    let listed = host.qmanager(["queue", "ls"]).success().stdout;
    assert!(listed.contains("default is taken by") && names(&listed, &only, "only"), "{listed}");
    for name in ["held", "only", "behind"] {
        host.write(&format!("go-{name}"), "");
    }
    host.qmanager(["queue", "limit", "none", "--key", "k"]).success();
    host.qmanager(["wait", &held, &only, &behind]).success();
    stop(host, &mut daemon);
}

/// Whether a text names a job as holders are named: id, name, worker and host, since when, and its lease.
fn names(text: &str, job: &str, name: &str) -> bool {
    let short = &job[job.len() - 8..];
    let parts = [&format!("{short} {name:?} (worker default0"), " on ", "since ", "lease ends in "];
    parts.iter().all(|part| text.contains(*part))
}

fn shows(host: &Host, holder: &str, waits: &str) {
    let said = host.qmanager(["explain", waits]).success().stdout;
    assert!(said.contains("of limit key 'data base' at most 1 may run at once"), "{said}");
    assert!(
        names(&said, holder, "holder") && said.contains("`qmanager queue limit 2 default --key 'data base'`"),
        "{said}"
    );
    assert!(!said.contains("come before it"), "{said}");
    let listed = host.qmanager(["queue", "ls", "default"]).success().stdout;
    assert!(listed.contains("limit keys of default (1 each") && names(&listed, holder, "holder"), "{listed}");
    let shown = host.qmanager(["queue", "ls", "--json"]).success().json().remove(0);
    let key =
        serde_json::json!({"key": "data base", "limit": 1, "own": false, "running": 1, "queued": 1, "next": waits});
    assert_eq!(shown["keys"], serde_json::json!([key]), "{shown}");
    let of_key = shown["holders"].as_array().expect("holders").iter().find(|job| job["limit_key"] == "data base");
    let of_key = of_key.unwrap_or_else(|| panic!("{shown}"));
    assert_eq!((&of_key["id"], &of_key["name"]), (&holder.into(), &"holder".into()));
    assert!(["host", "slot", "since", "lease_until"].iter().all(|field| of_key[*field].is_string()), "{of_key}");
    assert!(host.qmanager(["status", waits]).success().stdout.contains("limit key data base"));
    assert_eq!(host.qmanager(["list", "--limit-key", "data base", "--json"]).success().json().len(), 2);
    for wrong in ["", " x", "a\nb"] {
        let refused = host.qmanager(["submit", "holder.yaml", "--limit-key", wrong]).expect(2);
        assert!(refused.stderr.contains("--limit-key") && refused.stderr.contains("1 to 256"), "{}", refused.stderr);
    }
    host.qmanager(["queue", "limit", "-1", "--key", "k"]).expect(2);
    host.qmanager(["queue", "limit", "0"]).expect(2);
}

/// The holder's worker takes no other job when it ends (its host drains): the next one of the key starts on the other host,
/// told by the end itself. The poll would come only after a minute.
#[test]
fn the_next_of_a_key_starts_on_another_host_without_a_poll() {
    let Some(server) = Server::shared() else { return };
    let (database, jobs) = (server.database(), tempfile::tempdir().expect("a folder"));
    let host = || on(&database, &jobs.path().join("jobs")).with_env("QMANAGER__TIMES__POLL", "60s");
    let (first, second) = (host(), host());
    let mut one = first.start(&["--workers", "1"]);
    let holder = job(&first, "holder", &["--limit-key", "k"]);
    until("the holder runs", || is(&first, &holder, "running"));
    let mut two = second.start(&["--workers", "1"]);
    let next = job(&second, "next", &["--limit-key", "k"]);
    let mut drain = first.spawn(&["stop", "--drain"]);
    let said = second.qmanager(["explain", &next]).success().stdout;
    assert!(said.contains("worker default00 on "), "{said}");
    assert!(is(&second, &next, "queued"));
    first.write("go-holder", "");
    first.qmanager(["wait", &holder]).success();
    until_within(std::time::Duration::from_secs(30), "the next of the key runs", || is(&second, &next, "running"));
    second.write("go-next", "");
    second.qmanager(["wait", &next]).success();
    drain.wait().success();
    one.wait().success();
    stop(&second, &mut two);
}

/// `run` has a queue of its own: it says that a limit key does not hold there. A job definition may name one.
#[test]
fn a_job_definition_names_a_limit_key() {
    let host = Host::new();
    let file = host.write("job.yaml", "workflow: [{name: a, params: {command: 'true'}}]\nlimit_key: db\n");
    let file = file.to_str().expect("text");
    let job = host.submit(&[file]);
    assert_eq!(host.job(&job)["limit_key"], "db");
    let other = host.submit(&[file, "--limit-key", "other"]);
    assert_eq!(host.job(&other)["limit_key"], "other");
    let ran = host.qmanager(["run", file]).success();
    assert!(ran.stderr.contains("limit_key db does not hold here"), "{}", ran.stderr);
    let wrong = host.write("wrong.yaml", "workflow: [{name: a}]\nlimit_key: ' x'\n");
    let refused = host.qmanager(["submit", wrong.to_str().expect("text")]).expect(3);
    assert!(refused.stderr.contains("`limit_key` \" x\" has a blank at an end"), "{}", refused.stderr);
}
