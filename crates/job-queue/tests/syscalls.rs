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
    let inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=3"]; // of each thread
    let Some(trace) = traced("f32_child", &db, &inject) else { return };
    assert!(trace.contains("EIO"), "{trace}");
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
            // Whether it came in is unknown after a failure; asking again is safe and makes it certain.
            while let Err(error) = queue.submit(vec![new.clone()]).await {
                assert!(matches!(error, Error::Disk(_)) && error.is_transient(), "{error:?}");
                failed += 1;
            }
            accepted.push(id);
        }
        assert!(failed > 0);
        let there: Vec<_> = queue.list(&Filter::default()).await.unwrap().iter().rev().map(|job| job.id).collect();
        assert_eq!(there, accepted);
    });
}

/// Each state of the disk that a power failure may leave right after an answer: every file as of its last sync, or
/// with all that was written since, or with the unsynced half of it.
#[test]
fn f34_the_power_fails_after_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("queue.db");
    drop(Sqlite::open(&db, &OpenOptions::default()).unwrap());
    let made = fs::read(&db).unwrap();
    let options = ["-y", "-xx", "-s", "10000", "-e", "trace=pwrite64,fsync,fdatasync,write"];
    let Some(trace) = traced("f34_child", &db, &options) else { return };
    let mut disk = Disk { db: made, ..Disk::default() };
    let (mut answers, durable, any) = (Vec::new(), hex("ANSWER durable"), hex("ANSWER "));
    for line in trace.lines() {
        let wal = line.contains("queue.db-wal>") || line.contains(&hex("queue.db-wal"));
        if wal && line.contains("pwrite64(") {
            disk.unsynced.push(written(line));
        } else if wal && line.contains("sync(") {
            disk.synced.append(&mut disk.unsynced);
        } else if line.contains(&any) {
            answers.push((line.contains(&durable), disk.clone()));
        }
    }
    assert_eq!(answers.len(), 8, "{trace}");
    for (at, (durable, disk)) in answers.iter().enumerate() {
        for kept in [0, disk.unsynced.len() / 2, disk.unsynced.len()] {
            let after = tempfile::tempdir().unwrap();
            let db = after.path().join("queue.db");
            fs::write(&db, &disk.db).unwrap();
            fs::write(after.path().join("queue.db-wal"), disk.wal(kept)).unwrap();
            let queue = Sqlite::open(&db, &OpenOptions::default()).unwrap();
            on_a_runtime(async {
                assert_eq!(queue.health().await.unwrap().problems, Vec::<String>::new());
                let jobs = queue.list(&Filter::default()).await.unwrap();
                // The steps of f34_child: three submits, claim, record, finish, retry, cancel.
                assert_eq!(jobs.len(), (at + 1).min(3));
                let first = jobs.last().unwrap();
                let status = [JobStatus::Failed, JobStatus::Queued, JobStatus::Cancelled];
                if *durable && at >= 5 {
                    assert_eq!(first.status, status[at - 5], "after answer {at}, {kept} unsynced writes kept");
                }
            });
        }
    }
}

/// What a disk holds: the database as it was made, and the writes to its WAL, in order.
#[derive(Default, Clone)]
struct Disk {
    db: Vec<u8>,
    synced: Vec<(usize, Vec<u8>)>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl Disk {
    fn wal(&self, unsynced: usize) -> Vec<u8> {
        let mut wal = Vec::new();
        for (at, bytes) in self.synced.iter().chain(&self.unsynced[..unsynced]) {
            wal.resize(wal.len().max(at + bytes.len()), 0);
            wal[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        wal
    }
}

/// Offset and bytes of a line `pwrite64(5<…>, "\x37\x7f…", 32, 0) = 32`.
fn written(line: &str) -> (usize, Vec<u8>) {
    let (_, rest) = line.split_once(">, \"").expect("bytes");
    let (bytes, rest) = rest.split_once("\", ").expect("an end of the bytes");
    let bytes: Vec<u8> = bytes.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte, 16).expect("a byte")).collect();
    let (length, rest) = rest.split_once(", ").expect("a length");
    assert_eq!(length.parse(), Ok(bytes.len()), "strace shows all bytes");
    (rest.split_once(')').expect("an offset").0.parse().expect("an offset"), bytes)
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
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
