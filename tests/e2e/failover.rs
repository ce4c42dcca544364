//! The database goes away and comes back: restarted, a standby promoted, a backup restored. Jobs go on.

use std::{collections::BTreeMap, fs, io::Write as _, time::Duration};

use job_queue::conformance::own::OwnServer;
use serde_json::Value;

use crate::{
    harness::{Host, Running, now, until},
    witness::Witness,
};

/// A daemon whose database is at these servers, in this order.
fn host(servers: &[&OwnServer]) -> Host {
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    Host::new()
        .with_env("QMANAGER__DB__URL", &format!("postgres://postgres@{}/qm", addresses.join(",")))
        .with_env("QMANAGER__TASKS__GRACE", "300ms")
}

fn server(settings: &[&str]) -> Option<OwnServer> {
    let server = OwnServer::start(settings, &[])?;
    server.sql("postgres", "CREATE DATABASE qm");
    Some(server)
}

/// A chain of short tasks, and one beside it, or after it, that waits for the file `go`.
struct Chain {
    witness: Witness,
    depends: BTreeMap<String, Vec<String>>,
    file: String,
}

impl Chain {
    fn beside(host: &Host, length: usize) -> Self {
        Self::new(host, length, Vec::new())
    }

    fn before(host: &Host, length: usize) -> Self {
        Self::new(host, length, vec![format!("c{:02}", length - 1)])
    }

    fn new(host: &Host, length: usize, waits_for: Vec<String>) -> Self {
        let witness = Witness::new(host.dir());
        let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", host.dir().join("go").display());
        let mut text = witness.task("wait", &waits_for, &wait);
        let mut depends: BTreeMap<String, Vec<String>> = BTreeMap::from([("wait".into(), waits_for)]);
        for number in 0..length {
            let after: Vec<String> = number.checked_sub(1).map(|before| format!("c{before:02}")).into_iter().collect();
            text += &witness.task(&format!("c{number:02}"), &after, "sleep 0.1");
            depends.insert(format!("c{number:02}"), after);
        }
        let file = host.write("chain.yaml", text).to_str().expect("text").to_owned();
        Self { witness, depends, file }
    }

    fn has_ended(&self, count: usize) {
        until("some tasks have ended", || self.witness.read().ended().len() >= count);
    }

    /// All of it succeeded, in order, and nothing ran twice but what `again` says.
    fn ends_well(&self, host: &Host, job: &str, again: &[&str]) {
        host.write("go", "");
        host.qmanager(["wait", job, "--timeout", "100s"]).success();
        let testimony = self.witness.read();
        let begins = testimony.begins();
        assert_eq!(begins.len(), self.depends.len());
        for (task, count) in begins {
            assert_eq!(count, if again.contains(&task) { 2 } else { 1 }, "{task}");
        }
        testimony.assert_order(&self.depends);
        testimony.assert_attempts_distinct();
        let shown = host.job(job);
        for task in shown["task_list"].as_array().expect("tasks") {
            assert_eq!((task["status"].as_str(), task["retries"].as_u64()), (Some("succeeded"), Some(0)), "{task}");
        }
    }
}

