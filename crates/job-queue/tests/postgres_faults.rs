//! Faults of a PostgreSQL server and of the way to it (F37 to F44).

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in what it calls too")]

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use job_queue::{
    CancelHow, Claimed, Error, Filter, JobQueue, NewJob, NewRound, OpenOptions, Owner, Postgres,
    conformance::{
        claim_by, ending, job, owner,
        proxy::{Proxy, Way},
        queue_name, row, run,
        server::{Database, Server},
    },
};
use workflow_model::{Epoch, JobId, JobStatus, LimitKey, TaskIx, TaskStatus};

/// A database with our schema; `None` where there is no server.
fn database() -> Option<Database> {
    let database = Server::shared()?.database();
    run(async { drop(open(&database.url()).queues().await.unwrap()) });
    Some(database)
}

fn open(url: &str) -> Postgres {
    open_with(url, Duration::from_secs(5))
}

fn open_with(url: &str, patience: Duration) -> Postgres {
    let options = OpenOptions { migrate: true, busy_timeout: patience, ..OpenOptions::default() };
    Postgres::open(url, &options).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests")]
fn now() -> Instant {
    Instant::now()
}

/// Terminates all sessions of the database but the one that asks.
const KILL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Workers go from job to job while their sessions are killed all the time: each job is claimed under each epoch once, ends
/// once, and no claim leaks.
#[test]
fn f37_sessions_killed_in_the_middle_of_calls() {
    const JOBS: usize = 300;
    let Some(database) = database() else { return };
    let url = database.url();
    run(async { open(&url).submit((0..JOBS).map(|_| job()).collect()).await.map(drop).unwrap() });
    let (over, kills) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ended: Vec<Vec<JobId>> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kills.fetch_add(database.sql(KILL).len(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        let work = |n: usize| {
            let url = &url;
            move || {
                let mut mine = Vec::new();
                run(async { mine = work_off(&open(url), n).await });
                mine
            }
        };
        let workers: Vec<_> = (0..4).map(|n| scope.spawn(work(n))).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        ended
    });
    assert!(kills.into_inner() > 20, "sessions were killed");
    let all: Vec<JobId> = ended.into_iter().flatten().collect();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (JOBS, JOBS), "each ended once");
    run(async {
        let rows = open(&url).list(&Filter::default()).await.unwrap();
        let once = |row: &job_queue::JobRow| row.status == JobStatus::Succeeded && row.epoch == Epoch(1);
        assert_eq!(rows.iter().filter(|row| !once(row)).count(), 0, "none was claimed twice");
    });
    assert_eq!(database.sql("SELECT count(*) FROM qmanager.lease"), ["0"]);
}

/// As a worker does: claim, record, end and claim the next.
async fn work_off(queue: &Postgres, number: usize) -> Vec<JobId> {
    let mut claim = claim_by(&format!("default{number:02}"));
    claim.dead.clear();
    let mut mine = Vec::new();
    let mut next: Option<Claimed> = insist(async || queue.claim(&claim).await).await;
    while let Some(claimed) = next {
        let (id, epoch) = (claimed.job.id, claimed.job.epoch);
        insist(async || queue.record(id, epoch, &[row(0, TaskStatus::Running)]).await).await;
        let rows = [row(0, TaskStatus::Succeeded)];
        let end = ending(JobStatus::Succeeded);
        next = insist(async || queue.finish_and_claim(id, epoch, &rows, end.clone(), &claim).await).await.1;
        mine.push(id);
    }
    mine
}

/// As a worker does: as long as it takes.
async fn insist<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// The reply to each request of each call is lost once, after the server has done it: the call answers, and everything is
/// as if it had been done once.
#[test]
fn f38_every_reply_lost_once() {
    let Some(database) = database() else { return };
    let proxy = Proxy::new(database.address());
    run(async {
        let direct = open(&database.url());
        let mut lost = 0;
        for passing in 0.. {
            // A fresh handle each time: its statements are not prepared yet, so each round loses a reply further on.
            let broken = open(&database.url_at(&proxy.address));
            drop(broken.queues().await.unwrap());
            drop(broken.claim(&claim_by("default09")).await.unwrap());
            let losses = lose_one_of_each(&direct, &broken, &proxy, passing).await;
            lost += losses;
            if losses == 0 {
                break;
            }
        }
        assert!(lost > 20, "{lost} replies were lost");
    });
}

