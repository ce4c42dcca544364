//! Several hosts on one PostgreSQL: a job is resumed elsewhere when its host is gone, a host that is cut off stops its
//! tasks in time and writes nothing when it is back, jobs come from any host and from SQL.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use job_queue::{
    JobQueue as _, NewJob, OpenOptions, Postgres,
    conformance::{
        proxy::{Proxy, Way},
        server::{Database, Server},
    },
};
use rustix::process::Signal;
use workflow_model::{JobId, QueueName};

use crate::{
    harness::{Host, Running, now, repository, until, until_within},
    witness::Witness,
};

pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// The poll floor on PostgreSQL.
const FLOOR: Duration = Duration::from_secs(5);

/// A database and a folder of job files that all hosts see.
pub(crate) struct Cluster {
    pub(crate) database: Database,
    shared: tempfile::TempDir,
}

impl Cluster {
    /// `None` where there is no PostgreSQL; that was told.
    pub(crate) fn new() -> Option<Self> {
        let cluster = Self { database: Server::shared()?.database(), shared: tempfile::tempdir().expect("a folder") };
        cluster.host().qmanager(["queue", "migrate"]).success();
        Some(cluster)
    }

    pub(crate) fn host(&self) -> Host {
        self.host_at(self.database.address())
    }

    /// A host that reaches the database by another address.
    fn host_at(&self, address: &str) -> Host {
        Host::new()
            .with_env("QMANAGER__DB__URL", &self.database.url_at(address))
            .with_env("QMANAGER__JOBFILES__URL", &format!("fs:{}", self.shared.path().join("jobs").display()))
            .with_env("QMANAGER__TIMES__LEASE", &format!("{}s", LEASE.as_secs()))
            .with_env("QMANAGER__TASKS__GRACE", "300ms")
    }

    pub(crate) fn path(&self) -> &Path {
        self.shared.path()
    }

    /// A chain whose middle task says every few milliseconds that it lives, until the file `go` is there.
    pub(crate) fn chain(&self, witness: &Witness) -> String {
        let folder = self.path().display();
        let live = format!("while [ ! -e {folder}/go ]; do date +%s%N >>{folder}/alive.$QM_ATTEMPT; sleep 0.02; done");
        let text = [
            witness.task("first", &[], "true"),
            witness.task("long", &["first".into()], &live),
            witness.task("last", &["long".into()], "true"),
        ];
        let path = self.path().join("chain.yaml");
        fs::write(&path, text.concat()).expect("a file");
        path.to_str().expect("text").to_owned()
    }

    /// When attempt N of the long task said that it lived, in nanoseconds.
    pub(crate) fn alive(&self, attempt: u32) -> Vec<u128> {
        let said = fs::read_to_string(self.path().join(format!("alive.{attempt}"))).unwrap_or_default();
        said.lines().filter_map(|line| line.parse().ok()).collect()
    }

    pub(crate) fn go(&self) {
        fs::write(self.path().join("go"), "").expect("a file");
    }
}

pub(crate) fn stop(host: &Host, daemon: &mut Running) {
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    until("all processes of the host have ended", || host.processes().is_empty());
}

fn status_of(host: &Host, job: &str) -> String {
    host.job(job)["status"].as_str().expect("a status").to_owned()
}

