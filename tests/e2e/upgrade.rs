//! Restarts under load: handover again and again, drains, programs that are replaced on disk. No task is lost or run
//! twice, and a task that nobody takes over ends before its lease does.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use task_process::Lease;

use crate::{
    harness::{Host, QMANAGER, QWORKER, Running, TASK_EXECUTOR, now, until},
    witness::Witness,
};

/// Tasks at once.
const WIDTH: usize = 20;

/// Jobs with tasks that wait for the file `go` and, beside them, a chain of short ones: something always ends or begins.
struct Load {
    witness: Witness,
    depends: BTreeMap<String, Vec<String>>,
    jobs: Vec<String>,
}

impl Load {
    fn submit(host: &Host, jobs: usize, waiting: usize, chain: usize) -> Self {
        let witness = Witness::new(host.dir());
        let wait = format!("while [ ! -e {} ]; do sleep 0.05; done", host.dir().join("go").display());
        let (mut depends, mut ids) = (BTreeMap::new(), Vec::new());
        for job in 0..jobs {
            let mut text = String::new();
            let mut task = |name: String, after: Vec<String>, body: &str| {
                text += &witness.task(&name, &after, body);
                depends.insert(name.clone(), after);
                name
            };
            let mut all: Vec<String> =
                (0..waiting).map(|number| task(format!("j{job}w{number}"), Vec::new(), &wait)).collect();
            for number in 0..chain {
                let before = number.checked_sub(1).map(|before| format!("j{job}c{before}"));
                all.push(task(format!("j{job}c{number}"), before.into_iter().collect(), "sleep 0.05"));
            }
            task(format!("j{job}end"), all, "true");
            let file = host.write(&format!("load/{job}.yaml"), text);
            ids.push(host.submit(&[path(&file)]));
        }
        Self { witness, depends, jobs: ids }
    }

    fn waiting_run(&self, count: usize) {
        until("all that wait have begun", || {
            self.witness.read().begins().keys().filter(|name| name.contains('w')).count() == count
        });
    }

    /// Every task began once, in order, and every job succeeded.
    fn ends_well(&self, host: &Host) {
        host.write("go", "");
        for job in &self.jobs {
            host.qmanager(["wait", job, "--timeout", "100s"]).success();
        }
        let testimony = self.witness.read();
        let begins = testimony.begins();
        assert_eq!(begins.len(), self.depends.len(), "each task began");
        assert!(begins.values().all(|count| *count == 1), "a task ran twice: {begins:?}");
        testimony.assert_order(&self.depends);
        testimony.assert_attempts_distinct();
    }
}

fn path(file: &Path) -> &str {
    file.to_str().expect("text")
}