async fn lose_one_of_each(direct: &Postgres, broken: &Postgres, proxy: &Proxy, passing: u32) -> u32 {
    let mut lost = 0;
    let claim = claim_by("default00");
    // Submit: durable once, and known as made by this call.
    let new = job();
    proxy.lose_reply(passing);
    let done = insist(async || broken.submit(vec![new.clone(), job()]).await).await;
    lost += proxy.lost();
    assert!(done.iter().all(|done| done.created) && done[0].id == new.id);
    direct.cancel(done[1].id, CancelHow::Cancel).await.unwrap();
    // Claim: one job, one epoch, not taken for one that was left.
    proxy.lose_reply(passing);
    let claimed = insist(async || broken.claim(&claim).await).await.expect("the job");
    lost += proxy.lost();
    assert_eq!((claimed.job.id, claimed.job.epoch, claimed.resumed), (new.id, Epoch(1), false));
    // Record: counts are right.
    proxy.lose_reply(passing);
    insist(async || broken.record(new.id, Epoch(1), &[row(0, TaskStatus::Running)]).await).await;
    lost += proxy.lost();
    assert_eq!(direct.get(new.id).await.unwrap().counts.running, 1);
    // Release: once; the next claim has the next epoch.
    proxy.lose_reply(passing);
    let status = insist(async || broken.release(new.id, Epoch(1), &[row(0, TaskStatus::Waiting)]).await).await;
    lost += proxy.lost();
    assert_eq!(status, JobStatus::Queued);
    let again = direct.claim(&claim).await.unwrap().unwrap();
    assert_eq!((again.job.id, again.job.epoch), (new.id, Epoch(2)));
    // Finish and claim: both once.
    let next = job();
    direct.submit(vec![next.clone()]).await.unwrap();
    proxy.lose_reply(passing);
    let (status, taken) = insist(async || {
        broken
            .finish_and_claim(new.id, Epoch(2), &[row(0, TaskStatus::Failed)], ending(JobStatus::Failed), &claim)
            .await
    })
    .await;
    lost += proxy.lost();
    assert_eq!((status, taken.expect("the next job").job.id), (JobStatus::Failed, next.id));
    // Retry: one round.
    proxy.lose_reply(passing);
    let round = NewRound { seen: 1, reset: vec![TaskIx(0)], ..NewRound::default() };
    insist(async || broken.retry(new.id, round.clone()).await).await;
    lost += proxy.lost();
    assert_eq!(direct.get(new.id).await.unwrap().round, 2);
    // Finish.
    proxy.lose_reply(passing);
    let end = ending(JobStatus::Succeeded);
    let status = insist(async || broken.finish(next.id, Epoch(1), &[], end.clone()).await).await;
    lost += proxy.lost();
    assert_eq!(status, JobStatus::Succeeded);
    // Cancel.
    proxy.lose_reply(passing);
    assert_eq!(insist(async || broken.cancel(new.id, CancelHow::Cancel).await).await, JobStatus::Cancelled);
    lost + proxy.lost()
}

/// Whoever listens hears of a job, also after its session was killed; and is woken by the loss itself.
#[test]
fn f39_a_lost_listener_listens_again() {
    let Some(database) = database() else { return };
    run(async {
        let (manager, client) = (open(&database.url()), open(&database.url()));
        let names = [queue_name("default")];
        let mut wake = manager.watch().unwrap();
        manager.poll(&names, "here").await.unwrap();
        client.wake().await.unwrap();
        soon(wake.woken()).await.unwrap();
        database.sql(KILL);
        soon(wake.woken()).await.unwrap();
        client.submit(vec![job()]).await.unwrap();
        assert_eq!(manager.poll(&names, "here").await.unwrap().ready, names);
        client.wake().await.unwrap();
        soon(wake.woken()).await.unwrap();
    });
}