/// The verbs on a server that asks for a password, and nobody ever shows it (I22).
#[test]
fn i22_every_verb_on_a_server_with_a_password() {
    const PASSWORD: &str = "canary-5ecret";
    let Some(cluster) = Cluster::new() else { return };
    let database = &cluster.database;
    database.sql(&format!(
        "DO $$ BEGIN CREATE ROLE secret LOGIN SUPERUSER PASSWORD '{PASSWORD}'; EXCEPTION WHEN duplicate_object THEN END $$"
    ));
    let host = cluster.host_at("unused");
    let file = host.write("password", format!("{PASSWORD}\n"));
    let url = database.url().replace("postgres@", "secret@");
    let host = Host::new()
        .with_env("QMANAGER__DB__URL", &url)
        .with_env("QMANAGER__DB__PASSWORD_FILE", file.to_str().expect("text"));
    let workflow = host.write(
        "w.yaml",
        "- name: a\n  params: {command: echo hello}\n- name: b\n  depends: [a]\n  params: {command: exit 3}\n",
    );
    let workflow = workflow.to_str().expect("text");
    let mut daemon = host.start(&["--workers", "1"]);
    let mut said = String::new();
    let job = host.submit(&[workflow, "--key", "k", "--label", "team=x"]);
    let mut verb = |args: &[&str], code: i32| {
        let done = host.qmanager(args).expect(code);
        said.push_str(&done.stdout);
        said.push_str(&done.stderr);
        done.stdout
    };
    verb(&["wait", &job], 1);
    assert!(verb(&["list", "--label", "team=x"], 0).contains("failed"));
    verb(&["status", &job, "--tasks"], 0);
    assert!(verb(&["logs", &job, "a"], 0).contains("hello"));
    assert!(verb(&["explain", &job], 0).contains("task \"b\" failed"));
    verb(&["retry", &job], 0);
    verb(&["wait", "@key:k"], 1);
    assert_eq!(host.job(&job)["round"], 2);
    verb(&["queue", "pause"], 0);
    let held = verb(&["submit", workflow], 0);
    assert!(verb(&["explain", held.trim()], 0).contains("is paused"));
    verb(&["cancel", held.trim()], 0);
    verb(&["queue", "resume"], 0);
    verb(&["queue", "limit", "2"], 0);
    assert!(verb(&["queue", "ls"], 0).contains("shell"));
    verb(&["queue", "migrate"], 0);
    verb(&["config"], 0);
    verb(&["--json", "config"], 0);
    assert!(verb(&["doctor"], 0).contains("PostgreSQL"));
    assert!(verb(&["prune", "--keep", "0"], 0).contains(&job));
    verb(&["status", &job], 4);
    // A wrong password is told without the right or the wrong one.
    fs::write(&file, "another-canary").expect("a file");
    verb(&["list"], 5);
    fs::write(&file, PASSWORD).expect("a file");
    let command_lines: String = host.processes().into_iter().map(|(_, line)| line).collect();
    stop(&host, &mut daemon);
    said.push_str(&daemon.stderr());
    said.push_str(&command_lines);
    assert!(!said.contains("canary"), "{said}");
}

/// kill -9 of all processes of a host, its tasks too: another goes on after the lease. What had ended is not run again,
/// what ran is run once more, and no retry is spent.
#[test]
fn f04_a_host_that_is_gone() {
    Cluster::new().iter().for_each(a_host_that_is_gone);
}

pub(crate) fn a_host_that_is_gone(cluster: &Cluster) {
    let (gone, other) = (cluster.host(), cluster.host());
    let witness = Witness::new(cluster.path());
    let workflow = cluster.chain(&witness);
    let mut first = gone.start(&["--workers", "1"]);
    // From a host without a daemon.
    let job = other.submit(&[&workflow]);
    until("the long task runs", || !cluster.alive(1).is_empty());
    let mut second = other.start(&["--workers", "1"]);
    first.signal(Signal::KILL);
    first.wait();
    until("nothing of the host is left", || {
        let left = gone.processes();
        left.iter().for_each(|(pid, _)| gone.kill(*pid));
        left.is_empty()
    });
    let died = now();
    until_within(LEASE + FLOOR + Duration::from_secs(10), "it goes on elsewhere", || !cluster.alive(2).is_empty());
    let took = died.elapsed();
    // The lease, then the next look, then the look that makes sure; the rest is a busy machine.
    assert!(took < LEASE + FLOOR + LEASE / 2 + Duration::from_secs(4), "resumed after {took:?}");
    cluster.go();
    other.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let testimony = witness.read();
    let begins = testimony.begins();
    assert_eq!((begins["first"], begins["long"], begins["last"]), (1, 2, 1));
    testimony.assert_attempts_distinct();
    let tasks = other.job(&job)["task_list"].clone();
    assert_eq!(tasks[1]["attempt"], 2, "{tasks}");
    stop(&other, &mut second);
}

