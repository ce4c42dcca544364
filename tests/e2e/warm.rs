//! One worker, one job after the other.

use crate::harness::{DEADLINE, Host, now};

/// A task executor that has reported may end when its worker is at the next job, whose task and attempt have the same
/// numbers: that is no word about the next job.
#[test]
fn a_worker_goes_from_job_to_job_and_every_attempt_is_the_first() {
    let host = Host::new();
    host.write("one.yaml", "- name: one\n  params: {command: 'true'}\n");
    let daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let start = now();
    for _ in 0..30 {
        let id = host.qmanager(["submit", "--wait", "one.yaml"]).success().stdout;
        let status = host.qmanager(["status", id.trim(), "--tasks", "--json"]).success();
        let attempts: Vec<_> = status.json().iter().flat_map(attempts).collect();
        assert_eq!(attempts, [1], "{status:?}");
    }
    // With a wait for the poll, a second each time, it would be 30 s and more.
    assert!(start.elapsed() < DEADLINE / 3, "{:?}: the submitter is not told of the end", start.elapsed());
    drop(daemon);
}

/// The numbers of all tasks' attempts, wherever they stand.
fn attempts(value: &serde_json::Value) -> Vec<u64> {
    match value {
        serde_json::Value::Object(fields) => {
            let own = fields.get("attempt").and_then(serde_json::Value::as_u64);
            own.into_iter().chain(fields.values().flat_map(attempts)).collect()
        }
        serde_json::Value::Array(values) => values.iter().flat_map(attempts).collect(),
        _ => Vec::new(),
    }
}
