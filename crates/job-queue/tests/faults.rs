//! What can go wrong with an SQLite file: faults F30, F31, F33, F35 and F36.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use job_queue::{
    Check, Error, Filter, JobQueue, OpenOptions, Sqlite,
    conformance::{claim_by, ending, job, row},
};
use rusqlite::Connection;
use workflow_model::{Epoch, JobStatus, TaskStatus};

struct Place {
    folder: tempfile::TempDir,
    db: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    Place { db: folder.path().join("queue.db"), folder }
}

fn open(path: &Path) -> Result<Sqlite, Error> {
    Sqlite::open(path, &OpenOptions::default())
}

/// A database with one queued job, closed again.
fn with_a_job(runtime: &tokio::runtime::Runtime, path: &Path) {
    let queue = open(path).expect("a new database");
    runtime.block_on(queue.submit(vec![job()])).expect("a job");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The file is refused, with these words, and is as it was.
fn refused(path: &Path, words: &[&str]) {
    let before = fs::read(path).expect("the file");
    let error = open(path).expect_err("it must be refused");
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text:?} must say {words:?}");
    assert!(!error.is_transient());
    assert!(fs::read(path).expect("the file") == before, "the file was changed");
}

#[tokio::test]
async fn f30_another_process_holds_the_lock() {
    let place = place();
    let options = OpenOptions { busy_timeout: Duration::from_millis(400), ..OpenOptions::default() };
    let queue = Sqlite::open(&place.db, &options).unwrap();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    queue.claim(&claim_by("default00")).await.unwrap().unwrap();

    let other = Connection::open(&place.db).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let mut ticked = 0;
    let refused = {
        let submit = queue.submit(vec![job()]);
        tokio::pin!(submit);
        loop {
            tokio::select! {
                done = &mut submit => break done.unwrap_err(),
                _ = ticks.tick() => ticked += 1,
            }
        }
    };
    assert!(matches!(refused, Error::Busy(_)) && refused.is_transient(), "{refused:?}");
    assert!(ticked >= 10, "the caller's runtime went on meanwhile: {ticked} ticks");
    assert_eq!(queue.get(id).await.unwrap().status, JobStatus::Running, "reads need no lock");
    let record = queue.record(id, Epoch(1), &[row(0, TaskStatus::Running)]).await;
    assert!(matches!(record, Err(Error::Busy(_))), "short writes wait elsewhere, too: {record:?}");

    // A lock that is given back within the busy timeout is not noticed by anyone.
    let patient = open(&place.db).unwrap();
    let rows = [row(0, TaskStatus::Running)];
    let (record, commit) = tokio::join!(patient.record(id, Epoch(1), &rows), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.execute_batch("COMMIT")
    });
    commit.unwrap();
    record.unwrap();
    queue.submit(vec![job()]).await.unwrap();
}

/// A small disk of its own; unmounted at the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where this user may not mount; an error where nothing may be skipped.
    #[expect(clippy::disallowed_methods, clippy::print_stderr, reason = "mount(8) is the way to a small disk")]
    fn mounted_at(path: &Path) -> Option<Self> {
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "qm-small-disk"])
            .arg(path)
            .output();
        let why = match mount {
            Ok(done) if done.status.success() => return Some(Self(path.to_owned())),
            Ok(done) => String::from_utf8_lossy(&done.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        eprintln!("skipped: cannot mount a small disk ({})", why.trim());
        assert!(std::env::var_os("CI").is_none(), "CI skips nothing");
        None
    }
}

impl Drop for SmallDisk {
    #[expect(clippy::disallowed_methods, reason = "what mount(8) made, umount(8) removes")]
    fn drop(&mut self) {
        let done = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "cannot unmount {}", self.0.display());
    }
}

#[test]
fn f31_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mounted_at(folder.path()) else { return };
    let queue = open(&disk.0.join("queue.db")).unwrap();
    runtime().block_on(async {
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        let filler = disk.0.join("filler");
        fs::write(&filler, vec![1; 700_000]).unwrap();
        let mut accepted = 1;
        let full = loop {
            let mut large = job();
            large.definition = "x".repeat(50_000);
            match queue.submit(vec![large]).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
            assert!(accepted < 50, "a disk of 1 MiB takes no end of jobs");
        };
        assert!(matches!(full, Error::Full(_)) && full.is_transient(), "{full:?}");
        let rows: Vec<_> = (0..2_000).map(|ix| row(ix, TaskStatus::Running)).collect();
        assert!(matches!(queue.record(id, Epoch(1), &rows).await, Err(Error::Full(_))));
        assert_eq!(queue.list(&Filter::default()).await.unwrap().len(), accepted, "what was refused is not there");
        assert_eq!(queue.tasks(id).await.unwrap(), []);
        fs::remove_file(&filler).unwrap();
        queue.record(id, Epoch(1), &rows[..3]).await.unwrap();
        queue.submit(vec![job()]).await.unwrap();
        queue.finish(id, Epoch(1), &[], ending(JobStatus::Failed)).await.unwrap();
        assert_eq!(queue.health().await.unwrap().problems, Vec::<String>::new());
        drop(queue);
    });
}

