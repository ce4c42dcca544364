//! A full disk and a locked database in the middle of a job: ends of tasks are not lost, what is wrong is shown, and
//! everything goes on when it is well again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::fcntl::{FcntlArg, fcntl};
use serde_json::Value;

use crate::{
    harness::{Host, QMANAGER, now, skipped, until, until_within},
    witness::Witness,
};

/// A small file system of its own as the state-dir.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None`: only root may mount.
    fn mount(host: &Host) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("a small disk can be mounted by root only");
            assert!(std::env::var_os("CI").is_none(), "with CI=true nothing is skipped");
            return None;
        }
        let path = host.state_dir();
        fs::create_dir_all(&path).expect("a folder");
        let arguments = ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", text(&path)];
        let mounted = host.command("mount", arguments).status().expect("mount starts");
        assert!(mounted.success(), "a tmpfs can be mounted");
        Some(Self { path })
    }

    fn fill(&self) {
        let mut file = File::create(self.path.join("fill")).expect("a file");
        for chunk in [vec![0_u8; 64 << 10], vec![0_u8; 512]] {
            while file.write_all(&chunk).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.path.join("fill")).expect("removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        #[expect(clippy::disallowed_methods, reason = "what was mounted is unmounted")]
        let mut umount = std::process::Command::new("umount");
        // Lazily: a test that failed may have left processes in there.
        let _unmounted = umount.arg("-l").arg(&self.path).status();
    }
}

/// Holds SQLite's lock for writers (byte 120 of the shared-memory file) as another process would.
struct Locked {
    _file: File,
}

