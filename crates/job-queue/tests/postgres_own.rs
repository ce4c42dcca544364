//! What needs a PostgreSQL of a test's own: TLS, a standby that is promoted, a queue of version 1 (tests/fixtures).

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in what it calls too")]

use std::{
    fs,
    time::{Duration, Instant},
};

use job_queue::{
    Claim, Error, Filter, JobQueue, NewRound, OpenOptions, Owner, Postgres,
    conformance::{
        claim_by, ending, job,
        own::OwnServer,
        owner, row, run,
        server::{Database, Server},
    },
};
use workflow_model::{Cause, Epoch, ExecutorKind, JobStatus, QueueName, TaskStatus};

/// As `pg_dump --section` has them: the tables and functions, what is in them, and indexes, constraints and triggers.
const SECTIONS: [(&str, &str, &str); 3] = [
    ("pre-data", "tables.sql", include_str!("../../../tests/fixtures/v1/postgres/tables.sql")),
    ("data", "rows.sql", include_str!("../../../tests/fixtures/v1/postgres/rows.sql")),
    ("post-data", "rest.sql", include_str!("../../../tests/fixtures/v1/postgres/rest.sql")),
];
const FIRST: &str = include_str!("../migrations/postgres/0001_init.sql");

fn open(url: &str) -> Postgres {
    let options = OpenOptions { migrate: true, busy_timeout: Duration::from_secs(20), ..OpenOptions::default() };
    Postgres::open(url, &options).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests")]
fn now() -> Instant {
    Instant::now()
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = now() + Duration::from_secs(60);
    while !condition() {
        assert!(now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server with a certificate for `localhost`, which answers nobody without encryption; and the certificates of the CA that
/// signed it and of another one.
struct Encrypted {
    server: OwnServer,
    folder: tempfile::TempDir,
}

impl Encrypted {
    fn start() -> Option<Self> {
        let server = OwnServer::start(&[], &[])?;
        let folder = tempfile::tempdir().unwrap();
        let made = Self { server, folder };
        let key = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for ca in ["ca", "other"] {
            made.openssl(&format!("{key} -x509 -days 2 -subj /CN=qmanager-test-{ca} -keyout {ca}.key -out {ca}.crt"));
        }
        fs::write(made.path("names"), "subjectAltName=DNS:localhost\n").unwrap();
        made.openssl(&format!("{key} -subj /CN=localhost -keyout server.key -out server.csr"));
        made.openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
        );
        let data = made.server.data();
        let owner = fs::metadata(&data).unwrap();
        for file in ["server.key", "server.crt"] {
            use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
            let there = data.join(file);
            fs::copy(made.path(file), &there).unwrap();
            fs::set_permissions(&there, fs::Permissions::from_mode(0o600)).unwrap();
            std::os::unix::fs::chown(&there, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all all trust\n").unwrap();
        made.server.sql("postgres", "ALTER SYSTEM SET ssl = on");
        made.server.stop("fast");
        made.server.begin();
        Some(made)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own tool")]
    fn openssl(&self, words: &str) {
        let mut command = std::process::Command::new("openssl");
        let done = command.args(words.split(' ')).current_dir(self.folder.path()).output().expect("openssl is there");
        assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// What a call by this host name and these parameters gives.
    async fn ask(&self, host: &str, parameters: &str) -> Result<usize, Error> {
        let url = format!("postgres://postgres@{host}:{}/postgres?{parameters}", self.server.port());
        let options = OpenOptions { migrate: true, busy_timeout: Duration::from_millis(300), ..OpenOptions::default() };
        let jobs = Postgres::open(&url, &options)?.list(&Filter::default()).await?;
        Ok(jobs.len())
    }
}

/// TLS to a real server, with the meanings that `sslmode` has for PostgreSQL's own clients; what is wrong with a
/// certificate is said with the remedy, at once, and as something that does not pass.
#[test]
fn tls_to_a_real_server() {
    let Some(encrypted) = Encrypted::start() else { return };
    let root = |name: &str| format!("sslrootcert={}", encrypted.path(name).display());
    run(async {
        for mode in ["prefer", "require"] {
            assert_eq!(encrypted.ask("127.0.0.1", &format!("sslmode={mode}")).await.unwrap(), 0, "{mode}");
        }
        for mode in ["verify-full", "verify-ca"] {
            let parameters = format!("sslmode={mode}&{}", root("ca.crt"));
            assert_eq!(encrypted.ask("localhost", &parameters).await.unwrap(), 0, "{mode}");
        }
        let plain = encrypted.ask("127.0.0.1", "sslmode=disable").await.unwrap_err().to_string();
        assert!(plain.contains("no encryption"), "{plain}");
        for (what, host, parameters) in [
            ("another CA", "localhost", format!("sslmode=verify-full&{}", root("other.crt"))),
            ("this host's CAs", "localhost", "sslmode=verify-full".into()),
            ("another name", "127.0.0.1", format!("sslmode=verify-full&{}", root("ca.crt"))),
        ] {
            let error = encrypted.ask(host, &parameters).await.unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, Error::Unusable(_)), "{what}: {error:?}");
            assert!(text.contains("certificate is not accepted") && text.contains("sslrootcert"), "{what}: {text}");
        }
        let nothing = encrypted.ask("localhost", &format!("sslmode=verify-full&{}", root("ca.key"))).await.unwrap_err();
        assert!(nothing.to_string().contains("ca.key"), "{nothing}");
    });
    // And a server that has none.
    let Some(server) = Server::shared() else { return };
    run(async {
        let url = format!("{}?sslmode=require", server.database().url());
        let error = Postgres::open(&url, &OpenOptions::default()).unwrap().queues().await.unwrap_err();
        assert!(matches!(&error, Error::Unusable(why) if why.contains("no encryption")), "{error:?}");
    });
}

/// A standby that is promoted without the last commits: whoever claimed before is fenced, however well its epoch fits, and
/// the next worker goes on from what the standby has.
#[test]
fn f41_a_promoted_standby_that_lacks_the_last_commits() {
    let Some(primary) = OwnServer::start(&[], &[]) else { return };
    primary.sql("postgres", "CREATE DATABASE qm");
    let standby = primary.standby();
    let url = format!("postgres://postgres@{},{}/qm", primary.address, standby.address);
    run(async {
        let worker = open(&url);
        let ids: Vec<_> = worker.submit(vec![job(), job()]).await.unwrap().iter().map(|done| done.id).collect();
        let claim = Claim { dead: Vec::new(), ..claim_by("default00") };
        let first = worker.claim(&claim).await.unwrap().unwrap().job;
        worker.record(first.id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
        let sent = "SELECT (replay_lsn >= pg_current_wal_lsn())::text FROM pg_stat_replication";
        wait_for("the standby has all of it", || primary.sql("qm", sent) == ["true"]);
        // From now on it lags behind for good.
        standby.sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
        standby.sql("postgres", "SELECT pg_reload_conf()");
        wait_for("it receives nothing", || primary.sql("qm", "SELECT count(*) FROM pg_stat_replication") == ["0"]);
        worker.record(first.id, Epoch(1), &[row(0, TaskStatus::Succeeded)]).await.unwrap();
        let lost = worker.submit(vec![job()]).await.unwrap()[0].id;
        let other = open(&url);
        let second = other.claim(&Claim { dead: Vec::new(), ..claim_by("default01") }).await.unwrap().unwrap().job;
        assert_eq!(second.id, ids[1]);
        primary.stop("immediate");
        standby.promote();

        // As documented: what only the old primary had is gone.
        assert!(matches!(worker.get(lost).await, Err(Error::NotFound(_))));
        let tasks = worker.tasks(first.id).await.unwrap();
        assert_eq!(tasks[0].status, TaskStatus::Running, "its end was recorded too late");
        // Both are fenced: the one whose lease the standby knows, and the one whose epoch somebody else gets now.
        let taken = open(&url).claim(&Claim { dead: Vec::new(), ..claim_by("default02") }).await.unwrap().unwrap().job;
        assert_eq!((taken.id, taken.epoch), (second.id, Epoch(1)));
        for (queue, job) in [(&worker, first.id), (&other, second.id)] {
            let rows = [row(1, TaskStatus::Running)];
            assert!(matches!(queue.record(job, Epoch(1), &rows).await, Err(Error::Fenced)));
            assert!(matches!(queue.release(job, Epoch(1), &[]).await, Err(Error::Fenced)));
            let end = ending(JobStatus::Succeeded);
            assert!(matches!(queue.finish(job, Epoch(1), &[], end).await, Err(Error::Fenced)));
        }
        // The next worker in the same place takes it over with what is known.
        let next = open(&url);
        let again =
            next.claim(&Claim { dead: vec![owner("default00")], ..claim_by("default00") }).await.unwrap().unwrap();
        assert_eq!((again.job.id, again.job.epoch, again.resumed), (first.id, Epoch(2), true));
        next.finish(first.id, Epoch(2), &[row(0, TaskStatus::Succeeded)], ending(JobStatus::Succeeded)).await.unwrap();
    });
}

/// A database with what version 1 left in it; `None` where there is no server.
fn version_1() -> Option<Database> {
    let database = Server::shared()?.database();
    SECTIONS.iter().for_each(|(.., sql)| drop(database.sql(sql)));
    Some(database)
}

/// All that makes a database's form.
fn form(database: &Database) -> Vec<String> {
    database.sql(
        "SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line \
           FROM information_schema.columns WHERE table_schema = 'qmanager' \
         UNION SELECT indexdef FROM pg_indexes WHERE schemaname = 'qmanager' \
         UNION SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
           WHERE connamespace = 'qmanager'::regnamespace \
         UNION SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal \
         UNION SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'qmanager'::regnamespace ORDER BY 1",
    )
}

fn claim_of_version_1(slot: &str, fresh: bool) -> Claim {
    // As in the fixture.
    let owner = Owner {
        host: "a3c1f0e2b4d596877869504132231405".into(),
        run_dir: "0123456789abcdef".into(),
        slot: slot.into(),
    };
    Claim {
        queue: QueueName::default(),
        dead: vec![owner.clone()],
        owner,
        executor: ExecutorKind::Shell,
        store: "fs:/var/lib/qmanager/jobs".into(),
        place: Some("fs:alpha-0badcafe".into()),
        ttl: Duration::from_secs(60),
        fresh,
    }
}

/// A change of the form needs a migration (crates/job-queue/migrations/postgres) and a fixture of the new version beside
/// this one.
#[test]
fn the_form_of_version_1_is_that_of_the_first_migration() {
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return write_version_1();
    }
    let Some(old) = version_1() else { return };
    let new = Server::shared().unwrap().database();
    new.sql(FIRST);
    let (old, new) = (form(&old), form(&new));
    let other = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    assert!(old == new, "only in the fixture: {:#?}\nonly now: {:#?}", other(&old, &new), other(&new, &old));
}

#[test]
fn a_queue_of_version_1_is_migrated_and_finished() {
    let Some(database) = version_1() else { return };
    run(async {
        let queue = open(&database.url());
        queue.migrate().await.unwrap();
        let fresh = Server::shared().unwrap().database();
        open(&fresh.url()).migrate().await.unwrap();
        assert!(form(&database) == form(&fresh), "migrated as if it were new");
        let jobs = queue.list(&Filter::default()).await.unwrap();
        let of = |status: JobStatus| jobs.iter().filter(|job| job.status == status).count();
        let states = [JobStatus::Queued, JobStatus::Running, JobStatus::Cancelling, JobStatus::Succeeded];
        assert_eq!(states.map(of), [3, 1, 1, 2]);
        assert_eq!((of(JobStatus::Failed), of(JobStatus::Cancelled)), (1, 1));
        let ok = jobs.iter().find(|job| job.name.as_deref() == Some("ok")).unwrap();
        assert_eq!(ok.labels.get("team").map(String::as_str), Some("a"));
        let failed = jobs.iter().find(|job| job.status == JobStatus::Failed).unwrap();
        assert_eq!((failed.key.as_deref(), failed.cause), (Some("bad-1"), Some(Cause::UserExit)));
        let tasks = queue.tasks(failed.id).await.unwrap();
        assert_eq!((tasks[0].code, tasks[0].retries, tasks[0].attempt.0), (Some(3), 1, 2));
        assert_eq!(tasks[1].status, TaskStatus::Skipped);
        let queues = queue.queues().await.unwrap();
        assert!(queues.iter().any(|queue| queue.name.as_str() == "nightly" && queue.paused));
        assert!(queues.iter().any(|queue| queue.limit == Some(7)));

        // What runs is taken over from its dead workers, with all that an adopter needs.
        let mut resumed = Vec::new();
        for slot in ["default00", "default01", "default02"] {
            let Some(claimed) = queue.claim(&claim_of_version_1(slot, false)).await.unwrap() else { continue };
            assert!(claimed.resumed && claimed.tasks.iter().any(|task| task.attempt_process.is_some()));
            let running = claimed.tasks.into_iter().filter(|task| task.status == TaskStatus::Running);
            let mut rows: Vec<_> = running.collect();
            for row in &mut rows {
                (row.status, row.attempt_process, row.ended) = (TaskStatus::Succeeded, None, Some(i64::MAX / 2));
            }
            let end = ending(JobStatus::Succeeded);
            resumed.push(queue.finish(claimed.job.id, claimed.job.epoch, &rows, end).await.unwrap());
        }
        assert_eq!(resumed.len(), 2);
        assert!(resumed.contains(&JobStatus::Succeeded) && resumed.contains(&JobStatus::Cancelled), "{resumed:?}");
        // What waits is claimed, but not before its time; one came by SQL, unchecked.
        let mut waiting = Vec::new();
        while let Some(claimed) = queue.claim(&claim_of_version_1("default00", true)).await.unwrap() {
            waiting.push((claimed.job.name.clone(), claimed.job.is_unchecked()));
            queue.finish(claimed.job.id, claimed.job.epoch, &[], ending(JobStatus::Failed)).await.unwrap();
        }
        assert_eq!(waiting, [(Some("by-sql".into()), true), (Some("queued".into()), false)]);
        queue.retry(failed.id, NewRound { seen: 1, reset: vec![tasks[0].task], ..NewRound::default() }).await.unwrap();
        assert_eq!(queue.claim(&claim_of_version_1("default00", true)).await.unwrap().unwrap().job.round, 2);
    });
}

/// Before the first release version 1 itself may change: its rows in the new form, as they are then dumped.
fn write_version_1() {
    let Some(server) = OwnServer::start(&[], &[]) else { return };
    server.sql("postgres", "CREATE DATABASE qm");
    server.sql("qm", FIRST);
    server.sql("qm", SECTIONS[1].2);
    for (section, file, _) in SECTIONS {
        let mut dump = server.client("pg_dump");
        let text = server.run(dump.args(["-d", "qm", "-n", "qmanager", "--inserts", "-O", "--section", section]));
        let noise = |line: &&str| !line.starts_with('\\') && !line.starts_with("-- Dumped");
        let text: String = text.lines().filter(noise).flat_map(|line| [line, "\n"]).collect();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/v1/postgres/");
        fs::write(format!("{folder}{file}"), text).unwrap();
    }
}

/// Older and newer forms are refused with the remedy and left alone.
#[test]
fn f36_other_versions_are_refused_and_left_alone() {
    let Some(database) = version_1() else { return };
    let before = form(&database);
    run(async {
        let refused = async |version: i32, migrate: bool| {
            database.sql(&format!("UPDATE qmanager.migration SET version = {version}"));
            let options = OpenOptions { migrate, ..OpenOptions::default() };
            let queue = Postgres::open(&database.url(), &options).unwrap();
            queue.list(&Filter::default()).await.unwrap_err().to_string()
        };
        for migrate in [false, true] {
            let newer = refused(99, migrate).await;
            assert!(newer.contains("newer qmanager (schema 99") && newer.contains("use that version"), "{newer}");
        }
        let error = open(&database.url()).migrate().await.unwrap_err().to_string();
        assert!(error.contains("newer qmanager (schema 99"), "{error}");
        let older = refused(0, false).await;
        assert!(older.contains("qmanager queue migrate"), "{older}");
    });
    assert!(form(&database) == before);
}
