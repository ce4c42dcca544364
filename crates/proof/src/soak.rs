//! A whole run: hosts, load, faults, quiet, evidence.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{
    audit::Database,
    client::Clients,
    clock::{self, SECOND},
    dice::Dice,
    engine::Engine,
    evidence::{About, Evidence, Folder},
    ground,
    host::{Host, Setting},
    nemesis::{Kind, Nemesis, World},
    plan::{JobPlan, SECRET},
    proxy::Proxy,
    server::{Psql, Server},
    snapshot, witness,
};

/// What run is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The seed of all choices.
    pub seed: u64,
    /// How long load and faults last, in microseconds.
    pub length: i64,
    /// Between two faults, in microseconds.
    pub every: i64,
    /// The database: `None` = SQLite, else a URL, or `postgres` for a server of the run's own.
    pub db: Option<String>,
    /// The script that starts a Docker engine, if tasks are to run in containers.
    pub engine: Option<PathBuf>,
    /// QManagers.
    pub managers: u32,
    /// Workers of each.
    pub workers: u32,
    /// The lease, in milliseconds.
    pub lease_ms: i64,
    /// So many in a million calls of the queue fail.
    pub store_faults: u32,
    /// Only these kinds of faults, if any are named.
    pub kinds: Vec<Kind>,
    /// A bug that the programs are to have (they must have `failpoints`).
    pub bug: Option<&'static str>,
    /// The longest time between two things that users do to jobs (cancel, retry), in microseconds.
    pub meddling: i64,
    /// Beside the lease: how long quiet may take to come, in microseconds.
    pub quiet: i64,
    /// The folder of the programs under test.
    pub programs: PathBuf,
    /// Where the evidence goes; short, since sockets are below it. Nothing may be there yet.
    pub folder: PathBuf,
    /// Set, it ends load and faults before their time.
    pub enough: Arc<AtomicBool>,
}

impl Wanted {
    /// A minute on SQLite with one QManager of three workers, and a fault every five seconds.
    #[must_use]
    pub fn new(programs: PathBuf) -> Self {
        let Form { workers, lease_ms, .. } = Form::default();
        Self {
            seed: 1,
            length: 60 * SECOND,
            every: 5 * SECOND,
            db: None,
            engine: None,
            managers: 1,
            workers,
            lease_ms,
            store_faults: 0,
            kinds: Vec::new(),
            bug: None,
            meddling: 1_200_000,
            quiet: QUIET,
            programs,
            folder: PathBuf::new(),
            enough: Arc::default(),
        }
    }
}

/// The value that must stand nowhere.
const CANARY: &str = "canary-5d1f0c7a9e";
/// Load without faults, at the beginning: what the control queue is compared with.
const BASELINE: i64 = 8 * SECOND;
/// Beside the lease: how long quiet may take to come, for sweep and retries.
const QUIET: i64 = 60 * SECOND;
/// What a machine with two cores may need for what takes no time.
const SLACK: i64 = 1_500_000;
/// The same where a task is a container.
const CONTAINER_SLACK: i64 = 8 * SECOND;
/// Bytes of a host's own file system, where there is one.
const DISK: &str = "size=512m,mode=0700";