/// A host whose packets to the database vanish: its tasks have ended before another host runs them again, and when it is
/// back it writes nothing, says so, and serves on.
#[test]
fn f14_f41_a_host_cut_off_from_the_database() {
    Cluster::new().iter().for_each(a_host_cut_off);
}

pub(crate) fn a_host_cut_off(cluster: &Cluster) {
    let proxy = Proxy::new(cluster.database.address());
    let (cut, other) = (cluster.host_at(&proxy.address), cluster.host());
    let witness = Witness::new(cluster.path());
    let workflow = cluster.chain(&witness);
    let mut first = cut.start(&["--workers", "1"]);
    let job = other.submit(&[&workflow]);
    until("the long task runs", || !cluster.alive(1).is_empty());
    let mut second = other.start(&["--workers", "1"]);
    cluster.database.sql(AUDIT);
    proxy.set(Way::Hole);
    until_within(LEASE + FLOOR + Duration::from_secs(10), "it goes on elsewhere", || !cluster.alive(2).is_empty());
    let (last, next) = (*cluster.alive(1).last().expect("said"), cluster.alive(2)[0]);
    assert!(last < next, "attempt 1 lived {} ms into attempt 2", (last - next.min(last)) / 1_000_000);
    proxy.set(Way::Open);
    cluster.go();
    other.qmanager(["wait", &job, "--timeout", "60s"]).success();
    let begins = witness.read();
    assert_eq!(begins.begins()["long"], 2);
    // It is back: it takes jobs again, and has written nothing under its old epoch.
    stop(&other, &mut second);
    let again = cut.submit(&[&workflow, "--wait"]);
    assert_eq!(status_of(&cut, again.lines().next().expect("an id")), "succeeded");
    let late = format!("SELECT count(*) FROM audit WHERE id = '{job}' AND epoch < newest");
    assert_eq!(cluster.database.sql(&late), ["0"]);
    assert_eq!(cut.job(&job)["task_list"][1]["attempt"], 2);
    stop(&cut, &mut first);
}

/// The queue of version 1 (tests/fixtures), in use when its host went away: this version's daemon migrates it, and ends
/// what was under way and what waits.
#[test]
fn a_daemon_ends_what_a_queue_of_version_1_holds() {
    let Some(server) = Server::shared() else { return };
    let (database, shared) = (server.database(), tempfile::tempdir().expect("a folder"));
    for section in ["tables", "rows", "rest"] {
        let file = repository(&format!("tests/fixtures/v1/postgres/{section}.sql"));
        database.sql(&fs::read_to_string(file).expect("a fixture"));
    }
    // The folder of the fixture's host, at a place of this test's.
    let jobs = shared.path().join("jobs");
    let store = format!("fs:{}", jobs.display());
    database.sql(&format!("UPDATE qmanager.queue SET store = '{store}' WHERE store IS NOT NULL"));
    let ids = database.sql("SELECT id FROM qmanager.job WHERE ended IS NULL");
    for id in &ids {
        let files = jobs.join(id).join("files");
        fs::create_dir_all(&files).expect("folders");
        fs::write(files.join("go"), "").expect("a file");
    }
    fs::write(jobs.join(".store"), "alpha-0badcafe").expect("a file");
    let host = Host::new()
        .with_env("QMANAGER__DB__URL", &database.url())
        .with_env("QMANAGER__DB__MIGRATE", "true")
        .with_env("QMANAGER__JOBFILES__URL", &store)
        .with_env("QMANAGER__TIMES__LEASE", "4s");
    assert_eq!(ids.len(), 5);
    host.qmanager(["queue", "migrate"]).success();
    let mut daemon = host.start(&["--workers", "2", "--parallel", "4"]);
    let waits = "SELECT count(*) FROM qmanager.job WHERE ended IS NULL AND later IS NULL";
    until("all of it has ended", || database.sql(waits) == ["0"]);
    let ends =
        "SELECT coalesce(name, '-') || ' ' || status FROM qmanager.job WHERE seq IN (5, 6, 7, 8, 9) ORDER BY seq";
    let expected =
        ["running succeeded", "cancelling cancelled", "later queued", "queued succeeded", "by-sql succeeded"];
    assert_eq!(database.sql(ends), expected);
    let running = database.sql("SELECT id FROM qmanager.job WHERE seq = 5").remove(0);
    let tasks = host.job(&running)["task_list"].clone();
    let attempts: Vec<_> = tasks.as_array().expect("tasks").iter().map(|task| task["attempt"].as_u64()).collect();
    assert_eq!(attempts, [Some(1), Some(2), Some(2), Some(1)], "{tasks}");
    host.qmanager(["list"]).success();
    stop(&host, &mut daemon);
}

