//! What the kernel is asked for, seen and disturbed by strace: faults F32 and F34.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use job_queue::{
    Error, Filter, JobQueue, OpenOptions, Sqlite,
    conformance::{claim_by, ending, job, row},
};
use workflow_model::{Epoch, JobStatus, TaskStatus};

const DB: &str = "JOB_QUEUE_TEST_DB";

/// Runs the named test of this file again in a process of its own, under strace; answers what that wrote.
/// `None`, said aloud, where strace cannot be used; an error where nothing may be skipped.
#[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "a child under strace is the test")]
fn traced(child: &str, db: &Path, options: &[&str]) -> Option<String> {
    let log = db.with_extension("strace");
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !works.is_ok_and(|status| status.success()) {
        eprintln!("skipped: strace cannot be used here");
        assert!(std::env::var_os("CI").is_none(), "CI skips nothing");
        return None;
    }
    let done = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(options)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", child, "--nocapture", "--test-threads=1"])
        .env(DB, db)
        .output()
        .expect("strace runs");
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{text}");
    Some(fs::read_to_string(&log).expect("the trace"))
}

/// The database that a parent test names, if there is one.
fn child_db() -> Option<Sqlite> {
    let path = std::env::var_os(DB)?;
    Some(Sqlite::open(Path::new(&path), &OpenOptions::default()).expect("a queue"))
}

#[test]
fn f32_a_sync_fails() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("queue.db");
    // Made here, so that the syncs of making it are not those that fail.
    drop(Sqlite::open(&db, &OpenOptions::default()).unwrap());
    let inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=3"];
    let Some(trace) = traced("f32_child", &db, &inject) else { return };
    assert_eq!(trace.matches("EIO").count(), 1, "{trace}");
    let queue = Sqlite::open(&db, &OpenOptions::default()).unwrap();
    on_a_runtime(async {
        assert_eq!(queue.health().await.unwrap().problems, Vec::<String>::new());
    });
}

/// Submits until a sync fails: nothing is called accepted that was not, and the same handle goes on.
#[test]
fn f32_child() {
    let Some(queue) = child_db() else { return };
    on_a_runtime(async {
        let mut accepted = Vec::new();
        let mut failed = 0;
        for _ in 0..6 {
            let new = job();
            let id = new.id;
            match queue.submit(vec![new.clone()]).await {
                Ok(_) => accepted.push(id),
                Err(Error::Database(_)) => {
                    failed += 1;
                    // Whether it came in is unknown; asking again is safe and makes it certain.
                    queue.submit(vec![new]).await.unwrap();
                    accepted.push(id);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(failed, 1);
        let there: Vec<_> = queue.list(&Filter::default()).await.unwrap().iter().rev().map(|job| job.id).collect();
        assert_eq!(there, accepted);
    });
}

#[test]
fn f34_what_is_accepted_was_synced_before() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("queue.db");
    drop(Sqlite::open(&db, &OpenOptions::default()).unwrap());
    let Some(trace) = traced("f34_child", &db, &["-y", "-e", "trace=pwrite64,fsync,fdatasync,write"]) else { return };
    let (mut unsynced, mut answers, mut synced) = (false, 0, 0);
    for line in trace.lines() {
        let wal = line.contains("queue.db-wal>");
        if wal && line.contains("pwrite64(") {
            unsynced = true;
        } else if wal && line.contains("sync(") {
            assert!(!line.contains("= -1"), "{line}");
            synced += usize::from(unsynced);
            unsynced = false;
        } else if line.contains("ANSWER durable") {
            assert!(!unsynced, "answered before its sync:\n{trace}");
            answers += 1;
        } else if line.contains("ANSWER cheap") {
            assert!(unsynced, "a task's step needs no sync:\n{trace}");
            answers += 1;
        }
    }
    assert_eq!(answers, 8, "{trace}");
    assert!((5..=7).contains(&synced), "one sync for each durable answer: {synced}\n{trace}");
}

/// Says aloud, in one write each, when a call has answered.
#[test]
fn f34_child() {
    let Some(queue) = child_db() else { return };
    on_a_runtime(async {
        for _ in 0..3 {
            queue.submit(vec![job()]).await.unwrap();
            println!("ANSWER durable submit");
        }
        let id = queue.claim(&claim_by("default00")).await.unwrap().unwrap().job.id;
        println!("ANSWER cheap claim");
        queue.record(id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
        println!("ANSWER cheap record");
        queue.finish(id, Epoch(1), &[row(0, TaskStatus::Failed)], ending(JobStatus::Failed)).await.unwrap();
        println!("ANSWER durable finish");
        queue.retry(id, job_queue::NewRound { seen: 1, ..Default::default() }).await.unwrap();
        println!("ANSWER durable retry");
        queue.cancel(id, job_queue::CancelHow::Cancel).await.unwrap();
        println!("ANSWER durable cancel");
    });
}

fn on_a_runtime<T>(body: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(body)
}