impl Locked {
    fn take(host: &Host) -> Self {
        let path = host.state_dir().join("queue.db-shm");
        let file = File::options().read(true).write(true).open(path).expect("the shared-memory file");
        let lock = nix::libc::flock {
            l_type: nix::libc::F_WRLCK as i16,
            l_whence: nix::libc::SEEK_SET as i16,
            l_start: 120,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLKW(&lock)).expect("locked");
        Self { _file: file }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

fn degraded(host: &Host) -> bool {
    let shown: Value = host.qmanager(["status", "--json"]).success().json().remove(0);
    let daemon = &shown["daemon"];
    daemon["degraded"].is_string()
        || daemon["workers"].as_array().is_some_and(|all| all.iter().any(|worker| worker["degraded"].is_string()))
}

/// Thirty tasks, each of which says something; two at once.
fn job(host: &Host, witness: &Witness) -> PathBuf {
    let tasks = (0..30).map(|n| witness.task(&format!("t{n}"), &[], "sleep 0.1; echo said; echo said >&2"));
    host.write("job.yaml", tasks.collect::<String>())
}

/// All have ended well, each of them once.
fn assert_once(host: &Host, witness: &Witness, job: &str) {
    assert_eq!(host.job(job)["counts"]["succeeded"], 30);
    let testimony = witness.read();
    let begins: BTreeMap<&str, u32> = testimony.begins();
    assert_eq!(begins.len(), 30);
    assert!(begins.values().all(|begins| *begins == 1), "{begins:?}");
}

#[test]
fn f31_f45_a_full_disk_in_the_middle_of_a_job() {
    let host = Host::new();
    let Some(disk) = SmallDisk::mount(&host) else { return };
    let witness = Witness::new(host.dir());
    let file = job(&host, &witness);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[text(&file)]);
    until("the job is under way", || witness.len() >= 8);
    disk.fill();
    until("what is wrong is shown", || degraded(&host));
    let folders = || fs::read_dir(host.state_dir().join("jobs")).expect("folders").count();
    let before = folders();
    let refused = host.qmanager(["submit", text(&file)]);
    assert_ne!(refused.code(), 0, "{refused:?}");
    assert!(refused.stderr.contains("full") || refused.stderr.contains("space"), "{refused:?}");
    assert!(!refused.stderr.contains("panicked"), "{refused:?}");
    assert_eq!((folders(), refused.stdout.as_str()), (before, ""));
    disk.free();
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    assert_once(&host, &witness, &job);
    until("all is well again", || !degraded(&host));
    assert_eq!(host.qmanager(["list", "--json"]).success().json().len(), 1, "the refused job is nowhere");
    host.qmanager(["stop"]).success();
    let done = daemon.wait().success();
    assert!(!done.stderr.contains("panicked"), "{done:?}");
    host.assert_nothing_left();
}

/// A task fills the disk with its own output, longer than a lease: neither it nor what follows is ended by that, and what its
/// log lacks is said where people look.
#[test]
fn f31_f45_a_log_that_fills_the_disk_says_what_it_lacks_and_no_lease_ends() {
    let host = Host::new().with_env("QMANAGER__TIMES__LEASE", "3s").with_env("QMANAGER__TASKS__GRACE", "1s");
    let Some(_disk) = SmallDisk::mount(&host) else { return };
    let file = host.write(
        "w/job.yaml",
        "- name: writer\n  params: {command: 'head -c 6000000 /dev/zero; touch full; while [ ! -e on ]; do sleep 0.05; done'}\n\
         - {name: after, depends: [writer], params: {command: 'true'}}\n",
    );
    let mut run = host.background(host.command(QMANAGER, ["run", text(&file)]));
    let folder = file.parent().expect("a folder");
    until("the disk is full", || folder.join("full").exists());
    let began = now();
    until("two leases later it runs on", || began.elapsed() > Duration::from_secs(6));
    let log =
        fs::read_dir(host.state_dir().join("jobs")).expect("folders").next().expect("a job").expect("a job").path();
    fs::remove_file(log.join("logs/0-writer.1.out")).expect("there is room again");
    File::create(folder.join("on")).expect("a file");
    run.wait().success();
    let tasks = host.job("@last")["task_list"].clone();
    assert!(tasks.as_array().is_some_and(|all| all.iter().all(|task| task["losses"] == 0)), "{tasks}");
    let said = tasks[0]["message"].as_str().unwrap_or_default();
    assert!(said.starts_with("its log is incomplete: ") && said.contains("no space left on device"), "{tasks}");
    for verb in [&["logs", "@last", "writer"][..], &["explain", "@last", "writer"], &["status", "@last", "--tasks"]] {
        let shown = host.qmanager(verb).success();
        assert!(format!("{shown:?}").contains("its log is incomplete: "), "{shown:?}");
    }
}

#[test]
fn f31_a_stop_on_a_full_disk_leaves_nothing_running() {
    let host = Host::new().with_env("QMANAGER__TASKS__GRACE", "1s");
    let Some(disk) = SmallDisk::mount(&host) else { return };
    let witness = Witness::new(host.dir());
    let file = job(&host, &witness);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[text(&file)]);
    until("the job is under way", || witness.len() >= 8);
    disk.fill();
    until("what is wrong is shown", || degraded(&host));
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    until("nothing runs", || host.processes().is_empty());
    disk.free();
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    assert_eq!(host.job(&job)["counts"]["succeeded"], 30);
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

#[test]
fn f29_a_database_that_is_locked_for_longer_than_the_busy_timeout() {
    let host = Host::new();
    let witness = Witness::new(host.dir());
    let file = job(&host, &witness);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[text(&file)]);
    until("the job is under way", || witness.len() >= 8);
    let locked = Locked::take(&host);
    let refused = host.qmanager(["submit", text(&file)]).expect(5);
    assert!(refused.stderr.contains("lock") || refused.stderr.contains("busy"), "{refused:?}");
    until("what is wrong is shown", || degraded(&host));
    drop(locked);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    assert_once(&host, &witness, &job);
    until("all is well again", || !degraded(&host));
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

#[test]
fn a_stop_while_the_database_is_locked_leaves_no_task_running() {
    let host = Host::new().with_env("QMANAGER__TASKS__GRACE", "1s");
    let go = host.dir().join("go");
    let witness = Witness::new(host.dir());
    let body = format!("[ -e {0} ] || sleep 300; [ -e {0} ]", go.display());
    let long = witness.task("long", &[], &body) + &witness.task("short", &[], "sleep 0.5");
    let file = host.write("w.yaml", long);
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[text(&file)]);
    until("both run", || witness.len() >= 2);
    let locked = Locked::take(&host);
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    until_within(Duration::from_secs(5), "nothing runs", || host.processes().is_empty());
    drop(locked);
    host.write("go", "");
    let mut daemon = host.start(&["--workers", "1"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}
