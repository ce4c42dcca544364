//! A whole run: hosts, load, faults, quiet, evidence.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    thread,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::{
    audit::Database,
    client::Clients,
    clock::{self, SECOND},
    dice::Dice,
    evidence::{About, Evidence, Folder},
    host::{Host, Setting},
    nemesis::{Kind, Nemesis, World},
    plan::{JobPlan, SECRET},
    server::{Psql, Server},
    snapshot,
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
    /// QManagers.
    pub managers: u32,
    /// Workers of each.
    pub workers: u32,
    /// So many in a million calls of the queue fail.
    pub store_faults: u32,
    /// Only these kinds of faults, if any are named.
    pub kinds: Vec<Kind>,
    /// The folder of the programs under test.
    pub programs: PathBuf,
    /// Where the evidence goes; short, since sockets are below it. Nothing may be there yet.
    pub folder: PathBuf,
}

/// The value that must stand nowhere.
const CANARY: &str = "canary-5d1f0c7a9e";
/// Load without faults, at the beginning: what the control queue is compared with.
const BASELINE: i64 = 8 * SECOND;
/// Beside lease, sweep and retries: how long quiet may take to come.
const QUIET: i64 = 60 * SECOND;
/// What a machine with two cores may need for what takes no time.
const SLACK: i64 = 1_500_000;
/// Bytes of a host's own file system, where there is one.
const DISK: &str = "size=512m,mode=0700";

/// Runs, and answers the evidence, which is also in the folder.
///
/// # Errors
/// The run could not be made. (What it proves is for the checker to say.)
pub fn run(wanted: &Wanted) -> Result<Evidence> {
    let form = Form {
        run: format!("{}-{}", wanted.seed, std::process::id()),
        programs: wanted.programs.clone(),
        folder: wanted.folder.clone(),
        workers: wanted.workers,
        ..Form::default()
    };
    let (setting, server) = with_database(set_up(&form)?, wanted.db.as_deref())?;
    let setting = Arc::new(setting);
    if wanted.store_faults > 0 {
        let points = setting.programs.join("failpoints");
        fs::create_dir(&points)?;
        fs::write(points.join("rate"), format!("{} {}", wanted.seed, wanted.store_faults))?;
    }
    let disks = Disks::mount(&setting.folder, wanted.managers);
    let evidence = Folder(setting.folder.clone());
    let hosts: Result<Vec<Host>> = (0..wanted.managers).map(|n| Host::new(Arc::clone(&setting), n)).collect();
    let mut hosts = hosts?;
    if matches!(setting.db, Database::Postgres(_)) {
        let made = setting.qmanager("h0", &["queue", "migrate"]).status()?;
        ensure!(made.success(), "the queue's database cannot be made");
        setting.db.install()?;
    }
    for host in &mut hosts {
        host.start()?;
    }
    ensure!(
        hosts.iter_mut().all(Host::wait_ready),
        "a daemon does not start; see its log in {}",
        setting.folder.display()
    );
    if matches!(setting.db, Database::Sqlite(_)) {
        setting.db.install()?;
    }

    let dice = Dice::new(wanted.seed);
    let clients = Clients::new(Arc::clone(&setting), evidence.clone(), hosts.len());
    let began = clock::mono();
    let world = World {
        setting: Arc::clone(&setting),
        hosts,
        evidence: evidence.clone(),
        clients: Arc::clone(&clients.submitting),
        server: server.as_ref().map(Arc::clone),
        own_disk: disks.is_some(),
    };
    let (mut hosts, faults) = thread::scope(|scope| -> Result<_> {
        let clients = &clients;
        let jobs = [
            scope.spawn(|| clients.submit_random("a", dice.part("a"))),
            scope.spawn(|| clients.submit_random("b", dice.part("b"))),
            scope.spawn(|| clients.submit_control(dice.part("control"))),
            scope.spawn(|| clients.change(dice.part("change"))),
            scope.spawn(|| clients.look(dice.part("look"))),
        ];
        let mut nemesis = Nemesis::new(dice.part("faults"), world, &wanted.kinds);
        clock::pass(BASELINE.min(wanted.length / 3));
        let begin = clock::mono();
        let injected = nemesis.run(wanted.every, began + wanted.length);
        clients.over.store(true, Ordering::Relaxed);
        for job in jobs {
            job.join().map_err(|_| anyhow::anyhow!("a client failed"))??;
        }
        injected?;
        Ok((nemesis.into_world().hosts, (begin, clock::mono())))
    })?;
    let phases = [began, faults.0, faults.1, wait_for_quiet(&setting, &mut hosts)?];
    stop(&mut hosts);
    let about = About { phases, ..about(&setting, wanted.seed, wanted.managers) };
    let collected = collect(&setting, &hosts, &about, &evidence);
    // Not before: what it holds is evidence.
    drop(server);
    collected
}

/// What a run is made of.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) run: String,
    pub(crate) programs: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) lease_ms: i64,
    pub(crate) grace_ms: i64,
    pub(crate) workers: u32,
    pub(crate) parallel: u32,
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
    for name in ["qmanager", "qworker", "task-executor", "proof"] {
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
    })
}

/// What is known of a run from its setting; its phases are not.
pub(crate) fn about(setting: &Setting, seed: u64, managers: u32) -> About {
    About {
        run: setting.run.clone(),
        seed,
        db: if matches!(setting.db, Database::Sqlite(_)) { "sqlite" } else { "postgres" }.into(),
        managers,
        workers: setting.workers,
        parallel: setting.parallel,
        lease: setting.lease_ms * 1_000,
        grace: setting.grace_ms * 1_000,
        poll: SECOND,
        offset: clock::wall() - clock::mono(),
        phases: [0; 4],
        slack: SLACK,
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
fn wait_for_quiet(setting: &Setting, hosts: &mut [Host]) -> Result<i64> {
    for host in hosts.iter_mut() {
        if host.pid().is_none() {
            host.start()?;
        }
    }
    clock::until(QUIET + setting.lease_ms * 1_000, || setting.db.open_jobs().is_ok_and(|open| open == 0));
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
    evidence.put("snapshot.json", &snapshot::take(&setting.folder, hosts, &jobs, &plans, CANARY))?;
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