/// Every change of a task's row, with the epoch that its job had: a late writer would show a row that goes back.
const AUDIT: &str = "CREATE TABLE audit (id uuid, epoch bigint, newest bigint); \
     CREATE FUNCTION audit_task() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
       INSERT INTO audit SELECT j.id, NEW.attempt, greatest(OLD.attempt, NEW.attempt) FROM qmanager.job j WHERE j.seq = NEW.job; \
       RETURN NEW; END $$; \
     CREATE TRIGGER audit_task AFTER UPDATE ON qmanager.task FOR EACH ROW EXECUTE FUNCTION audit_task()";

/// Jobs from SQL: in the caller's own transaction, started by the NOTIFY that comes with it, checked by the worker.
#[test]
fn jobs_from_sql() {
    let Some(cluster) = Cluster::new() else { return };
    let host = cluster.host();
    let mut daemon = host.start(&["--workers", "1"]);
    let database = &cluster.database;
    let text = "- name: x\n  params: {command: 'echo from SQL'}\n";
    let call = |key: &str, text: &str| {
        format!("SELECT qmanager.submit($q${text}$q$, '{key}', labels => '{{\"by\": \"sql\"}}')")
    };
    database.sql(&format!("BEGIN; {}; ROLLBACK", call("undone", text)));
    let started = now();
    let job = database.sql(&call("good", text)).remove(0);
    host.qmanager(["wait", &job]).success();
    assert!(started.elapsed() < FLOOR, "nobody had to wait for a poll");
    assert!(host.qmanager(["logs", &job]).success().stdout.contains("from SQL"));
    assert_eq!(database.sql(&call("good", text)), [job.as_str()], "the same key and text are the same job");
    let wrong = database.sql(&call("wrong", "- name: x\n  depnds: [y]\n")).remove(0);
    host.qmanager(["wait", &wrong]).expect(1);
    let explained = host.qmanager(["explain", &wrong]).success().stdout;
    assert!(explained.contains("line 2") && explained.contains("depends"), "{explained}");
    assert_eq!(host.job(&wrong)["cause"], "invalid");
    let listed = host.qmanager(["list", "--label", "by=sql", "--json"]).success().json();
    assert_eq!(listed.len(), 2, "what was rolled back never was");
    // Whoever may not submit may not.
    let refused = "DO $$ BEGIN CREATE ROLE nobody_of_ours; EXCEPTION WHEN duplicate_object THEN END $$; \
         SELECT has_function_privilege('nobody_of_ours', p.oid, 'EXECUTE')::text FROM pg_proc p \
         JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'qmanager' AND p.proname = 'submit'";
    assert_eq!(database.sql(refused), ["false"]);
    stop(&host, &mut daemon);
}

