//! Clocks that are set, or that differ between hosts (F80, F81).
//!
//! A process cannot be given a wall clock of its own (time namespaces move only the monotone ones), and the machine's is not
//! ours to set. But all that a wall clock does here is to be compared with moments that are stored: so these are moved
//! instead, or the server's function that tells the time.

use std::time::Duration;

use job_queue::conformance::server::Database;

use crate::{
    harness::{Host, now, skipped, until},
    hosts::{Cluster, LEASE, a_host_cut_off, a_host_that_is_gone, stop},
    witness::Witness,
};

/// Sets the server's clock, as far as our schema knows it, by so many seconds ahead of the hosts'.
fn set_clock(database: &Database, ahead: i64) {
    database.sql(&format!(
        "CREATE OR REPLACE FUNCTION qmanager.now_micros() RETURNS bigint LANGUAGE sql VOLATILE AS \
         $$ SELECT ((extract(epoch FROM clock_timestamp()) + {ahead}) * 1000000)::bigint $$"
    ));
}

/// No verb is put out by times that lie ahead, or by ends before their beginnings.
fn look_at(host: &Host, job: &str) {
    for args in [["status", job, "--tasks"].as_slice(), &["list"], &["explain", job], &["logs", job], &["status"]] {
        let done = host.qmanager(args).success();
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

/// The server's clock is set forward by an hour, back by two, and right again, while a job runs: leases are renewed all
/// along, and no other host takes the job, though it looks at once.
#[test]
fn f80_the_servers_clock_is_set_while_a_job_runs() {
    let Some(cluster) = Cluster::new() else { return };
    let (host, other) = (cluster.host(), cluster.host());
    let witness = Witness::new(cluster.path());
    let workflow = cluster.chain(&witness);
    let mut first = host.start(&["--workers", "1"]);
    let job = other.submit(&[&workflow]);
    until("the long task runs", || !cluster.alive(1).is_empty());
    let mut second = other.start(&["--workers", "1"]);
    for ahead in [3_600, -3_600, 0] {
        set_clock(&cluster.database, ahead);
        cluster.database.sql("NOTIFY qmanager");
        let set = now();
        until("a lease and a half have passed", || set.elapsed() > LEASE * 3 / 2);
        let lasts = "SELECT until - qmanager.now_micros() FROM qmanager.lease";
        let lasts: i64 = cluster.database.sql(lasts)[0].parse().expect("a number");
        assert!((0..=4_000_000).contains(&lasts), "the lease lasts {lasts} us after the clock was set by {ahead} s");
        look_at(&other, &job);
    }
    cluster.go();
    other.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    assert!(testimony.begins().values().all(|count| *count == 1), "{:?}", testimony.begins());
    assert_eq!(cluster.database.sql("SELECT epoch FROM qmanager.job"), ["1"]);
    look_at(&other, &job);
    stop(&host, &mut first);
    stop(&other, &mut second);
}

#[test]
fn f81_a_server_whose_clock_is_ten_minutes_ahead() {
    let Some(cluster) = Cluster::new() else { return };
    set_clock(&cluster.database, 600);
    a_host_that_is_gone(&cluster);
}

#[test]
fn f81_a_server_whose_clock_is_ten_minutes_behind() {
    let Some(cluster) = Cluster::new() else { return };
    set_clock(&cluster.database, -600);
    a_host_cut_off(&cluster);
}

/// The host's clock is set back by two hours and forward by one, while a job runs and while its daemon is away: nothing runs
/// twice, and a pause before a retry is no longer than it was meant.
#[test]
fn f80_the_hosts_clock_is_set() {
    let host = Host::new().with_env("QMANAGER__TIMES__LEASE", "6s");
    if !host.command("sh", ["-c", "command -v sqlite3"]).output().expect("sh").status.success() {
        return skipped("no sqlite3: the stored moments cannot be moved");
    }
    let witness = Witness::new(host.dir());
    let wait = format!("while [ ! -e {} ]; do sleep 0.02; done", host.dir().join("go").display());
    let again = "[ $QM_ATTEMPT != 1 ]";
    let retry = "  retry: {max: 1, backoff: 8s}\n";
    let text = [
        witness.task("long", &[], &wait),
        witness.task("again", &[], again) + retry,
        witness.task("last", &["long".into(), "again".into()], "true"),
    ];
    let workflow = host.write("w.yaml", text.concat());
    let start = || host.start(&["--workers", "1", "--parallel", "2"]);
    let mut daemon = start();
    let job = host.submit(&[workflow.to_str().expect("text")]);
    until("one waits for its retry", || host.job(&job)["task_list"][1]["status"] == "retrying");
    let began = now();
    for hours in [-2, 1] {
        // What is stored is older by so much when the clock is set forward.
        let by = -hours * 3_600_000_000_i64;
        let columns = |names: [&str; 3]| names.map(|name| format!("{name} = {name} + ({by})")).join(", ");
        let job_columns = columns(["created", "started", "lease_until"]);
        let task_columns = columns(["started", "ended", "retry_at"]);
        let sql = format!("UPDATE job SET {job_columns}; UPDATE task SET {task_columns};");
        let database = host.state_dir().join("queue.db");
        let args = ["-cmd", ".timeout 20000", database.to_str().expect("text"), &sql];
        let moved = host.command("sqlite3", args).output().expect("sqlite3");
        assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
        look_at(&host, &job);
        host.qmanager(["stop", "--handover=5m"]).success();
        daemon.wait().success();
        daemon = start();
    }
    until("it was tried again", || host.job(&job)["task_list"][1]["status"] == "succeeded");
    assert!(began.elapsed() < Duration::from_secs(50), "the pause of 8 s did not become hours");
    host.write("go", "");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    let begins = testimony.begins();
    assert_eq!((begins["long"], begins["again"], begins["last"]), (1, 2, 1));
    look_at(&host, &job);
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}