#[tokio::test]
async fn f33_a_pinned_reader_grows_the_wal_and_no_call_of_ours_is_one() {
    const LIMIT: u64 = 64 << 20;
    let place = place();
    let queue = open(&place.db).unwrap();
    let id = queue.submit(vec![job()]).await.unwrap()[0].id;
    let reader = Connection::open(&place.db).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM job").unwrap();
    let large = || {
        let mut large = job();
        large.definition = "x".repeat(10 << 20);
        large
    };
    for _ in 0..7 {
        queue.submit(vec![large()]).await.unwrap();
    }
    let held = queue.health().await.unwrap().wal_bytes;
    assert!(held > LIMIT, "the WAL grows as long as it is read: {held} bytes");
    reader.execute_batch("COMMIT").unwrap();
    // Each copies what is there into the database; then the WAL begins anew and is cut.
    queue.submit(vec![large()]).await.unwrap();
    queue.submit(vec![large()]).await.unwrap();
    let after = queue.health().await.unwrap().wal_bytes;
    assert!(after <= LIMIT, "{after} bytes");

    // After any call of ours the WAL can be emptied: none leaves a transaction open.
    queue.list(&Filter { limit: Some(1), ..Filter::default() }).await.unwrap();
    queue.get(id).await.unwrap();
    queue.tasks(id).await.unwrap();
    queue.poll(&[], "here").await.unwrap();
    queue.queues().await.unwrap();
    let busy: bool = reader.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0)).unwrap();
    assert!(!busy, "somebody still reads");
    assert_eq!(queue.health().await.unwrap().wal_bytes, 0);
}

#[tokio::test]
async fn f35_files_replaced_or_removed_in_use() {
    for (suffix, replaced) in [("", true), ("", false), ("-wal", true), ("-wal", false), ("-shm", false)] {
        let place = place();
        let queue = open(&place.db).unwrap();
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        let file = place.folder.path().join(format!("queue.db{suffix}"));
        let copy = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        if replaced {
            fs::write(place.folder.path().join("new"), copy).unwrap();
            fs::rename(place.folder.path().join("new"), &file).unwrap();
        }
        let word = if replaced { "replaced" } else { "removed" };
        for error in [
            queue.submit(vec![job()]).await.unwrap_err(),
            queue.claim(&claim_by("default00")).await.unwrap_err(),
            queue.renew(&[(id, Epoch(1))], Duration::from_secs(1)).await.unwrap_err(),
            queue.poll(&[], "here").await.unwrap_err(),
        ] {
            assert!(matches!(&error, Error::Unusable(text) if text.contains(word)), "{error:?}");
        }
    }
}

#[test]
fn f35_two_names_for_one_file() {
    let (place, runtime) = (place(), runtime());
    with_a_job(&runtime, &place.db);
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(&place.db, &link).unwrap();
    let (one, two) = (open(&place.db).unwrap(), open(&link).unwrap());
    assert_eq!(one.path(), two.path(), "a symbolic link is followed, so both use one WAL");
    runtime.block_on(two.submit(vec![job()])).unwrap();
    assert_eq!(runtime.block_on(one.list(&Filter::default())).unwrap().len(), 2);
    drop((one, two));
    fs::remove_file(&link).unwrap();
    fs::hard_link(&place.db, &link).unwrap();
    refused(&place.db, &["more than one name"]);
}

#[test]
fn f36_a_newer_schema_or_a_foreign_database() {
    let (place, runtime) = (place(), runtime());
    with_a_job(&runtime, &place.db);
    Connection::open(&place.db).unwrap().execute_batch("PRAGMA user_version=999").unwrap();
    refused(&place.db, &["newer qmanager", "schema 999", "knows "]);
    let foreign = place.folder.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t (x)").unwrap();
    refused(&foreign, &["not one of qmanager's"]);
}

#[test]
fn f36_no_database_at_all() {
    let place = place();
    fs::write(&place.db, "- name: a workflow\n".repeat(100)).unwrap();
    refused(&place.db, &["not an SQLite database"]);
    fs::write(&place.db, "").unwrap();
    refused(&place.db, &["empty"]);
    let error = open(place.folder.path()).unwrap_err().to_string();
    assert!(error.contains("not a regular file"), "{error}");
    let error = open(&place.folder.path().join("no/such/queue.db")).unwrap_err().to_string();
    assert!(error.contains("no folder"), "{error}");
    let never = OpenOptions { create: false, ..OpenOptions::default() };
    let error = Sqlite::open(&place.folder.path().join("none.db"), &never).unwrap_err().to_string();
    assert!(error.contains("no database at"), "{error}");
    assert!(!place.folder.path().join("none.db").exists());
}