/// Without any notification a job starts within the poll floor and a second (I18); a cancel from another host is seen
/// within a second by its notification.
#[test]
fn i18_without_notifications_and_a_cancel_from_elsewhere() {
    let Some(cluster) = Cluster::new() else { return };
    let (host, other) = (cluster.host(), cluster.host());
    let mut daemon = host.start(&["--workers", "1"]);
    let definition = r#"[{"name":"a","params":{"command":"sleep 60"}}]"#;
    let workflow = workflow_model::Workflow::from_canonical_json(definition).expect("a workflow");
    let new = NewJob {
        id: JobId::generate(),
        queue: QueueName::default(),
        name: None,
        definition: workflow.to_canonical_json(),
        hash: workflow.hash(),
        tasks: 1,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: "test".into(),
        settings: "{}".into(),
        store: None,
    };
    let job = new.id.to_string();
    let queue = Postgres::open(&cluster.database.url(), &OpenOptions::default()).expect("a queue");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let submitted = now();
    // Without `wake`.
    runtime.block_on(queue.submit(vec![new])).expect("submitted");
    until("it runs", || host.job(&job)["task_list"][0]["status"] == "running");
    let took = submitted.elapsed();
    assert!(took < FLOOR + Duration::from_millis(1500), "started after {took:?}");
    let cancelled = now();
    other.qmanager(["cancel", &job]).success();
    other.qmanager(["wait", &job]).expect(6);
    assert!(cancelled.elapsed() < Duration::from_secs(3), "{:?}", cancelled.elapsed());
    stop(&host, &mut daemon);
}

