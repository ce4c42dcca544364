//! The Q socket: our hand-written PUSH against libzmq's PULL, and against peers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use executor::{Ending, Outcome};
use task_process::{
    Error, Inbox, LINGER, OutputInfo, RunDir, TaskReport, VERSION, WorkerLock, encode_report, send_message,
};
use workflow_model::{Attempt, Epoch, JobId, Nonce, QueueName, TaskIx};

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn run_dir(&self) -> RunDir {
        RunDir::open(self.dir.path().join("run")).unwrap()
    }

    fn lock(&self) -> WorkerLock {
        WorkerLock::acquire(&self.run_dir(), &QueueName::default(), 0).unwrap()
    }

    fn socket(&self) -> PathBuf {
        self.run_dir().socket(&QueueName::default(), 0).unwrap()
    }
}

fn report(task: u32) -> TaskReport {
    TaskReport {
        v: VERSION,
        job: JobId::generate(),
        task: TaskIx(task),
        attempt: Attempt(1),
        epoch: Epoch(1),
        nonce: Nonce::generate(),
        outcome: Outcome::new(Ending::Exited { code: 0 }, ""),
        started: 1,
        ended: 2,
        out: OutputInfo::default(),
        err: OutputInfo::default(),
    }
}

fn send(socket: &Path, task: u32) -> std::io::Result<()> {
    send_message(socket, &encode_report(&report(task)), LINGER)
}

async fn receive(inbox: &mut Inbox) -> TaskReport {
    tokio::time::timeout(Duration::from_secs(10), inbox.recv()).await.expect("a report within 10 s").unwrap()
}

/// `senders` at once, each sending `each` messages over connections of their own.
async fn all_arrive(senders: u32, each: u32) {
    let place = Place::new();
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    let socket = place.socket();
    let threads: Vec<_> = (0..senders)
        .map(|sender| {
            let socket = socket.clone();
            thread::spawn(move || (0..each).try_for_each(|n| send(&socket, sender * each + n)))
        })
        .collect();
    let mut seen = vec![false; (senders * each) as usize];
    for _ in 0..seen.len() {
        let task = receive(&mut inbox).await.task.index();
        assert!(!std::mem::replace(&mut seen[task], true), "task {task} came twice");
    }
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    assert_eq!((inbox.try_recv(), inbox.dropped()), (None, 0));
}

#[tokio::test]
async fn f17_f18_of_400_short_connections_400_arrive() {
    all_arrive(2, 200).await;
}

#[tokio::test]
async fn f27_a_thousand_senders_at_once() {
    all_arrive(1000, 1).await;
}

#[tokio::test]
async fn f17_a_message_sent_while_nobody_looked_is_there_later() {
    let place = Place::new();
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    let socket = place.socket();
    thread::spawn(move || send(&socket, 5)).join().unwrap().unwrap();
    assert_eq!(receive(&mut inbox).await.task, TaskIx(5));
}

#[tokio::test]
async fn f24_garbage_is_counted_and_dropped() {
    let place = Place::new();
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    for seed in 0..3_u32 {
        let mut raw = UnixStream::connect(place.socket()).unwrap();
        let noise: Vec<u8> =
            (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8).collect();
        raw.write_all(&noise).ok();
    }
    // Well-formed frames that are no reports: text, half a report, none at all.
    let half = encode_report(&report(1));
    for body in [&b"hello"[..], &half[..half.len() / 2], b"", &[0xff; 60_000]] {
        send_message(&place.socket(), body, LINGER).unwrap();
    }
    // Larger than MAXMSGSIZE: libzmq closes the connection, nothing arrives.
    send_message(&place.socket(), &vec![b' '; 100_000], LINGER).ok();
    // An empty one from libzmq itself, and several frames in one message.
    let context = zmq::Context::new();
    let push = context.socket(zmq::PUSH).unwrap();
    push.connect(&format!("ipc://{}", place.socket().display())).unwrap();
    push.send_multipart([encode_report(&report(2)), encode_report(&report(3))], 0).unwrap();
    send(&place.socket(), 9).unwrap();
    let mut deadline = 500;
    let mut got = Vec::new();
    while (inbox.dropped() < 5 || got.is_empty()) && deadline > 0 {
        if let Ok(report) = tokio::time::timeout(Duration::from_millis(20), inbox.recv()).await {
            got.push(report.unwrap().task.0);
        }
        deadline -= 1;
    }
    assert_eq!(got, [9], "only the real report");
    assert_eq!(inbox.dropped(), 5);
}

#[tokio::test]
async fn f22_a_stale_socket_is_replaced_and_ours_is_removed() {
    let place = Place::new();
    let socket = place.socket();
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists(), "std leaves the file, as a crash does");
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    send(&socket, 1).unwrap();
    assert_eq!(receive(&mut inbox).await.task, TaskIx(1));
    drop(inbox);
    assert!(!socket.exists());
}