/// Which queues are served is known as long as their managers are connected, and of no client.
#[test]
fn a_manager_that_is_connected_is_known_to_serve() {
    let Some(database) = database() else { return };
    run(async {
        let (manager, client) = (open(&database.url()), open(&database.url()));
        let names = [queue_name("default"), queue_name("etl")];
        let served = async |name: &str| client.is_served(&queue_name(name)).await.unwrap();
        client.poll(&names, "here").await.unwrap();
        assert_eq!(served("default").await, Some(false), "whoever only looks serves nothing");
        let _wake = manager.watch().unwrap();
        manager.poll(&names, "here").await.unwrap();
        assert_eq!((served("default").await, served("etl").await), (Some(true), Some(true)));
        assert_eq!(served("other").await, Some(false));
        database.sql(KILL);
        manager.poll(&names, "here").await.unwrap();
        assert_eq!(served("etl").await, Some(true), "said again on the next session");
        drop(manager);
        let deadline = now() + Duration::from_secs(20);
        while served("etl").await == Some(true) {
            assert!(now() < deadline, "it is gone");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Packets that vanish: the poll notices, within its time and without help of the kernel's; afterwards it works again.
#[test]
fn f39_a_half_open_connection_is_noticed() {
    let Some(database) = database() else { return };
    let proxy = Proxy::new(database.address());
    run(async {
        let manager = open_with(&database.url_at(&proxy.address), Duration::from_secs(1));
        manager.poll(&[], "here").await.unwrap();
        proxy.set(Way::Hole);
        let started = now();
        let error = manager.poll(&[], "here").await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)) && error.is_transient(), "{error:?}");
        assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
        proxy.set(Way::Open);
        manager.poll(&[], "here").await.unwrap();
    });
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

/// A standby or a server that is going down takes no jobs; when it is the primary again, everything goes on.
#[test]
fn f41_a_read_only_server_and_its_return() {
    let Some(database) = database() else { return };
    run(async {
        let queue = open_with(&database.url(), Duration::from_millis(300));
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        database.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
        database.sql(KILL);
        let error = queue.submit(vec![job()]).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("read-only"), "{error:?}");
        let error = queue.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        // From another database: in this one even that would be refused.
        let server = Server::shared().expect("it is there");
        server.sql("postgres", &format!("ALTER DATABASE {} RESET ALL", database.name));
        database.sql(KILL);
        assert_eq!(queue.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await.unwrap(), [id]);
        queue.finish(id, Epoch(1), &[], ending(JobStatus::Succeeded)).await.unwrap();
    });
}

/// Of several addresses the one that answers is used, whichever comes first.
#[test]
fn f41_the_next_of_several_servers() {
    let Some(database) = database() else { return };
    let first = Proxy::new(database.address());
    run(async {
        let addresses = format!("{},{}", first.address, database.address());
        let queue = open(&database.url_at(&addresses));
        queue.submit(vec![job()]).await.unwrap();
        first.set(Way::Closed);
        queue.submit(vec![job()]).await.unwrap();
        assert_eq!(queue.list(&Filter::default()).await.unwrap().len(), 2);
    });
}

/// A server that cannot be reached: told within the patience, as something that may pass.
#[test]
fn f41_no_server_at_all() {
    run(async {
        let queue = open_with("postgres://qm:s3cret@127.0.0.1:1/qm", Duration::from_millis(300));
        let started = now();
        let error = queue.submit(vec![job()]).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("cannot be reached"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
        assert!(started.elapsed() < Duration::from_secs(3));
    });
}

/// Somebody stopped in the middle of a transaction: the wait is bounded, and told as something that may pass.
#[test]
fn f42_a_lock_that_is_not_given_back() {
    let Some(database) = database() else { return };
    run(async {
        let queue = open(&database.url());
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        let (holder, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        holder.batch_execute("BEGIN; SELECT FROM qmanager.job FOR UPDATE").await.unwrap();
        let (rows, leases) = ([row(0, TaskStatus::Running)], [(id, Epoch(1))]);
        let (refused, renewed) =
            tokio::join!(queue.record(id, Epoch(1), &rows), queue.renew(&leases, Duration::from_secs(60)),);
        assert!(matches!(refused, Err(Error::Busy(_))), "{refused:?}");
        assert_eq!(renewed.unwrap(), [id], "a renewal waits for no job's row");
        drop(holder);
        drop(connection.await);
        queue.record(id, Epoch(1), &[row(0, TaskStatus::Running)]).await.unwrap();
        // And ours are bounded likewise: a client of ours that is stopped holds nobody up for long.
        let limits = "SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'";
        assert_eq!(database.sql(limits), ["0"], "the server's own");
    });
}

/// Two that submit the same keys in opposite orders wait for each other; the server ends one, which does it again.
#[test]
fn f42_deadlocks_are_tried_again() {
    let Some(database) = database() else { return };
    let url = database.url();
    let submit = |reverse: bool| {
        let url = &url;
        move || {
            run(async {
                let queue = open(url);
                for turn in 0..20 {
                    // Each statement takes 1,000: the batches of one call are locked one after the other.
                    let mut jobs: Vec<_> = (0..1_100).map(|_| job()).collect();
                    for (n, new) in jobs.iter_mut().enumerate() {
                        new.key = Some(format!("{turn}-{}", if reverse { 1_100 - n } else { n + 1 }));
                    }
                    assert_eq!(queue.submit(jobs).await.unwrap().len(), 1_100);
                }
            });
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(submit(false));
        scope.spawn(submit(true));
    });
    assert_eq!(database.sql("SELECT count(*) FROM qmanager.job"), ["22000"], "each key once");
}

/// With a snapshot held open for long nothing that was claimed can be cleaned up. A claim that walked over it all leaves a
/// mark, from which the next ones start.
#[test]
fn f43_a_pinned_snapshot_and_many_jobs() {
    const CLAIMS: i64 = 100;
    let Some(database) = database() else { return };
    run(async {
        database.sql(&filled(200_000));
        let (holder, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM qmanager.job").await.unwrap();
        database.sql("UPDATE qmanager.job SET later = 9000000000000000 WHERE seq <= 199000");
        let mut claim = claim_by("default00");
        claim.dead.clear();
        let mut taken = Vec::new();
        for claims in [1, CLAIMS] {
            let before = pages(&database, open(&database.url())).await;
            let queue = open(&database.url());
            for _ in 0..claims {
                queue.claim(&claim).await.unwrap().expect("a job");
            }
            taken.push(pages(&database, queue).await - before);
        }
        assert!(taken[1] < CLAIMS * taken[0] / 5, "1 claim, then {CLAIMS}: {taken:?} pages");
        drop(holder);
        drop(connection.await);
    });
}

/// The mark is not for jobs that a claim itself has just let in before it: a key's next job comes when its place is free.
#[test]
fn f43_the_next_of_a_key_is_not_behind_the_mark() {
    let Some(database) = database() else { return };
    run(async {
        let queue = open(&database.url());
        let keyed = || {
            let key = Some(LimitKey::new("k").unwrap());
            NewJob { limit_key: key, priority: 5, ..job() }
        };
        let ids: Vec<JobId> = queue.submit(vec![keyed(), keyed()]).await.unwrap().iter().map(|done| done.id).collect();
        database.sql(&filled(200_000));
        let (holder, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM qmanager.job").await.unwrap();
        database.sql("UPDATE qmanager.job SET later = 9000000000000000 WHERE seq BETWEEN 3 AND 199000");
        let claim = |slot: &str| {
            let mut claim = claim_by(slot);
            claim.dead.clear();
            claim
        };
        let first = queue.claim(&claim("default00")).await.unwrap().unwrap().job.id;
        assert_eq!(first, ids[0]);
        // Over the dead rows: from here on there is a mark.
        assert!(!ids.contains(&queue.claim(&claim("default01")).await.unwrap().unwrap().job.id));
        let end = ending(JobStatus::Succeeded);
        let next = queue.finish_and_claim(first, Epoch(1), &[], end, &claim("default00")).await.unwrap().1;
        assert_eq!(next.unwrap().job.id, ids[1]);
        drop(holder);
        drop(connection.await);
    });
}

/// Makes so many jobs.
fn filled(jobs: u32) -> String {
    format!(
        "INSERT INTO qmanager.job (id, queue, submitter, hash, tasks, created, priority) \
         SELECT gen_random_uuid(), 'default', 'x', 'h', 1, 1, n % 3 FROM generate_series(1, {jobs}) AS n; \
         INSERT INTO qmanager.definition SELECT seq, '[]', '{{}}' FROM qmanager.job WHERE hash = 'h'"
    )
}

/// How many pages were looked at in the database so far. A session says it when it ends: those of `queue`, the only
/// other one, have.
async fn pages(database: &Database, queue: Postgres) -> i64 {
    drop(queue);
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qmanager'";
    let deadline = now() + Duration::from_secs(40);
    while database.sql(sessions) != ["0"] {
        assert!(now() < deadline, "its sessions end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pages = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()";
    database.sql(pages)[0].parse().unwrap()
}

/// What a claim takes does not depend on how many jobs wait.
#[test]
fn f84_claims_among_200_000_jobs() {
    const CLAIMS: i64 = 200;
    let Some(database) = database() else { return };
    run(async {
        database.sql(&filled(200_000));
        let mut claim = claim_by("default00");
        claim.dead.clear();
        let before = pages(&database, open(&database.url())).await;
        let queue = open(&database.url());
        for _ in 0..CLAIMS {
            let claimed = queue.claim(&claim).await.unwrap().expect("a job");
            assert_eq!(claimed.job.priority, 2);
        }
        let each = (pages(&database, queue).await - before) / CLAIMS;
        // The table has thousands; what is not the claims' own is what a new session reads of the catalogue.
        assert!(each < 200, "{each} pages a claim");
    });
}

/// A handle holds few connections; with none left for it, the error says so and passes.
#[test]
fn f44_connections_are_few_and_may_run_out() {
    let Some(database) = database() else { return };
    run(async {
        let manager = open(&database.url());
        let _wake = manager.watch().unwrap();
        let id = manager.submit(vec![job()]).await.unwrap()[0].id;
        manager.claim(&claim_by("default00")).await.unwrap().unwrap();
        for _ in 0..3 {
            manager.poll(&[], "here").await.unwrap();
            manager.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await.unwrap();
            manager.list(&Filter::default()).await.unwrap();
        }
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qmanager'";
        let held: u32 = database.sql(count)[0].parse().unwrap();
        assert!(held <= 4, "{held} connections");
        let role = format!("few_{}", database.name);
        database.sql(&format!(
            "CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; GRANT ALL ON SCHEMA qmanager TO {role}; \
             GRANT ALL ON ALL TABLES IN SCHEMA qmanager TO {role}"
        ));
        let url = database.url().replace("postgres@", &format!("{role}@"));
        let error = open_with(&url, Duration::from_millis(200)).list(&Filter::default()).await.unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("too many connections"), "{error}");
        database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}

/// A server that takes two seconds for everything: renewals are not held up by the other calls.
#[test]
fn f44_a_slow_server_loses_no_lease() {
    let Some(database) = database() else { return };
    let proxy = Proxy::new(database.address());
    run(async {
        let queue = open(&database.url_at(&proxy.address));
        let id = queue.submit(vec![job()]).await.unwrap()[0].id;
        queue.claim(&claim_by("default00")).await.unwrap().unwrap();
        queue.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await.unwrap();
        proxy.delay(Duration::from_secs(2));
        let started = now();
        let all = Filter::default();
        let (listed, renewed) = tokio::join!(queue.list(&all), async {
            let renewed = queue.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await;
            (renewed, started.elapsed())
        });
        listed.unwrap();
        assert_eq!(renewed.0.unwrap(), [id]);
        assert!(renewed.1 < Duration::from_secs(4), "{:?}", renewed.1);
    });
}

/// A worker that has had nothing to do for a while holds no connection.
#[test]
fn i15_an_idle_handle_lets_its_connections_go() {
    let Some(database) = database() else { return };
    run(async {
        let queue = open(&database.url());
        assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
        let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qmanager'";
        assert_eq!(database.sql(count), ["1"]);
        let deadline = now() + Duration::from_secs(40);
        while database.sql(count) != ["0"] {
            assert!(now() < deadline);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(queue.claim(&claim_by("default00")).await.unwrap().is_none());
    });
}

/// Of a host that is gone a job is taken when its lease has expired, and not before; the late one is fenced.
#[test]
fn a_job_of_another_host_is_taken_after_its_lease() {
    let Some(database) = database() else { return };
    run(async {
        let (gone, other) = (open(&database.url()), open(&database.url()));
        let id = gone.submit(vec![job()]).await.unwrap()[0].id;
        let there = Owner { host: "there".into(), ..owner("default00") };
        let mut first = claim_by("default00");
        (first.owner, first.ttl) = (there.clone(), Duration::from_secs(1));
        first.dead.clear();
        gone.claim(&first).await.unwrap().unwrap();
        let mut taker = claim_by("default00");
        taker.dead.push(there.clone());
        assert!(other.claim(&taker).await.unwrap().is_none(), "its lease lasts");
        assert_eq!(other.poll(&[queue_name("default")], "here").await.unwrap().expired, []);
        let taken = loop {
            if let Some(taken) = other.claim(&taker).await.unwrap() {
                break taken;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((taken.job.id, taken.job.epoch, taken.resumed), (id, Epoch(2), true));
        assert_eq!(gone.renew(&[(id, Epoch(1))], Duration::from_secs(60)).await.unwrap(), []);
        assert!(matches!(gone.record(id, Epoch(1), &[]).await, Err(Error::Fenced)));
    });
}

/// A job whose files are in a folder of one host is given to that host's workers alone, whatever its priority.
#[test]
fn a_host_local_store_binds_a_job_to_its_host() {
    let Some(database) = database() else { return };
    run(async {
        let queue = open(&database.url());
        let (mut bound, free) = (job(), job());
        bound.store = Some("fs:a-1".into());
        bound.priority = 9;
        queue.submit(vec![bound.clone(), free.clone()]).await.unwrap();
        let at = |host: &str, place: &str| {
            let mut claim = claim_by("default00");
            claim.owner.host = host.into();
            claim.dead.clear();
            claim.place = Some(place.into());
            claim
        };
        assert_eq!(queue.claim(&at("b", "fs:b-2")).await.unwrap().unwrap().job.id, free.id);
        assert!(queue.claim(&at("b", "fs:b-2")).await.unwrap().is_none());
        // The free one is bound by its first worker.
        queue.release(free.id, Epoch(1), &[]).await.unwrap();
        assert_eq!(queue.claim(&at("a", "fs:a-1")).await.unwrap().unwrap().job.id, bound.id);
        assert!(queue.claim(&at("a", "fs:a-1")).await.unwrap().is_none());
        assert_eq!(queue.claim(&at("b", "fs:b-2")).await.unwrap().unwrap().job.id, free.id);
    });
}

/// Sixteen at once from a queue with a limit: never more under way than it says, counted from the leases.
#[test]
fn i17_a_limit_holds_for_all_hosts_at_once() {
    let Some(database) = database() else { return };
    let url = database.url();
    run(async {
        let queue = open(&url);
        queue.submit((0..64).map(|_| job()).collect()).await.unwrap();
        queue.limit(&queue_name("default"), Some(3)).await.unwrap();
    });
    let most = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for n in 0..16 {
            let (url, most) = (&url, Arc::clone(&most));
            scope.spawn(move || {
                run(async {
                    let queue = open(url);
                    let mut claim = claim_by(&format!("default{n:02}"));
                    claim.dead.clear();
                    loop {
                        let Some(claimed) = queue.claim(&claim).await.unwrap() else {
                            let row = queue.queues().await.unwrap().remove(0);
                            if row.queued == 0 {
                                break;
                            }
                            continue;
                        };
                        let running = queue.queues().await.unwrap()[0].running;
                        most.fetch_max(usize::try_from(running).unwrap(), Ordering::Relaxed);
                        let end = ending(JobStatus::Succeeded);
                        queue.finish(claimed.job.id, Epoch(1), &[], end).await.unwrap();
                    }
                });
            });
        }
    });
    assert_eq!(most.load(Ordering::Relaxed), 3);
}

/// A pooler between us and the server, whether it refuses what our sessions are started with or drops it: found at the first
/// call, and refused with the remedy.
#[test]
fn f40_a_pooler_is_refused() {
    let Some(database) = database() else { return };
    for dropped in ["extra_float_digits", "extra_float_digits, options"] {
        let Some(pooler) = Pooler::start(&database, dropped) else { return };
        run(async {
            let error = open(&database.url_at(&pooler.address)).list(&Filter::default()).await.unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, Error::Unusable(_)) && text.contains("pooler") && text.contains("server itself"),
                "{text}"
            );
        });
    }
}

/// A pgbouncer in front of a database, with transaction pooling.
struct Pooler {
    address: String,
    process: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// `None` where there is no pgbouncer; that is told.
    #[expect(clippy::disallowed_methods, reason = "a service for a test")]
    #[expect(clippy::print_stdout, reason = "a skip must be seen, and is counted by what it prints")]
    fn start(database: &Database, dropped: &str) -> Option<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let Some(program) =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| std::path::Path::new(path).exists())
        else {
            assert!(std::env::var("CI").is_err(), "with CI=true pgbouncer must be there");
            println!("skipped: no pgbouncer (Debian's package of that name)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (host, server_port) = database.address().split_once(':').unwrap();
        let settings = format!(
            "[databases]\n* = host={host} port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nauth_type = any\npool_mode = transaction\nunix_socket_dir =\n\
             ignore_startup_parameters = {dropped}\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).unwrap();
        // It refuses to be root.
        let mut command = if rustix::process::getuid().is_root() {
            let mut command = std::process::Command::new("setpriv");
            command.args(["--reuid=65534", "--clear-groups", program]);
            command
        } else {
            std::process::Command::new(program)
        };
        let process = command.arg("-q").arg(&file).stderr(std::process::Stdio::null()).spawn().unwrap();
        let pooler = Self { address: format!("127.0.0.1:{port}"), process, _folder: folder };
        let deadline = now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&pooler.address).is_err() {
            assert!(now() < deadline, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
