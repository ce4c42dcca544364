//! What task executors leave on disk and say on the Q socket is what version 1 left and said (tests/fixtures). A task
//! executor may be older or newer than the worker that adopts its task.
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    time::Duration,
};

use executor::{Handle, ProcessId, ShellHandle};
use task_process::{Inbox, LINGER, Lease, Paths, RunDir, WorkerLock, decode_report, read_handle, send_message};
use workflow_model::{Epoch, QueueName};

const REPORT: &[u8] = include_bytes!("../../../tests/fixtures/v1/task/report.json");
const HANDLE: &str = include_str!("../../../tests/fixtures/v1/task/handle.json");
const LEASE: &str = include_str!("../../../tests/fixtures/v1/task/lease.json");
/// All that a task executor sends: greeting, READY, the report.
const PUSH: &[u8] = include_bytes!("../../../tests/fixtures/v1/task/zmtp-push.bin");
/// All that a worker's libzmq answers: greeting, READY.
const PULL: &[u8] = include_bytes!("../../../tests/fixtures/v1/task/zmtp-pull.bin");

fn handle() -> Handle {
    let boot_id = "8f6c0b7e-4a68-4bf6-a8a1-2c1f0d9c7a11".to_owned();
    Handle::Shell(ShellHandle {
        leader: ProcessId { pid: 19264, start_time: 1_342_221, boot_id },
        session: 19257,
        cgroup: Some(PathBuf::from("/sys/fs/cgroup/qmanager/7.2")),
        marker: "QM_MARK=01a20ced-2d28-7012-b03d-b083dfd37384/7/2".into(),
        grace: Duration::from_millis(10_500),
    })
}

/// `UPDATE_EXPECT=1` writes it, before the first release (tests/fixtures/README.md).
fn same(file: &str, expected: &[u8], now: &[u8]) {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1/task");
        fs::write(folder.join(file), now).unwrap();
    } else {
        assert_eq!(
            String::from_utf8_lossy(now),
            String::from_utf8_lossy(expected),
            "{file} (tests/fixtures/README.md)"
        );
    }
}

#[test]
fn a_handle_of_version_1_is_read_and_is_what_this_version_writes() {
    same("handle.json", HANDLE.as_bytes(), &serde_json::to_vec(&handle()).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let paths = Paths {
        out: file("out"),
        err: file("err"),
        report: file("report"),
        handle: file("handle"),
        lease: file("lease"),
        tmp: file("tmp"),
        recycle: false,
        blank: None,
    };
    // A later version adds fields; what came before `grace` has none.
    for text in [HANDLE.to_owned(), HANDLE.replacen('{', "{\"new\":[1],", 1)] {
        fs::write(&paths.handle, text).unwrap();
        assert_eq!(read_handle(&paths), Some(handle()));
    }
}

#[test]
fn a_lease_of_version_1_is_read_and_is_what_this_version_writes() {
    let lease = Lease { epoch: Epoch(3), deadline: 13_431_219_286 };
    same("lease.json", LEASE.as_bytes(), &serde_json::to_vec(&lease).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lease");
    for text in [LEASE.to_owned(), LEASE.replacen('{', "{\"new\":[1],", 1)] {
        fs::write(&path, text).unwrap();
        assert_eq!(Lease::read(&path), Some(lease));
    }
}

/// Today's task executor against yesterday's worker: the peer is a recording.
#[test]
fn a_task_executor_says_to_a_worker_of_version_1_what_version_1_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // libzmq sends its READY after the other's greeting.
        stream.write_all(&PULL[..64]).unwrap();
        let mut said = vec![0; 64];
        stream.read_exact(&mut said).unwrap();
        stream.write_all(&PULL[64..]).unwrap();
        stream.read_to_end(&mut said).unwrap();
        said
    });
    send_message(&path, REPORT, LINGER).unwrap();
    same("zmtp-push.bin", PUSH, &peer.join().unwrap());
}

/// Yesterday's task executor against today's worker.
#[tokio::test]
async fn a_worker_understands_what_a_task_executor_of_version_1_said() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::open(dir.path().join("run")).unwrap();
    let mut inbox = Inbox::bind(WorkerLock::acquire(&run_dir, &QueueName::default(), 0).unwrap()).unwrap();
    let socket = run_dir.socket(&QueueName::default(), 0).unwrap();
    let said = std::thread::spawn(move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(&PUSH[..64]).unwrap();
        let mut answer = vec![0; 64];
        stream.read_exact(&mut answer).unwrap();
        stream.write_all(&PUSH[64..]).unwrap();
        let mut head = [0; 2];
        stream.read_exact(&mut head).unwrap();
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest).unwrap();
        [answer, head.to_vec(), rest].concat()
    });
    let report = tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await.unwrap().unwrap();
    assert_eq!(report, decode_report(REPORT).unwrap());
    let said = said.join().unwrap();
    // libzmq's own version number in the greeting may grow.
    same("zmtp-pull.bin", PULL, &said);
}
