//! The checks, one function each.

use std::{fs, path::Path, time::Duration};

use job_queue::{OpenOptions, Postgres, Sqlite};
use task_process::aside::{self, Answer, Question};
use workflow_model::{ExecutorKind, format_size};

use super::{
    Context, Finding,
    elf::{self, Linkage},
};
use crate::{
    cli::DoctorArgs,
    commands::engine,
    exit::Error,
    layout::Layout,
    manager::ManagerState,
    output::now,
    text::{counted, safe},
};

/// Less free space than this is worth a word.
const SPACE: u64 = 1 << 30;
/// Fewer descriptors than this do not carry many tasks at once.
const DESCRIPTORS: u64 = 1024;
/// A WAL that is larger has been held by a reader (F33).
const WAL: u64 = 64 << 20;
/// Seconds after which an open transaction is worth a warning (F43).
const OLD_TRANSACTION: u64 = 300;

pub(super) async fn all(context: &Context, args: &DoctorArgs) -> Result<Vec<Finding>, Error> {
    let layout = context.layout()?;
    let mut findings = vec![configuration(context)?];
    findings.extend(folders(&layout));
    findings.push(socket_paths(&layout));
    findings.extend(queue(context).await);
    findings.push(daemon(&layout));
    let kind = args.executor.unwrap_or(ExecutorKind::Shell);
    findings.extend(programs(context, kind));
    findings.push(cgroups());
    if kind == ExecutorKind::Docker {
        findings.extend(docker(context)?);
    }
    findings.extend(limits());
    findings.push(clock(context).await);
    Ok(findings)
}

fn configuration(context: &Context) -> Result<Finding, Error> {
    let loaded = context.loaded()?;
    let files: Vec<String> = loaded.files.iter().map(|file| safe(&file.display().to_string()).into_owned()).collect();
    let others = [("kube", &loaded.config.executors.kube), ("api", &loaded.config.executors.api)];
    let unread: Vec<&str> = others.iter().filter(|(_, table)| !table.is_empty()).map(|(name, _)| *name).collect();
    if !unread.is_empty() {
        let what = format!("[executors.{}] is not read", unread.join("], [executors."));
        return Ok(Finding::warn("configuration", what, "this build has the executors shell and docker"));
    }
    Ok(Finding::ok("configuration", if files.is_empty() { "built-in".into() } else { files.join(", ") }))
}

fn folders(layout: &Layout) -> Vec<Finding> {
    if let Err(error) = layout.create() {
        let help = "name another with --state-dir, or give this one to your user";
        let what = format!("{}: {}", safe(&error.path.to_string_lossy()), error.source);
        return vec![Finding::fail("state-dir", what, help)];
    }
    let path = layout.state_dir();
    let shown = safe(&path.display().to_string()).into_owned();
    let mut findings = vec![match rustix::fs::statvfs(path) {
        Ok(stat) if stat.f_bavail.saturating_mul(stat.f_frsize) < SPACE => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 20;
            Finding::warn("state-dir", format!("{shown}: {free} MiB are free"), "make room, or `qmanager prune`")
        }
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize) >> 30;
            Finding::ok("state-dir", format!("{shown}, {free} GiB free"))
        }
        Err(error) => Finding::warn("state-dir", format!("{shown}: {error}"), "its free space is not known"),
    }];
    findings.push(file_system(path));
    findings.push(Finding::ok("run-dir", safe(&layout.run_dir().display().to_string()).into_owned()));
    findings
}

/// Locks, and so the queue, need a local file system.
fn file_system(path: &Path) -> Finding {
    // Magic numbers of statfs(2).
    const NETWORK: &[(u64, &str)] = &[
        (0x6969, "NFS"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x0102_1997, "9p"),
        (0x6573_5546, "FUSE"),
        (0x00c3_6400, "Ceph"),
        (0x7461_636f, "OCFS2"),
        (0x0bd0_0bd0, "Lustre"),
    ];
    let Ok(stat) = rustix::fs::statfs(path) else {
        return Finding::warn("file system", "cannot be told", "keep the state-dir on a local disk");
    };
    let kind = u64::try_from(stat.f_type).unwrap_or(0) & 0xffff_ffff;
    match NETWORK.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Finding::fail(
            "file system",
            format!("the state-dir is on {name}, whose locks cannot be relied on"),
            "name a folder on a local disk with --state-dir",
        ),
        None => Finding::ok("file system", "local"),
    }
}

fn socket_paths(layout: &Layout) -> Finding {
    const LONGEST: usize = task_process::MAX_SOCKET_PATH;
    // `/` + a queue's name + worker number + `.ipc`.
    let length = layout.run_dir().as_os_str().len() + 1 + "default".len() + 2 + 4;
    if length > LONGEST {
        let what = format!("sockets would have paths of {length} bytes; {LONGEST} is the most");
        return Finding::fail("sockets", what, "name a shorter --state-dir, or a shorter TMPDIR");
    }
    Finding::ok("sockets", format!("paths of {length} of at most {LONGEST} bytes"))
}