fn stop(host: &Host, daemon: &mut Running) {
    until("it is well again", || {
        let done = host.qmanager(["status", "--json"]);
        done.code() == 0 && done.json()[0]["daemon"]["degraded"].is_null()
    });
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

/// `pg_ctl restart`, in order and as a crash, while tasks end and begin: nothing is lost and nothing runs twice.
#[test]
fn f41_the_server_is_restarted_in_the_middle_of_a_job() {
    let Some(server) = server(&[]) else { return };
    let host = host(&[&server]);
    host.qmanager(["queue", "migrate"]).success();
    let chain = Chain::beside(&host, 24);
    let mut daemon = host.start(&["--workers", "2", "--parallel", "3"]);
    let job = host.submit(&[&chain.file]);
    for (mode, ended) in [("fast", 4), ("immediate", 12)] {
        chain.has_ended(ended);
        server.stop(mode);
        server.begin();
        // What was accepted before is there, and what is asked now is answered.
        let short = host.write("short.yaml", "- name: a\n  params: {command: 'true'}\n");
        host.qmanager(["submit", short.to_str().expect("text"), "--wait"]).success();
    }
    chain.ends_well(&host, &job, &[]);
    stop(&host, &mut daemon);
}

/// The primary dies while a job runs, and its synchronous standby is promoted: with both addresses in the URL everything
/// goes on, nothing that was accepted is lost, and nothing runs twice.
#[test]
fn f41_a_standby_is_promoted_while_a_job_runs() {
    let Some(primary) = server(&[]) else { return };
    let standby = primary.standby();
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    until("the standby is a synchronous one", || {
        primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") == ["sync"]
    });
    let host = host(&[&primary, &standby]);
    host.qmanager(["queue", "migrate"]).success();
    let chain = Chain::beside(&host, 16);
    let mut daemon = host.start(&["--workers", "2", "--parallel", "3"]);
    let job = host.submit(&[&chain.file]);
    chain.has_ended(4);
    let waiting = host.submit(&[&chain.file, "--at", "24h"]);
    primary.stop("immediate");
    // Between the two nothing can be accepted, and that is said.
    let refused = host.qmanager(["submit", &chain.file]).expect(5);
    assert!(refused.stderr.contains("read-only") || refused.stderr.contains("cannot be reached"), "{refused:?}");
    standby.promote();
    chain.ends_well(&host, &job, &[]);
    assert_eq!(host.job(&waiting)["status"], "queued", "what was accepted last is there");
    stop(&host, &mut daemon);
}

/// What `list` shows, without what changes with time alone.
fn jobs(host: &Host) -> Vec<Value> {
    let mut jobs = host.qmanager(["list", "--json"]).success().json();
    jobs.iter_mut().for_each(|job| drop(job.as_object_mut().expect("an object").remove("lease_until")));
    jobs
}

/// Jobs in several states; answers the one that runs.
fn fill(host: &Host, chain: &Chain) -> String {
    let good = host.write("good.yaml", "- name: a\n  params: {command: 'true'}\n");
    let bad = host.write("bad.yaml", "- name: a\n  params: {command: exit 3}\n- {name: b, depends: [a]}\n");
    host.qmanager(["submit", good.to_str().expect("text"), "--name", "good", "--label", "a=b", "--wait"]).success();
    host.qmanager(["submit", bad.to_str().expect("text"), "--key", "k", "--wait"]).expect(1);
    host.qmanager(["queue", "pause", "--qname", "nightly"]).success();
    host.submit(&[&chain.file, "--qname", "nightly", "--priority", "3"]);
    host.submit(&[&chain.file, "--at", "24h"]);
    let job = host.submit(&[&chain.file]);
    chain.has_ended(3);
    job
}

/// `pg_dump` while everything runs, restored into a new server: as the page on operations says, with the managers stopped.
#[test]
fn a_dump_is_restored_into_a_new_server() {
    let Some(old) = server(&[]) else { return };
    let before = host(&[&old]);
    before.qmanager(["queue", "migrate"]).success();
    // When only the last task runs, the state stands still.
    let chain = Chain::before(&before, 10);
    let mut daemon = before.start(&["--workers", "1", "--parallel", "1"]);
    let job = fill(&before, &chain);
    until("the last one waits", || chain.witness.read().begins().contains_key("wait"));
    until("that is recorded", || before.job(&job)["task_list"][0]["status"] == "running");
    let there = jobs(&before);
    let dump = old.run(old.client("pg_dump").args(["-Fc", "-f", "dump", "qm"]));
    assert_eq!(dump, "");
    before.qmanager(["stop"]).success();
    daemon.wait().success();

    let Some(new) = server(&[]) else { return };
    new.run(new.client("pg_restore").args(["-d", "qm"]).arg(old.folder.join("dump")));
    old.stop("fast");
    // The same host, as far as its folders go.
    let url = format!("postgres://postgres@{}/qm", new.address);
    let after = before.with_env("QMANAGER__DB__URL", &url);
    assert_eq!(jobs(&after), there, "the same jobs in the same states");
    let mut daemon = after.start(&["--workers", "1", "--parallel", "1"]);
    // What ran when the dump was made runs again; what had ended does not.
    chain.ends_well(&after, &job, &["wait"]);
    let count = |status: &str| jobs(&after).iter().filter(|job| job["status"] == status).count();
    assert_eq!((count("queued"), count("succeeded"), count("failed")), (2, 2, 1));
    stop(&after, &mut daemon);
}

/// Base backup and WAL, restored to a moment before the last changes, under a daemon that nobody stopped: its worker
/// finds that the database lives another life, and goes on from what that knows.
#[test]
fn a_server_restored_to_an_earlier_moment_under_a_daemon() {
    let archive = tempfile::tempdir().expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(archive.path(), open).expect("permissions");
    let path = archive.path().display();
    let Some(old) = server(&["archive_mode=on", "wal_level=replica"]) else { return };
    old.sql("postgres", &format!("ALTER SYSTEM SET archive_command = 'cp %p {path}/%f'"));
    old.sql("postgres", "SELECT pg_reload_conf()");
    let new = old.backup();
    let host = host(&[&old, &new]).with_env("QMANAGER__TIMES__LEASE", "60s");
    host.qmanager(["queue", "migrate"]).success();
    let chain = Chain::beside(&host, 30);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[&chain.file]);
    chain.has_ended(3);
    let there = host.job(&job);
    old.sql("postgres", "SELECT pg_create_restore_point('here')");
    let lost = host.submit(&[&chain.file, "--at", "24h"]);
    let ended = chain.witness.read().ended().len();
    chain.has_ended(ended + 3);
    old.stop("fast");

    let mut settings =
        fs::OpenOptions::new().append(true).open(new.data().join("postgresql.auto.conf")).expect("its settings");
    write!(
        settings,
        "restore_command = 'cp {path}/%f %p'\nrecovery_target_name = 'here'\nrecovery_target_action = promote\n"
    )
    .expect("written");
    fs::write(new.data().join("recovery.signal"), "").expect("a file");
    new.begin();
    until("it has been promoted", || new.sql("postgres", "SELECT pg_is_in_recovery()") == ["f"]);
    host.qmanager(["status", &lost]).expect(4);
    let began = now();
    host.write("go", "");
    host.qmanager(["wait", &job, "--timeout", "100s"]).success();
    assert!(began.elapsed() < Duration::from_secs(100));
    // What had ended by that moment is not run again; what ended since is.
    let testimony = chain.witness.read();
    let begins = testimony.begins();
    for task in there["task_list"].as_array().expect("tasks") {
        let name = task["name"].as_str().expect("a name");
        let expected = if task["status"] == "succeeded" || name == "wait" { 1..=1 } else { 1..=2 };
        assert!(expected.contains(&begins[name]), "{name} began {} times: {task}", begins[name]);
    }
    assert!(begins.values().any(|count| *count == 2), "something was recorded only in the life that is gone");
    testimony.assert_order(&chain.depends);
    let shown = host.job(&job);
    for task in shown["task_list"].as_array().expect("tasks") {
        assert_eq!(task["status"], "succeeded", "{task}");
    }
    stop(&host, &mut daemon);
}