/// A job that came with files into a folder of one host waits for that host, and `explain` says so.
#[test]
fn a_job_waits_for_the_host_that_has_its_files() {
    let Some(cluster) = Cluster::new() else { return };
    let host = cluster.host();
    let mut daemon = host.start(&["--workers", "1"]);
    let id = cluster.path().join("jobs/.store");
    let here = fs::read_to_string(&id).expect("the store's id");
    let input = host.write("input.txt", "data");
    let workflow = host.write("w.yaml", "- name: a\n  params: {command: cat input.txt}\n");
    // As if this were another host, with a folder of its own at the same path.
    fs::write(&id, "elsewhere-0badcafe").expect("a file");
    let workflow = workflow.to_str().expect("text");
    let job = host.submit(&[workflow, "--file", input.to_str().expect("text")]);
    fs::write(&id, &here).expect("a file");
    let free = host.submit(&[workflow, "--file", input.to_str().expect("text")]);
    host.qmanager(["wait", &free]).success();
    assert_eq!(status_of(&host, &job), "queued", "it came first, and is not given");
    let explained = host.qmanager(["explain", &job]).success().stdout;
    assert!(explained.contains("folder of host elsewhere"), "{explained}");
    stop(&host, &mut daemon);
    fs::write(&id, "elsewhere-0badcafe").expect("a file");
    let mut daemon = host.start(&["--workers", "1"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    stop(&host, &mut daemon);
}

/// A job with a time starts then, not at the next poll; that asks nothing of an idle queue more often than once a second.
#[test]
fn a_job_starts_when_its_time_comes() {
    let Some(cluster) = Cluster::new() else { return };
    let host = cluster.host();
    let mut daemon = host.start(&["--workers", "1"]);
    let log = cluster.path().join("began");
    let text = format!("- name: a\n  params: {{command: date +%s%N >>{}}}\n", log.display());
    let workflow = host.write("w.yaml", text);
    // Apart from each other and from the polls, which come every five seconds.
    let jobs = ["2300ms", "5100ms", "7700ms"].map(|at| host.submit(&[workflow.to_str().expect("text"), "--at", at]));
    for job in &jobs {
        host.qmanager(["wait", job, "--timeout", "60s"]).success();
    }
    let due = cluster.database.sql("SELECT run_at * 1000 FROM qmanager.job ORDER BY run_at");
    let began = fs::read_to_string(&log).expect("the log");
    let late = due.iter().zip(began.lines()).map(|(due, began)| {
        let number = |text: &str| text.parse::<i64>().expect("a number");
        Duration::from_nanos(number(began).saturating_sub(number(due)).try_into().expect("not before its time"))
    });
    let late: Vec<Duration> = late.collect();
    assert!(late.len() == 3 && late.iter().all(|late| *late < Duration::from_secs(2)), "{late:?} after their time");
    stop(&host, &mut daemon);
}

/// Whether somebody works for a queue is known for all hosts of a database: `submit` and `explain` say when nobody does.
#[test]
fn no_host_serves_a_queue() {
    let Some(cluster) = Cluster::new() else { return };
    let (host, other) = (cluster.host(), cluster.host());
    let workflow = host.write("w.yaml", "- name: a\n  params: {command: 'true'}\n");
    let workflow = workflow.to_str().expect("text");
    let submit = |args: &[&str]| host.qmanager([&["submit", workflow], args].concat()).success();
    let nobody = submit(&[]);
    assert!(nobody.stderr.contains("no worker serves queue default: no host"), "{nobody:?}");
    assert!(nobody.stderr.contains("`qmanager start -d`"), "{nobody:?}");
    let mut daemon = other.start(&["--workers", "1"]);
    let served = submit(&["--wait"]);
    assert!(!served.stderr.contains("no worker"), "{served:?}");
    let others = submit(&["--qname", "etl"]);
    assert!(others.stderr.contains("no worker serves queue etl"), "{others:?}");
    let explained = host.qmanager(["explain", others.stdout.trim()]).success().stdout;
    assert!(explained.contains("no worker serves queue etl") && explained.contains("--qname etl"), "{explained}");
    // The session on which it says so breaks, and is made again.
    cluster.database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    until("it is known again", || !submit(&[]).stderr.contains("no worker"));
    stop(&other, &mut daemon);
    assert!(submit(&[]).stderr.contains("no worker serves queue default"));
}

/// A host that is configured otherwise than the queue's first: it is refused, and `status` says that and what to do.
#[test]
fn a_host_with_another_store_is_refused_and_says_so() {
    let Some(cluster) = Cluster::new() else { return };
    let first = cluster.host();
    let mut daemon = first.start(&["--workers", "1"]);
    until("the queue is its", || first.qmanager(["queue", "ls"]).success().stdout.contains("shell"));
    let other = cluster.host().with_env("QMANAGER__JOBFILES__URL", &format!("fs:{}/other", cluster.path().display()));
    let mut refused = other.spawn(&["start", "--workers", "1"]);
    until("it says so", || other.qmanager(["status"]).stdout.contains("refused: "));
    let shown = other.qmanager(["status"]).success().stdout;
    for part in ["queue default belongs to executor shell", "other", "configure it likewise", "--qname"] {
        assert!(shown.contains(part), "{shown}");
    }
    let job = other.qmanager(["status", "--json"]).success().json().remove(0);
    assert!(job["daemon"]["workers"][0]["degraded"].as_str().is_some_and(|why| why.starts_with("refused")), "{job}");
    stop(&other, &mut refused);
    stop(&first, &mut daemon);
}

/// Processor time that all processes of a host have had.
fn processor_time(host: &Host) -> Duration {
    let time = |pid: i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(host.processes().into_iter().map(|(pid, _)| time(pid)).sum())
}

/// An idle host: few queries, few connections, no processor time to speak of (I15; over 5 minutes in docs/performance.md).
#[test]
fn i15_an_idle_host_asks_seldom() {
    let Some(cluster) = Cluster::new() else { return };
    let host = cluster.host();
    let mut daemon = host.start(&["--workers", "4"]);
    let connections =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qmanager'";
    until("workers have let their connections go", || {
        cluster.database.sql(connections)[0].parse::<u32>().expect("a number") <= 2
    });
    let asked = || {
        cluster
            .database
            .sql("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")[0]
            .parse::<u64>()
            .expect("a number")
    };
    // The server counts a session's last transactions late: those of the looks above are not to be counted below.
    let quiet = now();
    until("earlier looks are counted", || quiet.elapsed() > Duration::from_secs(4));
    let (before, began): (u64, Instant) = (asked(), now());
    let used = processor_time(&host);
    until("some time has passed", || began.elapsed() > Duration::from_secs(12));
    let (after, used) = (asked(), processor_time(&host).saturating_sub(used));
    assert!(used < Duration::from_millis(60), "{used:?} of processor time in 12 s: more than 0.5 %");
    // Two of them are our own.
    assert!(after - before <= 12 + 2, "{} transactions in 12 s", after - before);
    stop(&host, &mut daemon);
}

/// A database that holds no queue yet, or cannot be reached: said with the remedy, code 5.
#[test]
fn f36_f41_what_is_wrong_with_a_server_is_said() {
    let Some(server) = Server::shared() else { return };
    let database = server.database();
    let host = Host::new().with_env("QMANAGER__DB__URL", &database.url());
    for args in [["list"].as_slice(), &["start"], &["queue", "ls"]] {
        let refused = host.qmanager(args).expect(5);
        assert!(refused.stderr.contains("qmanager queue migrate"), "{refused:?}");
    }
    host.qmanager(["queue", "migrate"]).success();
    host.qmanager(["list"]).success();
    database.sql("INSERT INTO qmanager.migration (version, by_program) VALUES (99, 'test')");
    let refused = host.qmanager(["list"]).expect(5);
    assert!(refused.stderr.contains("newer qmanager"), "{refused:?}");
    let nobody = Host::new().with_env("QMANAGER__DB__URL", "postgres://u:canary@127.0.0.1:1/d");
    let refused = nobody.qmanager(["list"]).expect(5);
    assert!(refused.stderr.contains("cannot be reached") && !refused.stderr.contains("canary"), "{refused:?}");
}

/// Two daemons that share a queue have slots of the same names: `status` tells whose job is whose.
#[test]
fn status_names_the_jobs_of_its_own_workers() {
    let Some(cluster) = Cluster::new() else { return };
    let (here, there) = (cluster.host(), cluster.host());
    let mut daemons = [here.start(&["--workers", "1"]), there.start(&["--workers", "1"])];
    let go = cluster.path().join("go");
    let command = format!("while ! test -e {}; do sleep 0.02; done", go.display());
    let workflow = serde_json::json!([{ "name": "waits", "params": { "command": command } }]).to_string();
    let workflow = here.write("w.json", workflow);
    let workflow = workflow.to_str().expect("text");
    let mut jobs = [here.submit(&[workflow]), here.submit(&[workflow])];
    let is_running = |job: &String| status_of(&here, job) == "running";
    until("both jobs run", || jobs.iter().all(is_running));
    let job_of = |host: &Host| {
        let status: serde_json::Value =
            serde_json::from_str(&host.qmanager(["status", "--json"]).success().stdout).expect("JSON");
        status["workers"][0]["job"].as_str().expect("it has a job").to_owned()
    };
    let mut told = [job_of(&here), job_of(&there)];
    told.sort();
    jobs.sort();
    assert_eq!(told, jobs, "each of them at one worker");
    let text = here.qmanager(["status"]).success().stdout;
    assert!(jobs.iter().all(|job| text.contains(&job[job.len() - 8..])), "both are shown: {text}");
    fs::write(go, "").expect("a folder");
    here.qmanager(["wait", &jobs[0], &jobs[1]]).success();
    for (host, daemon) in [&here, &there].into_iter().zip(&mut daemons) {
        stop(host, daemon);
    }
}

/// Files in a folder of one host: others say whose it is, and do not take it for an empty one.
#[test]
fn files_of_another_host_are_not_there_but_not_nowhere() {
    let Some(cluster) = Cluster::new() else { return };
    let there = cluster.host();
    let own = format!("fs:{}", cluster.path().join("own").display());
    let here = cluster.host().with_env("QMANAGER__JOBFILES__URL", &own);
    let mut daemon = there.start(&["--workers", "1"]);
    let file = there.write("w.yaml", "- name: a\n  params: {command: echo hello | tee x}\n");
    let file = file.to_str().expect("text");
    let job = there.submit(&[file]);
    there.qmanager(["wait", &job]).success();
    assert!(there.qmanager(["logs", &job]).success().stdout.contains("hello"));
    for args in [["logs", &job, "a"].as_slice(), &["files", "ls", &job], &["files", "get", &job, "x", "."]] {
        let said = here.qmanager(args).expect(4).stderr;
        assert!(said.contains("are in a folder of host") && said.contains("jobfiles.url"), "{args:?}: {said}");
    }
    let said = here.qmanager(["submit", file, "--file", file]).success().stderr;
    assert!(said.contains("the files of this job are in fs:") && said.contains("look in fs:"), "{said}");
    stop(&there, &mut daemon);
}
