//! Ctrl-C, hang-up, TERM, kill -9 and every kind of `stop`, in the middle of a job: tasks end as design §6 says, the
//! job goes on later, and nothing is left behind.

use std::{path::PathBuf, time::Duration};

use rustix::process::Signal;

use crate::{
    harness::{Host, Running, now, until, until_within},
    witness::Witness,
};

/// The end of what should happen at once, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Task `quick` ends; then `long` runs until the file `go` is there.
struct Scene {
    host: Host,
    witness: Witness,
    file: PathBuf,
}

impl Scene {
    fn new(grace: &str, long: &str) -> Self {
        let host = Host::new().with_env("QMANAGER__TASKS__GRACE", grace);
        let host = host.with_env("QMANAGER__TIMES__BACKOFF", "10ms");
        let witness = Witness::new(host.dir());
        let text = witness.task("quick", &[], "true") + &witness.task("long", &["quick".into()], long);
        let file = host.write("w/workflow.yaml", text);
        Self { host, witness, file }
    }

    /// Whose task ends when it is told to.
    fn obedient() -> Self {
        let host = Self::new("10s", "");
        let go = host.host.dir().join("go");
        Self::new_with_go(host, &format!("[ -e {0} ] || sleep 300; [ -e {0} ]", go.display()))
    }

    /// Whose task polls for `go`, and so ends well without being started again.
    fn patient() -> Self {
        let host = Self::new("10s", "");
        let go = host.host.dir().join("go");
        Self::new_with_go(host, &format!("while [ ! -e {} ]; do sleep 0.02; done", go.display()))
    }

    /// Whose task ignores TERM.
    fn stubborn(grace: &str) -> Self {
        let host = Self::new(grace, "");
        let go = host.host.dir().join("go");
        Self::new_with_go(host, &format!("trap '' TERM; while [ ! -e {} ]; do sleep 0.05; done", go.display()))
    }

    fn new_with_go(mut self, long: &str) -> Self {
        let text = self.witness.task("quick", &[], "true") + &self.witness.task("long", &["quick".into()], long);
        self.file = self.host.write("w/workflow.yaml", text);
        self
    }

    fn go(&self) {
        self.host.write("go", "");
    }

    fn path(&self) -> &str {
        self.file.to_str().expect("text")
    }

    /// `qmanager run`, until `long` runs.
    fn run(&self) -> Running {
        let run = self.host.spawn(&["run", self.path()]);
        self.long_runs();
        run
    }

    /// The daemon with the job, until `long` runs.
    fn daemon(&self) -> (Running, String) {
        let daemon = self.host.start(&["--workers", "2"]);
        let job = self.host.submit(&[self.path()]);
        self.long_runs();
        (daemon, job)
    }

    fn long_runs(&self) {
        until("the long task runs", || self.witness.len() == 3);
    }

    /// How often the tasks began.
    fn begins(&self) -> (u32, u32) {
        let testimony = self.witness.read();
        let begins = testimony.begins();
        (begins.get("quick").copied().unwrap_or(0), begins.get("long").copied().unwrap_or(0))
    }

    /// The job waits, with `long` to be run again, and no retry spent on it.
    fn assert_released(&self, job: &str) {
        let job = self.host.job(job);
        assert_eq!(job["status"], "queued", "{job}");
        let long = &job["task_list"][1];
        assert_eq!((&long["retries"], &long["losses"]), (&0.into(), &0.into()), "{job}");
        assert_ne!(long["status"], "running", "{job}");
    }

    /// Resumes the foreground run: it ends well, and only `long` ran again.
    fn resume(&self, begins: (u32, u32)) {
        self.go();
        self.host.qmanager(["run", "--resume", "@last"]).success();
        assert_eq!(self.begins(), begins);
        self.host.assert_nothing_left();
    }

    /// A daemon ends the job, and then itself.
    fn finish(&self, job: &str, begins: (u32, u32)) {
        self.go();
        let mut daemon = self.host.start(&["--workers", "1"]);
        self.host.qmanager(["wait", job, "--timeout", "60s"]).success();
        assert_eq!(self.begins(), begins);
        self.host.qmanager(["stop"]).success();
        daemon.wait().success();
        self.host.assert_nothing_left();
    }
}