async fn queue(context: &Context) -> Vec<Finding> {
    let path = match context.database_file() {
        Ok(Some(path)) => path,
        Ok(None) => return server(context).await,
        Err(error) => return vec![Finding::fail("queue", error.what, "see `qmanager config --origin`")],
    };
    let help = "`qmanager queue migrate` says more";
    if let Err(error) = context.queue() {
        let causes = error.causes().join(": ");
        return vec![Finding::fail("queue", format!("{} {causes}", error.what).trim_end().to_owned(), help)];
    }
    let options = OpenOptions { create: false, busy_timeout: Duration::from_secs(2), ..OpenOptions::default() };
    let health = match Sqlite::open(&path, &options) {
        Ok(queue) => queue.health().await,
        Err(error) => Err(error),
    };
    match health {
        Err(error) => vec![Finding::fail("queue", error.to_string(), help)],
        Ok(health) if !health.problems.is_empty() => {
            let first = health.problems.first().map_or("", String::as_str);
            let what = format!("{} is damaged: {}", path.display(), safe(first));
            vec![Finding::fail("queue", what, "stop the daemon and put a backup in its place")]
        }
        Ok(health) => {
            let jobs = counted(usize::try_from(health.jobs).unwrap_or(usize::MAX), "job");
            let size = format!("{jobs}, {} KiB", health.bytes >> 10);
            let mut findings = vec![Finding::ok("queue", format!("{}: {size}", safe(&path.display().to_string())))];
            findings
                .push(Finding::ok("SQLite", format!("{} (at least 3.51.3), schema {}", health.sqlite, health.schema)));
            if health.wal_bytes > WAL {
                let what = format!("its WAL has {} MiB: somebody reads for a long time", health.wal_bytes >> 20);
                findings.push(Finding::warn("queue", what, "end whoever holds the database open"));
            }
            findings
        }
    }
}

/// The queue of many hosts.
async fn server(context: &Context) -> Vec<Finding> {
    const HELP: &str = "docs/postgres.md says what the server and its user need";
    let opened = context.config().and_then(|config| {
        let options = OpenOptions { busy_timeout: Duration::from_secs(2), ..context.open_options()? };
        Ok((job_queue::shown_url(config.db_url()), Postgres::open(config.db_url(), &options)?))
    });
    let (shown, queue) = match opened {
        Ok(opened) => opened,
        Err(error) => return vec![Finding::fail("queue", error.what, HELP)],
    };
    let health = match queue.health().await {
        Ok(health) => health,
        Err(error) => return vec![Finding::fail("queue", error.to_string(), HELP)],
    };
    let jobs = counted(usize::try_from(health.jobs).unwrap_or(usize::MAX), "job");
    let encrypted = if health.encrypted { "encrypted" } else { "not encrypted" };
    let mut findings = vec![
        Finding::ok("queue", format!("{}: about {jobs}, {} KiB", safe(&shown), health.bytes >> 10)),
        Finding::ok("PostgreSQL", format!("{}, schema {}, {encrypted}", safe(&health.server), health.schema)),
    ];
    if health.oldest_transaction > OLD_TRANSACTION {
        let what =
            format!("a transaction has been open for {} s: the server cannot clean up", health.oldest_transaction);
        findings.push(Finding::warn("queue", what, "pg_stat_activity shows whose it is: end it"));
    }
    match context.place() {
        Ok(Some(place)) => findings
            .push(Finding::ok("store", format!("{} (the same on all hosts that see this folder)", safe(&place)))),
        Ok(None) => {}
        Err(error) => findings.push(Finding::fail("store", error.what, "see `qmanager config --origin`")),
    }
    findings
}

fn daemon(layout: &Layout) -> Finding {
    match ManagerState::read(layout) {
        None => Finding::warn("daemon", "none runs here", "`qmanager start -d` (or `qmanager run`, which needs none)"),
        Some(state) => {
            let up = state.workers.iter().filter(|worker| worker.pid.is_some()).count();
            let problem = state.degraded.or_else(|| state.workers.into_iter().find_map(|worker| worker.degraded));
            match problem {
                Some(problem) => Finding::fail("daemon", safe(&problem).into_owned(), "`qmanager status` says more"),
                None => Finding::ok("daemon", format!("process {}, {}", state.process.pid, counted(up, "worker"))),
            }
        }
    }
}

fn programs(context: &Context, kind: ExecutorKind) -> Vec<Finding> {
    if let Err(error) = engine::usable(context, kind) {
        return vec![Finding::fail("executor", error.what, error.hints.join("; "))];
    }
    let mut findings = vec![Finding::ok("executor", kind.as_str())];
    for name in ["qworker", context.registry.program(kind)] {
        match engine::program(context, name) {
            Ok(path) => findings.push(linkage(name, &path)),
            Err(error) => findings.push(Finding::fail("programs", error.what, error.hints.join("; "))),
        }
    }
    if kind == ExecutorKind::Shell && !Path::new("/bin/sh").exists() {
        let help = "install a shell, or write commands as lists";
        findings.push(Finding::fail("shell", "there is no /bin/sh: `command` texts cannot run", help));
    }
    findings
}

