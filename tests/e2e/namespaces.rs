//! Hosts with a network of their own: a PostgreSQL and each QManager in a network namespace, joined by a bridge. Pulling a
//! cable drops everything both ways and tells nobody.

use std::{
    fs,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use job_queue::conformance::{own::OwnServer, server::missing};
use rustix::process::Signal;

use crate::{
    harness::{Host, now, tell, until, until_within},
    witness::{Mark, Witness},
};

/// The poll floor on PostgreSQL.
const FLOOR: Duration = Duration::from_secs(5);
/// Names of our namespaces begin like this, then comes the test process's pid.
const MARK: &str = "qmtest";

/// Namespaces joined by a bridge in the first of them, where the server is. All of it goes with its owner, also when the
/// test process is killed.
struct Network {
    name: String,
    watchdog: Child,
}

impl Network {
    /// The server's namespace and those of so many hosts; `None` where such cannot be made; that was told.
    fn new(hosts: u32) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::getuid().is_root() {
            missing("network namespaces are made by root");
            return None;
        }
        if !run(&["ip", "-V"]) {
            missing("no ip (Debian's iproute2)");
            return None;
        }
        remove_stale();
        let name = format!("{MARK}{}n{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let names: Vec<String> = (0..=hosts).map(|number| format!("{name}h{number}")).collect();
        let network = Self { watchdog: watchdog(&names), name };
        let server = network.namespace(0);
        if !run(&["ip", "netns", "add", &server]) {
            missing("no network namespace can be made here");
            return None;
        }
        ip(&["-n", &server, "link", "set", "lo", "up"]);
        ip(&["-n", &server, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &server, "addr", "add", &format!("{}/24", address(0)), "dev", "bridge"]);
        ip(&["-n", &server, "link", "set", "bridge", "up"]);
        for number in 1..=hosts {
            let (there, port) = (network.namespace(number), format!("port{number}"));
            ip(&["netns", "add", &there]);
            ip(&["-n", &there, "link", "set", "lo", "up"]);
            let pair = ["link", "add", "name", "uplink", "netns", &there, "type", "veth", "peer", "name", &port];
            ip(&[pair.as_slice(), &["netns", &server]].concat());
            ip(&["-n", &server, "link", "set", &port, "master", "bridge", "up"]);
            ip(&["-n", &there, "addr", "add", &format!("{}/24", address(number)), "dev", "uplink"]);
            ip(&["-n", &there, "link", "set", "uplink", "up"]);
        }
        Some(network)
    }

    fn namespace(&self, number: u32) -> String {
        format!("{}h{number}", self.name)
    }

    /// Pulls the cable of a host out of the bridge, or puts it back.
    fn cable(&self, host: u32, state: &str) {
        ip(&["-n", &self.namespace(0), "link", "set", &format!("port{host}"), state]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

fn address(host: u32) -> String {
    format!("10.199.77.{}", host + 1)
}

#[track_caller]
fn ip(args: &[&str]) {
    assert!(run(&[&["ip"], args].concat()), "ip {args:?}");
}

#[expect(clippy::disallowed_methods, reason = "a test's own tools")]
fn run(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Ends what runs in the hosts' namespaces and removes all of them when our end of its standard input is closed.
#[expect(clippy::disallowed_methods, reason = "a test's own helper process")]
fn watchdog(names: &[String]) -> Child {
    let script = "read -r _; server=$1; shift; for n; do ip netns pids $n | xargs -r kill -9; ip netns del $n; done; \
         ip netns del $server";
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", script, "watchdog"]).args(names);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a shell")
}

/// Namespaces of test processes that are gone, if even their watchdog was killed.
fn remove_stale() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(MARK).and_then(|rest| rest.split('n').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            // Another test may be at it too.
            run(&["ip", "netns", "del", &name]);
        }
    }
}

/// A server and hosts that see one folder of job files.
struct Site {
    // In this order they end.
    server: OwnServer,
    network: Network,
    shared: tempfile::TempDir,
    lease: Duration,
}

impl Site {
    fn new(hosts: u32, lease: Duration) -> Option<Self> {
        let network = Network::new(hosts)?;
        let within = ["ip", "netns", "exec", &network.namespace(0)];
        let server = OwnServer::start(&["listen_addresses=*"], &within)?;
        server.sql("postgres", "CREATE DATABASE qm");
        let site = Self { server, network, shared: tempfile::tempdir().expect("a folder"), lease };
        site.host(1).qmanager(["queue", "migrate"]).success();
        site.server.sql("qm", AUDIT);
        Some(site)
    }

    /// A host: its network, its name and its machine-id are its own.
    fn host(&self, number: u32) -> Host {
        let name = self.network.namespace(number);
        let id = self.shared.path().join(format!("machine-id.{number}"));
        fs::write(&id, format!("{number:032x}\n")).expect("a file");
        let enter = format!(
            "[ ! -e /etc/machine-id ] || mount --bind {} /etc/machine-id; hostname host{number}; exec \"$@\"",
            id.display()
        );
        let net = format!("--net=/run/netns/{name}");
        let within = ["nsenter", &net, "unshare", "--uts", "--mount", "sh", "-ec", &enter, "sh"];
        Host::new()
            .within(&within)
            .with_env("QMANAGER__DB__URL", &format!("postgres://postgres@{}:{}/qm", address(0), self.server.port()))
            .with_env("QMANAGER__JOBFILES__URL", &format!("fs:{}", self.shared.path().join("jobs").display()))
            .with_env("QMANAGER__TIMES__LEASE", &format!("{}s", self.lease.as_secs()))
            .with_env("QMANAGER__TASKS__GRACE", "300ms")
    }

    /// A task that says every few milliseconds that it lives, until there is a file `go`.
    fn long(&self, witness: &Witness, name: &str, after: &str, first: &str) -> String {
        let folder = self.shared.path().display();
        let say = format!("date +%s%N >>{folder}/alive.{name}.$QM_ATTEMPT");
        let body = format!("{first}; while [ ! -e {folder}/go ]; do {say}; sleep 0.03; done");
        witness.task(name, &[after.into()], &body)
    }

    /// When an attempt said that it lived, in nanoseconds.
    fn alive(&self, task: &str, attempt: u32) -> Vec<u128> {
        let said = fs::read_to_string(self.shared.path().join(format!("alive.{task}.{attempt}")));
        said.unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    fn go(&self) {
        fs::write(self.shared.path().join("go"), "").expect("a file");
    }

    fn count(&self, what: &str) -> u32 {
        self.server.sql("qm", &format!("SELECT count(*) FROM audit {what}"))[0].parse().expect("a number")
    }
}

/// Every change of a job, its lease and its tasks: under which epoch, and from which address it came.
const AUDIT: &str = "CREATE TABLE audit (seq bigserial PRIMARY KEY, what text, job uuid, epoch bigint, by text); \
     CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       IF TG_TABLE_NAME = 'task' THEN \
         INSERT INTO audit (what, job, epoch, by) SELECT 'task', j.id, j.epoch, host(inet_client_addr()) \
           FROM qmanager.job j WHERE j.seq = NEW.job; \
       ELSIF TG_TABLE_NAME = 'lease' THEN \
         INSERT INTO audit (what, job, epoch, by) VALUES ('lease', NEW.job, NEW.epoch, host(inet_client_addr())); \
       ELSE \
         INSERT INTO audit (what, job, epoch, by) VALUES ('job', NEW.id, NEW.epoch, host(inet_client_addr())); \
       END IF; RETURN NULL; END $$; \
     CREATE TRIGGER audit AFTER INSERT OR UPDATE ON qmanager.job FOR EACH ROW EXECUTE FUNCTION audit(); \
     CREATE TRIGGER audit AFTER INSERT OR UPDATE ON qmanager.lease FOR EACH ROW EXECUTE FUNCTION audit(); \
     CREATE TRIGGER audit AFTER INSERT OR UPDATE ON qmanager.task FOR EACH ROW EXECUTE FUNCTION audit()";

fn healthy(host: &Host) -> bool {
    let done = host.qmanager(["status", "--json"]);
    let daemon = done.stdout.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    done.code() == 0 && daemon.is_some_and(|shown| shown["daemon"]["degraded"].is_null())
}

/// Three hosts; the cable of the one that has the job is pulled. Its tasks have ended before another host begins them
/// again, what had ended is not run again, and when it is back it writes nothing about that job, and takes others.
#[test]
fn f14_f39_a_host_whose_cable_is_pulled() {
    let Some(site) = Site::new(3, Duration::from_secs(6)) else { return };
    let (cut, second, third) = (site.host(1), site.host(2), site.host(3));
    let witness = Witness::new(site.shared.path());
    let text = [
        witness.task("first", &[], "true"),
        site.long(&witness, "polite", "first", "true"),
        site.long(&witness, "stubborn", "first", "trap '' TERM"),
        witness.task("last", &["polite".into(), "stubborn".into()], "true"),
    ];
    let workflow = cut.write("w.yaml", text.concat());
    let workflow = workflow.to_str().expect("text");
    let mut daemon = cut.start(&["--workers", "2", "--parallel", "4"]);
    let job = cut.submit(&[workflow]);
    until("both long tasks run", || ["polite", "stubborn"].iter().all(|task| !site.alive(task, 1).is_empty()));
    let mut others =
        [second.start(&["--workers", "2", "--parallel", "4"]), third.start(&["--workers", "2", "--parallel", "4"])];

    site.network.cable(1, "down");
    let pulled = now();
    let again = || ["polite", "stubborn"].iter().all(|task| !site.alive(task, 2).is_empty());
    until_within(site.lease + FLOOR + Duration::from_secs(40), "they run elsewhere", again);
    tell(&format!(
        "resumed {:.1} s after the cable was pulled, lease {:?}",
        pulled.elapsed().as_secs_f64(),
        site.lease
    ));
    for task in ["polite", "stubborn"] {
        let (last, next) = (*site.alive(task, 1).last().expect("said"), site.alive(task, 2)[0]);
        assert!(last < next, "{task}: attempt 1 lived {} ms into attempt 2", (last - next.min(last)) / 1_000_000);
        tell(&format!("{task}: ended {} ms before it began elsewhere", (next - last) / 1_000_000));
    }
    let left: Vec<_> = cut.processes().into_iter().filter(|(_, line)| line.contains("alive.")).collect();
    assert!(left.is_empty(), "tasks are left on the host that was cut off: {left:?}");
    site.go();
    second.qmanager(["wait", &job, "--timeout", "60s"]).success();

    site.network.cable(1, "up");
    until("it is well again", || healthy(&cut));
    for (host, daemon) in [&second, &third].into_iter().zip(&mut others) {
        host.qmanager(["stop"]).success();
        daemon.wait().success();
    }
    let next = cut.submit(&[workflow]);
    cut.qmanager(["wait", &next, "--timeout", "60s"]).success();
    cut.qmanager(["stop"]).success();
    daemon.wait().success();

    let of_job = |by: u32| format!("WHERE job = '{job}' AND by = '{}'", address(by));
    assert!(site.count(&of_job(1)) > 0, "the audit knows who wrote");
    let granted = format!("seq >= (SELECT min(seq) FROM audit WHERE job = '{job}' AND epoch > 1)");
    assert_eq!(site.count(&format!("{} AND {granted}", of_job(1))), 0, "the host that was cut off wrote late");
    assert!(site.count(&format!("WHERE job = '{next}' AND by = '{}'", address(1))) > 0);
    let back = "AS a WHERE EXISTS (SELECT FROM audit b WHERE b.job = a.job AND b.seq < a.seq AND b.epoch > a.epoch)";
    assert_eq!(site.count(back), 0, "an epoch went back");
    let tasks = cut.job(&job)["task_list"].clone();
    let row = |ix: usize| (tasks[ix]["attempt"].as_u64(), tasks[ix]["retries"].as_u64(), tasks[ix]["losses"].as_u64());
    let rows = [0, 1, 2, 3].map(row);
    let (once, again) = ((Some(1), Some(0), Some(0)), (Some(2), Some(0), Some(1)));
    assert_eq!(rows, [once, again, again, once], "{tasks}");
    let owner = site.server.sql("qm", &format!("SELECT epoch FROM qmanager.job WHERE id = '{job}'"));
    assert_eq!(owner, ["2"], "it was taken once");
}

/// A host that is suspended with all that runs on it, past its lease: another goes on; when it wakes, its task is ended
/// before it can succeed, and nothing is written about it.
#[test]
fn f14_a_host_that_was_suspended() {
    let Some(site) = Site::new(2, Duration::from_secs(6)) else { return };
    let (asleep, other) = (site.host(1), site.host(2));
    let witness = Witness::new(site.shared.path());
    let text = [
        witness.task("first", &[], "true"),
        site.long(&witness, "long", "first", "true"),
        witness.task("last", &["long".into()], "true"),
    ];
    let workflow = asleep.write("w.yaml", text.concat());
    let workflow = workflow.to_str().expect("text");
    let mut daemon = asleep.start(&["--workers", "1"]);
    let job = other.submit(&[workflow]);
    until("the long task runs", || !site.alive("long", 1).is_empty());
    let mut awake = other.start(&["--workers", "1"]);
    until("all of it is stopped", || {
        let processes = asleep.processes();
        processes.iter().for_each(|(pid, _)| signal(*pid, Signal::STOP));
        asleep.processes() == processes && processes.iter().all(|(pid, _)| is_stopped(*pid))
    });
    until("it goes on elsewhere", || !site.alive("long", 2).is_empty());
    let woke = now();
    asleep.processes().iter().for_each(|(pid, _)| signal(*pid, Signal::CONT));
    until("its task has ended", || asleep.processes().iter().all(|(_, line)| !line.contains("alive.")));
    tell(&format!("the task of the host that was suspended ended {:?} after it woke", woke.elapsed()));
    site.go();
    other.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    let begins = testimony.begins();
    assert_eq!((begins["first"], begins["long"], begins["last"]), (1, 2, 1));
    let ends = testimony.lines.iter().filter(|(mark, task, _)| *mark == Mark::End && task == "long");
    assert_eq!(ends.map(|(.., attempt)| *attempt).collect::<Vec<_>>(), [2]);
    let granted = format!("seq >= (SELECT min(seq) FROM audit WHERE job = '{job}' AND epoch > 1)");
    let late = format!("WHERE job = '{job}' AND by = '{}' AND {granted}", address(1));
    assert_eq!(site.count(&late), 0, "the host that was suspended wrote late");
    for (host, daemon) in [(&asleep, &mut daemon), (&other, &mut awake)] {
        until("it is well", || healthy(host));
        host.qmanager(["stop"]).success();
        daemon.wait().success();
    }
}

fn signal(pid: i32, signal: Signal) {
    // It may have ended in between.
    let _gone = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), signal);
}

fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
}