#[test]
fn f36_truncated() {
    let (place, runtime) = (place(), runtime());
    with_a_job(&runtime, &place.db);
    let length = fs::metadata(&place.db).unwrap().len();
    for cut in [length - 4096, length / 2, 4096, 100, 17] {
        let file = fs::OpenOptions::new().write(true).open(&place.db).unwrap();
        file.set_len(cut).unwrap();
        let error = open(&place.db).expect_err("a file that was cut off").to_string();
        assert!(["cut off", "damaged", "not an SQLite database"].iter().any(|word| error.contains(word)), "{error}");
    }
}

#[test]
fn f36_damaged_pages() {
    let (place, runtime) = (place(), runtime());
    with_a_job(&runtime, &place.db);
    let sound = fs::read(&place.db).unwrap();
    let options = OpenOptions { check: Check::Within(Duration::from_secs(60)), ..OpenOptions::default() };
    drop(Sqlite::open(&place.db, &options).unwrap());
    let mut found = 0;
    for page in 1..sound.len() / 4096 {
        let mut damaged = sound.clone();
        damaged[page * 4096..page * 4096 + 512].fill(0xa5);
        fs::write(&place.db, &damaged).unwrap();
        // Pages that belong to nothing yet hold nothing that could be damaged.
        match Sqlite::open(&place.db, &options) {
            Ok(_) => {}
            Err(Error::Unusable(text)) => {
                assert!(text.contains("damaged") && text.contains("backup"), "{text}");
                found += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(found >= sound.len() / 4096 - 2, "{found} of {} pages", sound.len() / 4096);
}

#[test]
fn f36_read_only() {
    let (place, runtime) = (place(), runtime());
    with_a_job(&runtime, &place.db);
    fs::set_permissions(&place.db, fs::Permissions::from_mode(0o444)).unwrap();
    refused(&place.db, &["read-only", "chmod"]);
}

#[test]
fn the_files_are_their_owners_alone() {
    let (place, runtime) = (place(), runtime());
    let queue = open(&place.db).unwrap();
    runtime.block_on(queue.submit(vec![job()])).unwrap();
    runtime.block_on(queue.wake()).unwrap();
    runtime.block_on(queue.backup_to(&place.folder.path().join("copy.db"))).unwrap();
    let mut names = Vec::new();
    for entry in fs::read_dir(place.folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{}", entry.path().display());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["copy.db", "queue.db", "queue.db-shm", "queue.db-wal", "queue.db.wake"]);
}

#[test]
fn a_backup_is_whole_and_overwrites_nothing() {
    let (place, runtime) = (place(), runtime());
    let queue = open(&place.db).unwrap();
    let id = runtime.block_on(queue.submit(vec![job()])).unwrap()[0].id;
    let copy = place.folder.path().join("it's a copy.db");
    runtime.block_on(queue.backup_to(&copy)).unwrap();
    runtime.block_on(queue.submit(vec![job()])).unwrap();
    let restored = open(&copy).unwrap();
    assert_eq!(runtime.block_on(restored.list(&Filter::default())).unwrap().len(), 1);
    assert_eq!(runtime.block_on(restored.get(id)).unwrap(), runtime.block_on(queue.get(id)).unwrap());
    let again = runtime.block_on(queue.backup_to(&copy));
    assert!(matches!(again, Err(Error::Refused(_))), "{again:?}");
}

#[test]
fn many_make_one_database() {
    // Who comes between two steps of another is chance: some rounds.
    for _ in 0..10 {
        let (place, runtime) = (place(), runtime());
        let start = std::sync::Barrier::new(16);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    start.wait();
                    let queue = open(&place.db).unwrap();
                    self::runtime().block_on(queue.submit(vec![job()])).unwrap();
                });
            }
        });
        let queue = open(&place.db).unwrap();
        assert_eq!(runtime.block_on(queue.list(&Filter::default())).unwrap().len(), 16);
        let names = fs::read_dir(place.folder.path()).unwrap().count();
        assert_eq!(names, 3, "database, WAL and its index; no drafts");
    }
}

#[test]
fn urls_are_told_apart() {
    let options = OpenOptions::default();
    for (url, words) in [
        ("postgres://qm:secret@db:port/qm", "postgres://db:port/qm is not the URL"),
        ("postgresql://qm:secret@/qm", "names no host"),
        ("postgres://qm:secret@db/qm?sslmode=never", "sslmode=never"),
        ("sqlite:", "names no file"),
        ("sqlite::memory:", "names no file"),
        ("/var/lib/queue.db", "sqlite:PATH"),
        ("mysql://u:secret@h/d", "\"mysql\""),
    ] {
        let error = job_queue::open(url, &options).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Url(_)) && text.contains(words) && !text.contains("secret"), "{text}");
    }
}
