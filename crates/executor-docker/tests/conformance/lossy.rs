//! A way to the engine on which the answer to one request is lost.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use executor::{
    Ending,
    conformance::{Bench, Case},
};
use libtest_mimic::Failed;

use super::{container, set};

pub(super) const CASES: &[(&str, Case)] = &[
    ("f51_a_wait_that_ends_without_an_answer_is_no_success", wait_cut),
    ("f58_a_create_whose_answer_is_lost_makes_one_container", create_cut),
    ("f58_a_start_whose_answer_is_lost_runs_once", start_cut),
];

/// An engine's socket that is not the engine's.
#[derive(Debug)]
struct Lossy {
    path: PathBuf,
    /// How many requests of the kind came.
    seen: Arc<AtomicUsize>,
}

impl Lossy {
    /// Loses the answer to the first request whose first line has this part, after the engine has begun to give it.
    fn new(bench: &Bench, part: &'static str) -> Result<Self, Failed> {
        let path = bench.files().with_file_name("lossy.sock");
        let engine = container().host.trim_start_matches("unix://").to_owned();
        let listener = UnixListener::bind(&path)?;
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (engine, count) = (engine.clone(), Arc::clone(&count));
                // A connection that breaks is what this is for.
                std::thread::spawn(move || serve(client, Path::new(&engine), part, &count).ok());
            }
        });
        Ok(Self { path, seen })
    }

    fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

fn serve(mut client: UnixStream, engine: &Path, part: &str, count: &AtomicUsize) -> std::io::Result<()> {
    let mut upstream = UnixStream::connect(engine)?;
    let mut head = vec![0; 64 << 10];
    let read = client.read(&mut head)?;
    let first = String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
    upstream.write_all(&head[..read])?;
    let (mut from, mut to) = (client.try_clone()?, upstream.try_clone()?);
    std::thread::spawn(move || {
        // Whichever side ends first ends it.
        std::io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
    if first.contains(part) && count.fetch_add(1, Ordering::SeqCst) == 0 {
        let _answer = upstream.read(&mut head)?;
        upstream.shutdown(Shutdown::Both)?;
        return client.shutdown(Shutdown::Both);
    }
    std::io::copy(&mut upstream, &mut client)?;
    client.shutdown(Shutdown::Both)
}

fn wait_cut(bench: &Bench) -> Result<(), Failed> {
    for code in [0, 3] {
        std::fs::remove_file(bench.files().with_file_name("lossy.sock")).ok();
        std::fs::remove_file(bench.files().join("go")).ok();
        let lossy = Lossy::new(bench, "/wait?")?;
        let mut spec = bench.script(&format!("echo begun; while [ ! -e go ]; do sleep 0.01; done; exit {code}"));
        spec.timeout = Some(Duration::from_secs(60));
        spec.marker = format!("{}/{code}", spec.marker);
        set(&mut spec, |container| container.host = lossy.host());
        let running = bench.launch(&spec)?;
        running.says("begun")?;
        executor::conformance::until("the wait was cut", || lossy.seen() > 0)?;
        std::fs::write(bench.files().join("go"), "")?;
        let ended = running.end()?;
        assert_eq!(ended.outcome.ending, Ending::Exited { code });
        assert_eq!(ended.text(), "begun\n");
    }
    Ok(())
}

fn create_cut(bench: &Bench) -> Result<(), Failed> {
    runs_once(bench, "/containers/create?")
}

fn start_cut(bench: &Bench) -> Result<(), Failed> {
    runs_once(bench, "/start")
}

fn runs_once(bench: &Bench, part: &'static str) -> Result<(), Failed> {
    let lossy = Lossy::new(bench, part)?;
    let mut spec = bench.script("echo once >> trace; echo heard; exit 4");
    set(&mut spec, |container| container.host = lossy.host());
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 4 });
    assert_eq!((ended.text().as_str(), lossy.seen()), ("heard\n", 1));
    assert_eq!(std::fs::read_to_string(bench.files().join("trace"))?, "once\n");
    Ok(())
}
