//! What is left of a job that cannot be gone on with, or of a queue that is gone: nothing may run on.

use std::{fs, time::Duration};

use job_queue::{Claim, OpenOptions};
use rustix::process::Signal;
use workflow_model::{Attempt, ExecutorKind, TaskIx, TaskStatus};

use crate::harness::{Host, now, until};

/// A damaged definition or a row of a task that it does not have: the job fails, and what an earlier worker left running of
/// it ends first, with grace.
#[tokio::test]
async fn a_resumed_job_that_is_damaged_leaves_nothing_running() {
    let host = Host::new().with_env("QMANAGER__TASKS__GRACE", "20s");
    let dir = host.dir().display();
    let polite =
        format!("trap \"echo bye > {dir}/bye; exit 3\" TERM; touch {dir}/polite; while :; do sleep 0.02; done");
    let orphan = format!("touch {dir}/orphan; sleep 300");
    host.write(
        "w.yaml",
        format!(
            "- {{name: polite, params: {{command: '{polite}'}}}}\n- {{name: orphan, params: {{command: '{orphan}'}}}}\n\
             - {{name: after, depends: [polite], params: {{command: 'touch {dir}/after'}}}}\n"
        ),
    );
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&["w.yaml"]);
    until("both tasks run", || host.dir().join("polite").exists() && host.dir().join("orphan").exists());
    daemon.end(Signal::KILL);
    until("the worker is gone with its manager", || host.titled("qworker: ").is_empty());

    let queue = job_queue::open(&format!("sqlite:{}/queue.db", host.state_dir().display()), &OpenOptions::default());
    let queue = queue.expect("the queue");
    let row = queue.get(job.parse().expect("an id")).await.expect("the job");
    let owner = row.owner.expect("the worker");
    let claim = Claim {
        queue: row.queue.clone(),
        owner: owner.clone(),
        dead: vec![owner],
        executor: ExecutorKind::Shell,
        store: row.store.expect("the store"),
        place: None,
        ttl: Duration::from_secs(600),
        fresh: false,
    };
    let claimed = queue.claim(&claim).await.expect("claimed").expect("the job");
    let mut foreign = claimed.tasks[0].clone();
    (foreign.task, foreign.status, foreign.attempt) = (TaskIx(77), TaskStatus::Waiting, Attempt(1));
    (foreign.attempt_process, foreign.stopping) = (None, None);
    queue.record(row.id, claimed.job.epoch, &[foreign]).await.expect("a row that does not fit");
    // One whose task executor is gone as well: its tree is found all the same.
    let of_orphan = claimed.tasks.iter().find(|row| row.task == TaskIx(1)).and_then(|row| row.attempt_process.clone());
    host.kill(of_orphan.expect("a process").pid);
    drop(queue);

    let mut daemon = host.start(&["--workers", "1"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).expect(1);
    assert!(host.dir().join("bye").exists(), "it was stopped with grace");
    let shown = host.qmanager(["status", &job, "--tasks", "--json"]).success().json().remove(0);
    let states: Vec<_> = (0..3).map(|ix| shown["task_list"][ix]["status"].as_str().unwrap_or_default()).collect();
    assert_eq!(states, ["cancelled", "cancelled", "skipped"], "{shown}");
    assert!(shown["message"].as_str().is_some_and(|text| text.contains("do not fit")), "{shown}");
    assert!(!host.dir().join("after").exists());
    assert!(host.processes().iter().all(|(_, line)| !line.contains("sleep")), "{:?}", host.processes());
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
    let job_dir = host.state_dir().join("jobs").join(&job);
    assert!(fs::metadata(job_dir.join("logs")).is_ok_and(|logs| logs.is_dir()), "the logs stay");
}

/// The queue's file is gone: nothing can be recorded any more, and nothing is to run on for that.
#[test]
fn f35_a_stop_ends_tasks_whose_queue_was_removed() {
    let long = "trap \"\" TERM; touch DIR/up; sleep 300";
    for (how, worker_first) in [("--now", false), ("--now", true), ("", false), ("", true)] {
        let host = Host::new().with_env("QMANAGER__TASKS__GRACE", "500ms");
        let host = host.with_env("QMANAGER__TIMES__BACKOFF", "10ms").with_env("QMANAGER__TIMES__BACKOFF_MAX", "50ms");
        let dir = host.dir().display().to_string();
        let task = |name: &str, command: &str| {
            format!("- {{name: {name}, params: {{command: '{}'}}}}\n", command.replace("DIR", &dir))
        };
        let short = "while [ ! -e DIR/go ]; do sleep 0.02; done";
        host.write("w.yaml", task("long", long) + &task("short", short));
        let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
        host.submit(&["w.yaml"]);
        until("the task runs", || host.dir().join("up").exists());
        let worker = host.titled("qworker: ");
        for file in ["queue.db", "queue.db-wal", "queue.db-shm"] {
            fs::remove_file(host.state_dir().join(file)).expect("removed");
        }
        if worker_first {
            // It notices when it wants to write, and is replaced by one that knows nothing of the job.
            host.write("go", "");
            until("another worker is there", || {
                let now = host.titled("qworker: ");
                !now.is_empty() && now != worker
            });
        }
        let began = now();
        host.qmanager(["stop", how].into_iter().filter(|word| !word.is_empty())).success();
        daemon.wait();
        assert!(began.elapsed() < Duration::from_secs(30), "not before a lease ends: {:?}", began.elapsed());
        until("nothing is left", || host.processes().is_empty());
        assert!(fs::read_dir(host.run_dir()).expect("the run-dir").next().is_none(), "{how} {worker_first}");
    }
}
