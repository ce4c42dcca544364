//! Many tasks, many jobs, many workers: all exactly once and in order, and each process stays small.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use crate::{
    harness::{Host, Running, until},
    witness::Witness,
};

/// MiB that each of our processes may have had at most (VmHWM).
const LIMIT: u64 = 64;

/// `QMANAGER_SCALE=LAYERS,WIDTH,WORKERS,CLIENTS,JOBS`: the acceptance run is `100,100,32,16,125`.
fn sizes() -> [usize; 5] {
    let wanted = std::env::var("QMANAGER_SCALE").unwrap_or_else(|_| "12,25,16,8,6".into());
    let numbers: Vec<usize> = wanted.split(',').map(|n| n.parse().expect("QMANAGER_SCALE: five numbers")).collect();
    numbers.try_into().expect("QMANAGER_SCALE: five numbers")
}

/// Layers in which each task depends on three of the layer before.
fn layered(witness: &Witness, layers: usize, width: usize) -> (String, BTreeMap<String, Vec<String>>) {
    let (mut text, mut depends) = (String::new(), BTreeMap::new());
    for layer in 0..layers {
        for n in 0..width {
            let name = format!("l{layer}n{n}");
            let needs: Vec<String> = match layer {
                0 => Vec::new(),
                _ => [0, 7, 13].iter().map(|step| format!("l{}n{}", layer - 1, (n + step) % width)).collect(),
            };
            text += &witness.task(&name, &needs, "true");
            depends.insert(name, needs);
        }
    }
    (text, depends)
}

/// Peak memory by kind of process, in MiB.
#[derive(Debug, Default)]
struct Peaks([AtomicU64; 3]);

impl Peaks {
    fn look(&self, host: &Host, manager: &Running) {
        self.note(0, manager.pid());
        for (kind, title) in [(1, "qworker: "), (2, "task-executor: ")] {
            for pid in host.titled(title) {
                self.note(kind, pid);
            }
        }
    }

    fn note(&self, kind: usize, pid: i32) {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        self.0[kind].fetch_max(peak.unwrap_or(0_u64) >> 10, Ordering::Relaxed);
    }

    fn assert_small(&self) {
        let peaks = self.0.each_ref().map(|peak| peak.load(Ordering::Relaxed));
        assert!(peaks[0] > 0 && peaks[1] > 0, "{peaks:?}");
        assert!(peaks.iter().all(|peak| *peak < LIMIT), "qmanager, qworker, task-executor in MiB: {peaks:?}");
        crate::harness::tell(&format!("peak MiB of qmanager, qworker, task-executor: {peaks:?}"));
    }
}

fn assert_exactly_once(witness: &Witness, depends: &BTreeMap<String, Vec<String>>) {
    let testimony = witness.read();
    testimony.assert_order(depends);
    assert!(testimony.begins().values().all(|begins| *begins == 1), "some began twice");
    assert_eq!((testimony.begins().len(), testimony.ended().len()), (depends.len(), depends.len()));
}

#[test]
fn a_layered_dag_under_run() {
    let [layers, width, ..] = sizes();
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let (text, depends) = layered(&witness, layers, width);
    let file = host.write("w/layered.yaml", text);
    let mut run = host.spawn(&["run", file.to_str().expect("text")]);
    let peaks = Peaks::default();
    while run.is_running() {
        peaks.look(&host, &run);
        thread::sleep(std::time::Duration::from_millis(50));
    }
    run.wait().success();
    assert_exactly_once(&witness, &depends);
    peaks.assert_small();
    host.assert_nothing_left();
}

#[test]
fn a_layered_dag_under_start_and_submit() {
    let [layers, width, ..] = sizes();
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let (text, depends) = layered(&witness, layers, width);
    let file = host.write("w/layered.yaml", text);
    let mut daemon = host.start(&["--workers", "2"]);
    let job = host.submit(&[file.to_str().expect("text")]);
    let peaks = Peaks::default();
    let mut wait = host.spawn(&["wait", &job]);
    while wait.is_running() {
        peaks.look(&host, &daemon);
        thread::sleep(std::time::Duration::from_millis(50));
    }
    wait.wait().success();
    assert_exactly_once(&witness, &depends);
    peaks.assert_small();
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

#[test]
fn f28_many_workers_and_clients_on_one_database() {
    let [.., workers, clients, jobs] = sizes();
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let mut daemon = host.start(&["--workers", &workers.to_string(), "--force"]);
    thread::scope(|scope| {
        for client in 0..clients {
            let (host, witness) = (&host, &witness);
            scope.spawn(move || {
                for n in 0..jobs {
                    let name = format!("c{client}j{n}");
                    let file = host.write(&format!("jobs/{name}.yaml"), witness.task(&name, &[], "true"));
                    let done = host.qmanager(["submit", file.to_str().expect("text")]).success();
                    assert!(!done.stderr.contains("locked"), "{done:?}");
                }
            });
        }
    });
    let total = clients * jobs;
    let count =
        |state: &str| host.qmanager(["list", "--limit", "0", "--state", state, "--json"]).success().json().len();
    let mut least = total;
    until("all jobs have ended", || {
        // The deadline is for progress, not for all of them.
        least = least.min(count("queued") + count("running"));
        least == 0
    });
    assert_eq!(count("succeeded"), total, "none lost");
    let testimony = witness.read();
    assert_eq!(testimony.begins().len(), total);
    assert!(testimony.begins().values().all(|begins| *begins == 1), "none doubled");
    host.qmanager(["stop"]).success();
    let done = daemon.wait().success();
    assert!(!done.stderr.contains("locked") && !done.stderr.contains("busy"), "{done:?}");
    host.assert_nothing_left();
}