fn stop(host: &Host, daemon: &mut Running) {
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

fn host() -> Host {
    Host::new().with_env("QMANAGER__TIMES__BACKOFF", "10ms").with_env("QMANAGER__TASKS__GRACE", "500ms")
}

/// What is left of a job's lease, as its task executors know it.
fn lease_left(host: &Host, job: &str) -> Option<Duration> {
    let lease = Lease::read(&host.run_dir().join("leases").join(job))?;
    Some(Duration::from_micros(lease.deadline.saturating_sub(task_process::boottime_now())))
}

/// Programs of an installation of its own, which a test may replace.
fn install(host: &Host) -> PathBuf {
    let bin = host.dir().join("bin");
    fs::create_dir_all(&bin).expect("a folder");
    for program in [QMANAGER, QWORKER, TASK_EXECUTOR] {
        let name = Path::new(program).file_name().expect("a name");
        // As `install` and package managers do: a new file, renamed over the old one, which runs on.
        let fresh = bin.join("fresh");
        fs::copy(program, &fresh).expect("a copy");
        fs::rename(&fresh, bin.join(name)).expect("renamed");
    }
    bin
}

#[test]
fn handover_ten_times_in_a_row_while_20_tasks_run() {
    let host = host();
    let width = WIDTH.to_string();
    let args = ["--workers", "4", "--parallel", width.as_str()];
    let mut daemon = host.start(&args);
    let load = Load::submit(&host, 4, 4, 60);
    load.waiting_run(16);
    for round in 0..10 {
        // Short jobs come and go meanwhile.
        let short = host.write("short.yaml", "- name: a\n  params: {command: 'sleep 0.1'}\n");
        host.submit(&[path(&short)]);
        host.qmanager(["stop", "--handover=5m"]).success();
        daemon.wait().success();
        for job in &load.jobs {
            let left = lease_left(&host, job).unwrap_or_else(|| panic!("round {round}: job {job} has no lease file"));
            assert!(left > Duration::from_secs(250), "round {round}: {left:?} left for {job}");
        }
        daemon = host.start(&args);
    }
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn workers_are_replaced_one_by_one_while_20_tasks_run() {
    let host = host();
    let width = WIDTH.to_string();
    let mut daemon = host.start(&["--workers", "4", "--parallel", &width]);
    let load = Load::submit(&host, 4, 4, 40);
    load.waiting_run(16);
    for worker in host.titled("qworker: ") {
        let pid = Pid::from_raw(worker).expect("a pid");
        rustix::process::kill_process(pid, Signal::TERM).expect("it can be signalled");
        until("another one is there", || {
            let there = host.titled("qworker: ");
            there.len() == 4 && !there.contains(&worker)
        });
    }
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn a_handover_that_nobody_takes_ends_the_tasks_before_the_lease_and_costs_no_retry() {
    let host = host().with_env("QMANAGER__TIMES__LEASE", "6s");
    let witness = Witness::new(host.dir());
    let told = host.dir().join("told");
    let go = host.dir().join("go");
    let body =
        format!("trap 'echo >{0}; exit 1' TERM; while [ ! -e {1} ]; do sleep 0.02; done", told.display(), go.display());
    let stubborn = format!("trap '' TERM; while [ ! -e {} ]; do sleep 0.02; done", go.display());
    let file = host.write("w.yaml", witness.task("polite", &[], &body) + &witness.task("stubborn", &[], &stubborn));
    let mut daemon = host.start(&["--workers", "1", "--parallel", "4"]);
    let job = host.submit(&[path(&file)]);
    until("the tasks run", || witness.len() == 2);
    let began = now();
    host.qmanager(["stop", "--handover=1s"]).success();
    daemon.wait().success();
    until("all its processes have ended", || host.processes().is_empty());
    // Never less than the lease itself: TERM at 6 s - (grace + 2 s), KILL by 6 s - 2 s; the rest is a busy machine.
    let took = began.elapsed();
    assert!(told.exists(), "it was told with TERM");
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
    host.write("go", "");
    let mut daemon = host.start(&["--workers", "1", "--parallel", "4"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let shown = host.job(&job);
    for task in shown["task_list"].as_array().expect("tasks") {
        assert_eq!((&task["retries"], &task["attempt"]), (&0.into(), &2.into()), "{task}");
    }
    assert!(witness.read().begins().values().all(|count| *count == 2));
    stop(&host, &mut daemon);
}

#[test]
fn a_drain_can_become_a_handover() {
    let host = host();
    let mut daemon = host.start(&["--workers", "2"]);
    let load = Load::submit(&host, 1, 1, 0);
    load.waiting_run(1);
    let mut drain = host.spawn(&["stop", "--drain"]);
    until("the idle worker has ended", || host.titled("qworker: ").len() == 1);
    host.qmanager(["stop", "--handover=5m"]).success();
    drain.wait().success();
    daemon.wait().success();
    let left = lease_left(&host, &load.jobs[0]).expect("a lease");
    assert!(left > Duration::from_secs(250), "{left:?}");
    let mut daemon = host.start(&["--workers", "2"]);
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn a_stop_request_that_a_dead_daemon_left_is_not_the_next_ones() {
    let host = host();
    let mut daemon = host.start(&["--workers", "1"]);
    let load = Load::submit(&host, 1, 1, 0);
    load.waiting_run(1);
    daemon.signal(Signal::STOP);
    let mut drain = host.spawn(&["stop", "--drain"]);
    until("the request is there", || host.run_dir().join("stop.json").exists());
    daemon.end(Signal::KILL);
    drain.wait().success();
    let mut daemon = host.start(&["--workers", "1"]);
    until("the task is adopted", || host.titled("qworker: ").len() == 1);
    // As a service manager does: no word, just TERM. It must not wait for the job.
    daemon.end(Signal::TERM).success();
    assert_eq!(host.job(&load.jobs[0])["status"], "queued");
    host.assert_nothing_left();
}

#[test]
fn a_worker_that_has_just_died_hands_its_job_over_too() {
    let host = Host::new().with_env("QMANAGER__TIMES__BACKOFF", "60s").with_env("QMANAGER__TIMES__BACKOFF_MAX", "60s");
    let mut daemon = host.start(&["--workers", "1"]);
    let load = Load::submit(&host, 1, 1, 0);
    load.waiting_run(1);
    host.titled("qworker: ").into_iter().for_each(|worker| host.kill(worker));
    until("the manager knows", || daemon.stderr().contains("a worker ended"));
    host.qmanager(["stop", "--handover=5m"]).success();
    daemon.wait().success();
    let left = lease_left(&host, &load.jobs[0]).expect("a lease");
    assert!(left > Duration::from_secs(250), "{left:?}");
    let mut daemon = host.start(&["--workers", "1"]);
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn fewer_workers_after_a_handover_leave_no_task_to_die() {
    let host = host().with_env("QMANAGER__TIMES__LEASE", "6s");
    let mut daemon = host.start(&["--workers", "3", "--parallel", "8"]);
    let load = Load::submit(&host, 3, 1, 0);
    load.waiting_run(3);
    host.qmanager(["stop", "--handover=8s"]).success();
    daemon.wait().success();
    let mut daemon = host.start(&["--workers", "1", "--parallel", "8"]);
    // Longer than what was handed over: two jobs have no worker yet, and their tasks live on.
    let began = now();
    until("the handover's leases are over", || began.elapsed() > Duration::from_secs(9));
    assert_eq!(host.titled("task-executor: ").len(), 4, "three and a spare");
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn f09_programs_replaced_while_they_run_and_a_restart_by_handover() {
    let host = host();
    let program = install(&host).join("qmanager");
    let width = WIDTH.to_string();
    let start = || {
        let daemon =
            host.background(host.command(path(&program), ["start", "--workers", "2", "--parallel", width.as_str()]));
        until("the daemon serves", || {
            let shown = host.qmanager(["status", "--json"]).success().json().remove(0);
            shown["daemon"]["pid"] == daemon.pid()
        });
        daemon
    };
    let mut daemon = start();
    let load = Load::submit(&host, 2, 4, 60);
    load.waiting_run(8);
    // While a package manager writes: half a program is there, then the whole one.
    let executor = program.with_file_name("task-executor");
    fs::remove_file(&executor).expect("removed");
    fs::write(&executor, &fs::read(TASK_EXECUTOR).expect("read")[..8192]).expect("half of it");
    install(&host);
    // The old manager starts the new worker, which adopts.
    host.titled("qworker: ").into_iter().for_each(|worker| host.kill(worker));
    host.qmanager(["stop", "--handover=5m"]).success();
    daemon.wait().success();
    let mut daemon = start();
    load.ends_well(&host);
    stop(&host, &mut daemon);
}

#[test]
fn f21_a_start_before_the_old_one_is_gone_is_refused_and_does_no_harm() {
    let host = host();
    let mut daemon = host.start(&["--workers", "2", "--parallel", "8"]);
    let load = Load::submit(&host, 2, 2, 20);
    load.waiting_run(4);
    let mut handover = host.spawn(&["stop", "--handover=5m"]);
    let mut refused = 0;
    until("the next one is there", || {
        let done = host.qmanager(["start", "-d", "--workers", "2", "--parallel", "8"]);
        if done.code() != 0 {
            assert_eq!(done.code(), 8, "{done:?}");
            refused += 1;
        }
        done.code() == 0
    });
    assert!(refused > 0, "it came too late to be refused");
    handover.wait().success();
    daemon.wait().success();
    load.ends_well(&host);
    host.qmanager(["stop"]).success();
    host.assert_nothing_left();
}

/// Beats and renewals go on while the tasks take all the CPU there is, and no attempt is lost for it.
#[test]
fn f83_64_busy_tasks_cost_no_lease() {
    let host = host().with_env("QMANAGER__TIMES__LEASE", "6s");
    let mut daemon = host.start(&["--workers", "2", "--parallel", "64"]);
    let witness = Witness::new(host.dir());
    let go = host.dir().join("go");
    let busy = format!("while [ ! -e {} ]; do :; done", go.display());
    let text: String = (0..32).map(|number| witness.task(&format!("t{number}"), &[], &busy)).collect();
    let file = host.write("busy.yaml", text);
    let jobs = [host.submit(&[path(&file)]), host.submit(&[path(&file)])];
    until("all 64 are busy", || witness.len() == 64);
    let first: Vec<u64> = jobs.iter().map(|job| lease(&host, job)).collect();
    let deadline = |job: &str| lease(&host, job);
    // Two leases long: with one missed the tasks would have been told to end.
    until("both leases were renewed for two lease times", || {
        jobs.iter().zip(&first).all(|(job, first)| deadline(job) >= first + 12_000_000)
    });
    assert_eq!(host.titled("qworker: ").len(), 2);
    host.write("go", "");
    for job in &jobs {
        host.qmanager(["wait", job, "--timeout", "100s"]).success();
        let shown = host.job(job);
        let tasks = shown["task_list"].as_array().expect("tasks");
        assert!(tasks.iter().all(|task| task["attempt"] == 1 && task["losses"] == 0), "{shown}");
    }
    let said = daemon.stderr();
    assert!(!said.contains("silent") && !said.contains("a worker ended"), "{said}");
    stop(&host, &mut daemon);
}

/// The deadline in a job's lease file; 0 = none yet.
fn lease(host: &Host, job: &str) -> u64 {
    Lease::read(&host.run_dir().join("leases").join(job)).map_or(0, |lease| lease.deadline)
}