/// Runs, and answers the evidence, which is also in the folder.
///
/// # Errors
/// The run could not be made. (What it proves is for the checker to say.)
pub fn run(wanted: &Wanted) -> Result<Evidence> {
    let form = Form {
        run: format!("{}-{}{}", wanted.seed, std::process::id(), wanted.bug.unwrap_or_default()),
        programs: wanted.programs.clone(),
        folder: wanted.folder.clone(),
        workers: wanted.workers,
        lease_ms: wanted.lease_ms,
        ..Form::default()
    };
    let (mut setting, server) = with_database(set_up(&form)?, wanted.db.as_deref())?;
    if let Some(script) = &wanted.engine {
        // Not in the run's folder: it keeps what it is told, secrets too.
        let folder = std::env::temp_dir().join(format!("qmd-{}", std::process::id()));
        setting.engine = Some(Arc::new(Engine::start(script, folder)?));
        // A file that is not there would be made as a folder.
        fs::write(witness::path(&setting.folder), "")?;
    }
    let setting = Arc::new(setting);
    let points = setting.programs.join("failpoints");
    if wanted.store_faults > 0 || wanted.bug.is_some() {
        fs::create_dir(&points)?;
        fs::write(points.join("rate"), format!("{} {}", wanted.seed, wanted.store_faults))?;
    }
    if let Some(bug) = wanted.bug {
        fs::write(points.join("bug"), bug)?;
    }
    let disks = Disks::mount(&setting.folder, wanted.managers);
    let evidence = Folder(setting.folder.clone());
    let (mut hosts, proxies) = make_hosts(&setting, server.as_deref(), wanted.managers)?;
    ground::before_the_start(&setting)?;
    for host in &mut hosts {
        host.start()?;
    }
    for host in &mut hosts {
        ground::serves(host, &setting.folder)?;
    }
    ground::after_the_start(&setting)?;

    let dice = Dice::new(wanted.seed);
    let clients = Clients::new(Arc::clone(&setting), evidence.clone(), hosts.len());
    let began = clock::mono();
    let world = World {
        setting: Arc::clone(&setting),
        hosts,
        evidence: evidence.clone(),
        clients: Arc::clone(&clients.submitting),
        server: server.as_ref().map(Arc::clone),
        proxies,
        own_disk: disks.is_some(),
    };
    let (mut hosts, faults) = thread::scope(|scope| -> Result<_> {
        let clients = &clients;
        let jobs = [
            scope.spawn(|| clients.submit_random("a", dice.part("a"))),
            scope.spawn(|| clients.submit_random("b", dice.part("b"))),
            scope.spawn(|| clients.submit_control(dice.part("control"))),
            scope.spawn(|| clients.change(dice.part("change"), wanted.meddling)),
            scope.spawn(|| clients.look(dice.part("look"))),
        ];
        let mut nemesis = Nemesis::new(dice.part("faults"), world, &wanted.kinds);
        clock::pass(BASELINE.min(wanted.length / 3));
        let begin = clock::mono();
        let injected = nemesis.run(wanted.every, began + wanted.length, &wanted.enough);
        clients.over.store(true, Ordering::Relaxed);
        for job in jobs {
            job.join().map_err(|_| anyhow::anyhow!("a client failed"))??;
        }
        injected?;
        Ok((nemesis.into_world().hosts, (begin, clock::mono())))
    })?;
    let phases = [began, faults.0, faults.1, wait_for_quiet(&setting, &mut hosts, wanted.quiet)?];
    stop(&mut hosts);
    let about = About { phases, ..about(&setting, wanted.seed, wanted.managers) };
    let collected = collect(&setting, &hosts, &about, &evidence);
    // Not before: what it holds is evidence.
    drop(server);
    collected
}

/// The hosts; with a server of the run's own, each has its own way to it.
fn make_hosts(setting: &Arc<Setting>, server: Option<&Server>, count: u32) -> Result<(Vec<Host>, Vec<Proxy>)> {
    let (mut hosts, mut proxies) = (Vec::new(), Vec::new());
    for number in 0..count {
        let setting = Arc::clone(setting);
        hosts.push(match server {
            None => Host::new(setting, number)?,
            Some(server) => {
                let proxy = Proxy::start(server.port())?;
                let url = setting.db.url_through(proxy.port());
                proxies.push(proxy);
                Host::with_queue(setting, number, &url)?
            }
        });
    }
    Ok((hosts, proxies))
}

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Form {
    /// Its id.
    pub run: String,
    /// The folder of the programs under test.
    pub programs: PathBuf,
    /// Where everything of it goes; not there yet.
    pub folder: PathBuf,
    /// The lease, in milliseconds.
    pub lease_ms: i64,
    /// Between TERM and KILL, in milliseconds.
    pub grace_ms: i64,
    /// Workers of queue `work`.
    pub workers: u32,
    /// Tasks at once on a host, in queue `work`.
    pub parallel: u32,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            run: String::new(),
            programs: PathBuf::new(),
            folder: PathBuf::new(),
            lease_ms: 6_000,
            grace_ms: 1_000,
            workers: 3,
            parallel: 4,
        }
    }
}