#[tokio::test]
async fn f22_what_is_no_socket_is_never_removed() {
    let place = Place::new();
    std::fs::write(place.socket(), "precious").unwrap();
    assert!(matches!(Inbox::bind(place.lock()), Err(Error::NotASocket { .. })));
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "precious");
}

#[tokio::test]
async fn f26_a_removed_socket_file_or_run_dir_is_bound_again() {
    let place = Place::new();
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    for (round, whole) in [(1, false), (2, true), (3, false)] {
        if whole {
            std::fs::remove_dir_all(place.dir.path().join("run")).unwrap();
        } else {
            std::fs::remove_file(place.dir.path().join("run/default00.ipc")).unwrap();
        }
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while inbox.rebinds() < round {
            assert!(tokio::time::Instant::now() < deadline, "bound again within 5 s");
            assert!(tokio::time::timeout(Duration::from_millis(50), inbox.recv()).await.is_err());
        }
        let socket = place.socket();
        thread::spawn(move || send(&socket, 4)).join().unwrap().unwrap();
        assert_eq!(receive(&mut inbox).await.task, TaskIx(4));
    }
}

#[tokio::test]
async fn f26_another_worker_in_the_place_ends_this_one() {
    let place = Place::new();
    let mut inbox = Inbox::bind(place.lock()).unwrap();
    std::fs::remove_dir_all(place.dir.path().join("run")).unwrap();
    let _other = place.lock();
    let answer = tokio::time::timeout(Duration::from_secs(5), inbox.recv()).await.expect("within 5 s");
    assert!(matches!(answer, Err(Error::LockLost { .. })), "{answer:?}");
}

/// Our client against a peer that does `act` with the accepted connection.
fn against(act: impl FnOnce(UnixStream) + Send + 'static) -> (std::io::Result<()>, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = thread::spawn(move || act(listener.accept().unwrap().0));
    #[expect(clippy::disallowed_methods, reason = "the bound is what is tested")]
    let started = Instant::now();
    let answer = send_message(&path, b"x", Duration::from_millis(300));
    let took = started.elapsed();
    peer.join().unwrap();
    (answer, took)
}

fn greet(stream: &mut UnixStream) {
    let mut greeting = [0; 64];
    (greeting[0], greeting[9], greeting[10]) = (0xff, 0x7f, 3);
    greeting[12..16].copy_from_slice(b"NULL");
    stream.write_all(&greeting).unwrap();
}

#[test]
fn f19_a_peer_that_does_not_answer_is_left_in_time() {
    let wait_for_close = |mut stream: UnixStream| {
        stream.read_to_end(&mut Vec::new()).ok();
    };
    let (answer, took) = against(wait_for_close);
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(took < Duration::from_secs(2), "{took:?}");
    // It answers, but never with its READY.
    let (answer, took) = against(move |mut stream| {
        greet(&mut stream);
        wait_for_close(stream);
    });
    assert_eq!(answer.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn f24_a_peer_that_talks_nonsense_or_closes_early_is_an_error() {
    let acts: [fn(UnixStream); 6] = [
        drop,
        |mut stream| stream.write_all(&[0x55; 300]).unwrap_or(()),
        |mut stream| stream.write_all(&[0xff; 10]).unwrap_or(()),
        |mut stream| {
            greet(&mut stream);
            // A frame of 2^63 bytes.
            stream.write_all(&[0x06, 0x80, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        },
        |mut stream| {
            greet(&mut stream);
            stream.write_all(b"\x04\x0a\x05ERROR\x03abc").unwrap();
        },
        |mut stream| {
            greet(&mut stream);
            // PINGs without an end.
            while stream.write_all(b"\x04\x07\x04PING\x00\x00").is_ok() {}
        },
    ];
    for (n, act) in acts.into_iter().enumerate() {
        let (answer, took) = against(act);
        assert!(answer.is_err(), "peer {n}");
        assert!(took < Duration::from_secs(2), "peer {n}: {took:?}");
    }
}

#[test]
fn short_reads_are_put_together() {
    let (answer, _) = against(|mut stream| {
        let mut bytes = vec![0; 64];
        (bytes[0], bytes[9], bytes[10]) = (0xff, 0x7f, 3);
        bytes[12..16].copy_from_slice(b"NULL");
        bytes.extend_from_slice(b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PULL");
        for byte in bytes {
            stream.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    answer.unwrap();
}

#[test]
fn f19_nobody_listens_or_the_file_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    assert!(send_message(&path, b"x", LINGER).is_err());
    drop(UnixListener::bind(&path).unwrap());
    assert!(send_message(&path, b"x", LINGER).is_err());
}