/// The engine, as the program sees it that speaks to engines.
fn docker(context: &Context) -> Result<Vec<Finding>, Error> {
    let Ok(program) = engine::program(context, context.registry.program(ExecutorKind::Docker)) else {
        return Ok(Vec::new()); // said already
    };
    let settings = &context.config()?.executors.docker;
    let host = executor::engine_address(settings, &engine::ambient(context));
    let answer = aside::ask(&program, &Question::Doctor { host, init: settings.init });
    let finding = |found: aside::Finding| {
        let what = safe(&found.what).into_owned();
        match (found.usable, found.help.is_empty()) {
            (false, _) => Finding::fail("docker", what, found.help),
            (true, false) => Finding::warn("docker", what, found.help),
            (true, true) => Finding::ok("docker", what),
        }
    };
    Ok(match answer {
        Ok(Answer::Findings(found)) => found.into_iter().map(finding).collect(),
        Ok(_) => vec![Finding::fail("docker", "no answer of this kind", "install all programs together")],
        Err(why) => vec![Finding::fail("docker", why, "install all programs together")],
    })
}

fn linkage(name: &'static str, path: &Path) -> Finding {
    let shown = safe(&path.display().to_string()).into_owned();
    let slower = "build with the flags of .cargo/config.toml (+crt-static, relocation-model=static)";
    match elf::linkage(path) {
        Some(Linkage::Static) => Finding::ok("programs", format!("{shown}: static, non-PIE")),
        // Only the task executor is started once per task.
        _ if name != "task-executor" => Finding::ok("programs", shown),
        Some(Linkage::StaticPie) => {
            Finding::warn("programs", format!("{shown} is a PIE: each task starts slower"), slower)
        }
        Some(Linkage::Dynamic) => {
            Finding::warn("programs", format!("{shown} is linked dynamically: each task starts slower"), slower)
        }
        None => Finding::warn("programs", format!("{shown} is no ELF program"), "install qmanager's own"),
    }
}

fn cgroups() -> Finding {
    const ROOT: &str = "/sys/fs/cgroup";
    if !Path::new(ROOT).join("cgroup.controllers").exists() {
        return Finding::warn(
            "cgroups",
            "no cgroup v2: a task's tree is ended by process group, subreaper and environment marker",
            "nothing need be done; `resources.memory` is not enforced",
        );
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned();
    let folder = Path::new(ROOT).join(own.trim_start_matches('/'));
    let writable = rustix::fs::access(folder.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok();
    if writable {
        Finding::ok("cgroups", format!("v2, ours to use: {}", safe(&own)))
    } else {
        Finding::warn(
            "cgroups",
            "v2, but this user may make none: memory limits are not enforced",
            "run under `systemd-run --user --scope -p Delegate=yes`, or as a service with Delegate=yes",
        )
    }
}

fn limits() -> Vec<Finding> {
    use rustix::process::{Resource, getrlimit};
    let mut findings = Vec::new();
    let files = getrlimit(Resource::Nofile).current;
    findings.push(match files {
        Some(files) if files < DESCRIPTORS => {
            Finding::warn("descriptors", format!("{files} at most"), "raise it: ulimit -n 65536, or LimitNOFILE=")
        }
        Some(files) => Finding::ok("descriptors", format!("{files} at most")),
        None => Finding::ok("descriptors", "no limit"),
    });
    let processes = getrlimit(Resource::Nproc).current;
    findings.push(match processes {
        Some(processes) if processes < 256 => {
            Finding::warn("processes", format!("{processes} at most"), "raise it: ulimit -u, or TasksMax=")
        }
        Some(processes) => Finding::ok("processes", format!("{processes} at most")),
        None => Finding::ok("processes", "no limit"),
    });
    if let Some(size) = getrlimit(Resource::Fsize).current {
        let what = format!("no file may be larger than {}", format_size(size));
        findings.push(Finding::warn("file size", what, "raise it: ulimit -f unlimited"));
    }
    findings
}

/// Times in the queue are this host's; a job from the future means that a clock was set back.
async fn clock(context: &Context) -> Finding {
    let newest = match context.queue_if_any() {
        Ok(Some(queue)) => {
            let filter = job_queue::Filter { limit: Some(1), ..job_queue::Filter::default() };
            queue.list(&filter).await.ok().and_then(|jobs| jobs.into_iter().next())
        }
        _ => None,
    };
    let ahead = newest.map_or(0, |job| job.created.saturating_sub(now()));
    if ahead > 1_000_000 {
        let what = format!("the newest job was submitted {} s in the future", ahead / 1_000_000);
        return Finding::warn(
            "clock",
            what,
            "the clock was set back: check NTP; leases use the boot clock and are not harmed",
        );
    }
    Finding::ok("clock", crate::output::local(now()))
}
