//! The wake file.

use std::{fs, time::Duration};

use job_queue::{JobQueue, OpenOptions, Sqlite, Wake, conformance::job};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

struct Watched {
    folder: tempfile::TempDir,
    queue: Sqlite,
    wake: Wake,
}

fn watched() -> Watched {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = Sqlite::open(&folder.path().join("queue.db"), &OpenOptions::default()).expect("a queue");
    let wake = Wake::watch(queue.wake_path()).expect("a watch");
    Watched { folder, queue, wake }
}

#[tokio::test]
async fn a_touch_wakes_once() {
    let mut w = watched();
    w.queue.wake().await.unwrap();
    w.queue.wake().await.unwrap();
    tokio::time::timeout(LONG, w.wake.woken()).await.unwrap().unwrap();
    let again = tokio::time::timeout(SHORT, w.wake.woken()).await;
    assert!(again.is_err(), "two touches before a look are one");
    let (woken, touched) = tokio::join!(tokio::time::timeout(LONG, w.wake.woken()), w.queue.wake());
    woken.unwrap().unwrap();
    touched.unwrap();
}

#[tokio::test]
async fn commits_alone_wake_nobody() {
    let mut w = watched();
    for _ in 0..5 {
        w.queue.submit(vec![job()]).await.unwrap();
    }
    assert!(tokio::time::timeout(SHORT, w.wake.woken()).await.is_err());
}

#[tokio::test]
async fn a_removed_file_is_made_again() {
    let mut w = watched();
    for _ in 0..3 {
        fs::remove_file(w.queue.wake_path()).unwrap();
        tokio::time::timeout(LONG, w.wake.woken()).await.unwrap().unwrap();
        assert!(w.queue.wake_path().exists());
        w.queue.wake().await.unwrap();
        tokio::time::timeout(LONG, w.wake.woken()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_removed_folder_is_an_error() {
    let mut w = watched();
    w.folder.close().unwrap();
    assert!(tokio::time::timeout(LONG, w.wake.woken()).await.unwrap().is_err());
}