/// A cable that is put back before the lease's end: nobody else takes the job, nothing is run again, and what ended
/// meanwhile is recorded.
#[test]
fn f39_an_outage_shorter_than_the_lease_costs_nothing() {
    let Some(site) = Site::new(2, Duration::from_secs(24)) else { return };
    let (cut, other) = (site.host(1), site.host(2));
    let witness = Witness::new(site.shared.path());
    let text = [
        site.long(&witness, "long", "first", "true"),
        witness.task("first", &[], "true"),
        witness.task("last", &["long".into()], "true"),
    ];
    let workflow = cut.write("w.yaml", text.concat());
    let mut daemon = cut.start(&["--workers", "1"]);
    let job = cut.submit(&[workflow.to_str().expect("text")]);
    until("the long task runs", || !site.alive("long", 1).is_empty());
    let mut idle = other.start(&["--workers", "1"]);
    site.network.cable(1, "down");
    let pulled = now();
    site.go();
    until("the task has ended", || witness.read().ended().contains("long"));
    until("some time has passed", || pulled.elapsed() > Duration::from_secs(4));
    site.network.cable(1, "up");
    other.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    assert!(testimony.begins().values().all(|count| *count == 1), "{:?}", testimony.begins());
    assert_eq!(site.server.sql("qm", &format!("SELECT epoch FROM qmanager.job WHERE id = '{job}'")), ["1"]);
    for (host, daemon) in [(&cut, &mut daemon), (&other, &mut idle)] {
        until("it is well", || healthy(host));
        host.qmanager(["stop"]).success();
        daemon.wait().success();
    }
}