#[test]
fn f16_a_signal_in_the_middle_of_run_releases_the_job_and_resume_goes_on() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let scene = Scene::obedient();
        let mut run = scene.run();
        let began = now();
        let done = run.end(signal).expect(code);
        assert!(began.elapsed() < AT_ONCE + AT_ONCE, "{:?}", began.elapsed());
        assert!(done.stderr.contains("--resume"), "says how to go on: {done:?}");
        scene.host.assert_nothing_left();
        scene.assert_released("@last");
        scene.resume((1, 2));
    }
}

#[test]
fn f11_a_second_ctrl_c_kills_at_once() {
    let scene = Scene::stubborn("60s");
    let mut run = scene.run();
    run.signal(Signal::INT);
    until("it says that it stops", || run.stderr().contains("stopping"));
    let began = now();
    run.end(Signal::INT).expect(130);
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    scene.host.assert_nothing_left();
    scene.assert_released("@last");
    scene.resume((1, 2));
}

#[test]
fn f12_a_task_that_ignores_term_is_killed_after_its_grace() {
    let scene = Scene::stubborn("500ms");
    let mut run = scene.run();
    let began = now();
    run.end(Signal::INT).expect(130);
    let took = began.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_millis(500) + AT_ONCE).contains(&took), "{took:?}");
    scene.host.assert_nothing_left();
    scene.resume((1, 2));
}

#[test]
fn f01_run_goes_on_with_tasks_that_outlived_its_kill_9() {
    let scene = Scene::patient();
    let mut run = scene.run();
    run.end(Signal::KILL);
    until("its worker has ended", || scene.host.titled("qworker: ").is_empty());
    assert_eq!(scene.host.titled("task-executor: ").len(), 1, "the task runs on");
    scene.resume((1, 1));
}

#[test]
fn f10_stop_releases_the_job() {
    let scene = Scene::obedient();
    let (mut daemon, job) = scene.daemon();
    scene.host.qmanager(["stop"]).success();
    daemon.wait().success();
    scene.host.assert_nothing_left();
    scene.assert_released(&job);
    scene.finish(&job, (1, 2));
}

#[test]
fn f10_stop_now_does_not_wait_for_the_grace() {
    let scene = Scene::stubborn("60s");
    let (mut daemon, job) = scene.daemon();
    let began = now();
    scene.host.qmanager(["stop", "--now"]).success();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    daemon.wait().success();
    scene.host.assert_nothing_left();
    scene.assert_released(&job);
    scene.finish(&job, (1, 2));
}

#[test]
fn f11_a_second_term_kills_at_once() {
    let scene = Scene::stubborn("60s");
    let (mut daemon, job) = scene.daemon();
    daemon.signal(Signal::TERM);
    until("the job's task is being stopped", || {
        let status = scene.host.job(&job);
        status["task_list"][1]["stopping"] == "release" || status["task_list"][1]["status"] != "succeeded"
    });
    let began = now();
    daemon.end(Signal::TERM).success();
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    scene.host.assert_nothing_left();
    scene.assert_released(&job);
}

#[test]
fn f10_drain_waits_for_the_running_job_and_claims_no_other() {
    let scene = Scene::patient();
    let (mut daemon, job) = scene.daemon();
    let mut stop = scene.host.spawn(&["stop", "--drain"]);
    // The idle worker ends at once, the one with the job stays.
    until("the idle worker has ended", || scene.host.titled("qworker: ").len() == 1);
    let other = scene.host.submit(&[scene.path()]);
    scene.go();
    stop.wait().success();
    daemon.wait().success();
    assert_eq!(scene.host.job(&job)["status"], "succeeded");
    let other = scene.host.job(&other);
    assert_eq!((&other["status"], &other["started"]), (&"queued".into(), &serde_json::Value::Null), "{other}");
    scene.host.assert_nothing_left();
}