/// Makes the run's folder, with the programs in it.
pub(crate) fn set_up(form: &Form) -> Result<Setting> {
    let folder = form.folder.clone();
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let programs = folder.join("bin");
    fs::create_dir_all(&programs)?;
    fs::create_dir_all(folder.join("secrets"))?;
    fs::write(folder.join("secrets").join(SECRET), CANARY)?;
    for name in ["qmanager", "qworker", "task-executor", "task-executor-sdk", "proof"] {
        let from = form.programs.join(name);
        let to = programs.join(name);
        // A link where that is possible: the next build makes a new file.
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .with_context(|| from.display().to_string())?;
    }
    Ok(Setting {
        run: form.run.clone(),
        db: Database::Sqlite(folder.join("h0").join("queue.db")),
        folder,
        programs,
        lease_ms: form.lease_ms,
        grace_ms: form.grace_ms,
        workers: form.workers,
        parallel: form.parallel,
        engine: None,
    })
}

/// What is known of a run from its setting; its phases are not.
pub(crate) fn about(setting: &Setting, seed: u64, managers: u32) -> About {
    About {
        run: setting.run.clone(),
        seed,
        db: if matches!(setting.db, Database::Sqlite(_)) { "sqlite" } else { "postgres" }.into(),
        docker: setting.engine.is_some(),
        managers,
        workers: setting.workers,
        parallel: setting.parallel,
        lease: setting.lease_ms * 1_000,
        grace: setting.grace_ms * 1_000,
        poll: SECOND,
        offset: clock::wall() - clock::mono(),
        phases: [0; 4],
        slack: if setting.engine.is_some() { CONTAINER_SLACK } else { SLACK },
        faults: true,
    }
}

/// The run with its database, and the server if that is the run's own.
fn with_database(mut setting: Setting, db: Option<&str>) -> Result<(Setting, Option<Arc<Server>>)> {
    match db {
        None => Ok((setting, None)),
        Some("postgres") => {
            let server = Server::start(&setting.folder.join("server"))?;
            setting.db = Database::Postgres(Psql(server.url()));
            Ok((setting, Some(Arc::new(server))))
        }
        Some(url) => {
            setting.db = Database::Postgres(Psql(url.into()));
            Ok((setting, None))
        }
    }
}

/// Waits until no job is open; answers when that was.
fn wait_for_quiet(setting: &Setting, hosts: &mut [Host], quiet: i64) -> Result<i64> {
    for host in hosts.iter_mut() {
        if host.pid().is_none() {
            host.start()?;
        }
    }
    clock::until(quiet + setting.lease_ms * 1_000, || setting.db.open_jobs().is_ok_and(|open| open == 0));
    Ok(clock::mono())
}

/// Stops the hosts, and waits until their processes are gone.
pub(crate) fn stop(hosts: &mut [Host]) {
    for host in hosts.iter_mut() {
        host.signal(Signal::TERM);
        host.wait(60 * SECOND);
    }
    clock::until(5 * SECOND, || hosts.iter().all(|host| host.processes().is_empty()));
}

/// Puts the evidence into the folder, and reads all of it.
pub(crate) fn collect(setting: &Setting, hosts: &[Host], about: &About, evidence: &Folder) -> Result<Evidence> {
    evidence.put("about.json", about)?;
    evidence.put("audit.json", &setting.db.changes()?)?;
    let jobs = setting.db.jobs()?;
    evidence.put("jobs.json", &jobs)?;
    evidence.put("health.json", &setting.db.health()?)?;
    let plans = fs::read_to_string(setting.folder.join("plans.jsonl")).unwrap_or_default();
    let plans: Vec<JobPlan> = plans.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    evidence.put("snapshot.json", &snapshot::take(setting, hosts, &jobs, &plans, CANARY))?;
    evidence.read()
}

/// File systems of their own for the state-dirs, so that they can be full. Gone with this.
#[derive(Debug)]
struct Disks(Vec<PathBuf>);

impl Disks {
    /// `None` where we may not mount.
    fn mount(folder: &Path, hosts: u32) -> Option<Self> {
        let mut disks = Self(Vec::new());
        for number in 0..hosts {
            let disk = folder.join(format!("h{number}"));
            fs::create_dir_all(&disk).ok()?;
            let options = std::ffi::CString::new(DISK).ok()?;
            rustix::mount::mount("tmpfs", &disk, "tmpfs", rustix::mount::MountFlags::empty(), Some(&*options)).ok()?;
            disks.0.push(disk);
        }
        Some(disks)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for disk in &self.0 {
            // What is on it is evidence: it is kept beside.
            let kept = disk.with_extension("kept");
            drop(copy(disk, &kept));
            rustix::mount::unmount(disk, rustix::mount::UnmountFlags::DETACH).ok();
            drop(fs::remove_dir(disk));
            drop(fs::rename(kept, disk));
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