#[test]
fn f10_a_drain_can_be_cut_short() {
    let scene = Scene::obedient();
    let (mut daemon, job) = scene.daemon();
    let mut drain = scene.host.spawn(&["stop", "--drain"]);
    until("the idle worker has ended", || scene.host.titled("qworker: ").len() == 1);
    scene.host.qmanager(["stop"]).success();
    drain.wait().success();
    daemon.wait().success();
    scene.host.assert_nothing_left();
    scene.assert_released(&job);
}

#[test]
fn handover_leaves_tasks_running_for_the_next_daemon() {
    let scene = Scene::patient();
    let (mut daemon, job) = scene.daemon();
    scene.host.qmanager(["stop", "--handover=2m"]).success();
    daemon.wait().success();
    assert_eq!(scene.host.titled("task-executor: ").len(), 1, "the task runs on");
    assert_eq!(scene.host.job(&job)["status"], "running");
    scene.finish(&job, (1, 1));
}

#[test]
fn f03_a_worker_that_died_before_the_stop_leaves_no_task_running() {
    let scene = Scene::obedient();
    let host = scene.host.with_env("QMANAGER__TIMES__BACKOFF", "60s").with_env("QMANAGER__TIMES__BACKOFF_MAX", "60s");
    let slow = Scene { host, ..scene };
    for how in [["stop"].as_slice(), &["stop", "--now"]] {
        let before = slow.witness.len();
        let mut daemon = slow.host.start(&["--workers", "1"]);
        let job = slow.host.submit(&[slow.path()]);
        until("the long task runs", || slow.witness.len() == before + 3);
        for worker in slow.host.titled("qworker: ") {
            slow.host.kill(worker);
        }
        until("its worker has ended", || slow.host.titled("qworker: ").is_empty());
        slow.host.qmanager(how).success();
        daemon.wait().success();
        slow.host.assert_nothing_left();
        slow.assert_released(&job);
        slow.host.qmanager(["cancel", &job]).success();
    }
}

#[test]
fn f03_a_worker_that_dies_in_a_drain_is_replaced() {
    let scene = Scene::patient();
    let (mut daemon, job) = scene.daemon();
    let mut stop = scene.host.spawn(&["stop", "--drain"]);
    until("the idle worker has ended", || scene.host.titled("qworker: ").len() == 1);
    let worker = scene.host.titled("qworker: ");
    scene.host.kill(worker[0]);
    until("another one is there", || {
        let now = scene.host.titled("qworker: ");
        now.len() == 1 && now != worker
    });
    scene.go();
    stop.wait().success();
    daemon.wait().success();
    assert_eq!(scene.host.job(&job)["status"], "succeeded");
    assert_eq!(scene.begins(), (1, 1));
    scene.host.assert_nothing_left();
}

#[test]
fn f04_after_kill_9_of_everything_leftovers_are_ended_and_the_job_goes_on() {
    let scene = Scene::new("2s", "");
    let go = scene.host.dir().join("go");
    let up = scene.host.dir().join("up");
    // Grandchildren in sessions of their own, one of them without parents.
    let long = format!(
        "setsid sleep 1000 & (setsid sh -c 'setsid sleep 1001 & echo > {}' &) ; [ -e {} ] || sleep 300",
        up.display(),
        go.display()
    );
    let scene = scene.new_with_go(&long);
    let (mut daemon, job) = scene.daemon();
    until("the grandchildren are there", || up.exists());
    daemon.signal(Signal::STOP);
    for title in ["qworker: ", "task-executor: "] {
        scene.host.titled(title).into_iter().for_each(|pid| scene.host.kill(pid));
    }
    daemon.end(Signal::KILL);
    let orphans = scene.host.processes();
    assert!(orphans.len() >= 3, "tasks outlive everything: {orphans:?}");
    scene.go();
    let mut daemon = scene.host.start(&["--workers", "2"]);
    scene.host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let left: Vec<_> = scene.host.processes().into_iter().filter(|process| orphans.contains(process)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(scene.begins(), (1, 2));
    until_within(AT_ONCE, "the second attempt's grandchildren are dead", || {
        scene.host.processes().iter().all(|(_, line)| !line.starts_with("sleep"))
    });
    scene.host.qmanager(["stop"]).success();
    daemon.wait().success();
    scene.host.assert_nothing_left();
}
