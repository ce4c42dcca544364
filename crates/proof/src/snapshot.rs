//! S: what is left on the hosts after the last stop, and what stands in their files.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    audit::JobEnd,
    host::{Host, Setting},
    plan::{self, Body, JobPlan},
};

/// What was found after the stop.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Processes, sockets, locks and temporary files that should not be there.
    pub left: Vec<String>,
    /// Files in which the secret stands.
    pub secrets: Vec<String>,
    /// Panics in what the daemons wrote.
    pub panics: Vec<String>,
    /// Daemons that ended without being told to.
    pub surprises: Vec<String>,
    /// Logs that are not what their task wrote.
    pub logs: Vec<WrongLog>,
    /// How many logs were compared.
    pub logs_compared: usize,
}

/// A log that is not what its task wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WrongLog {
    /// The attempt: job, task, attempt.
    pub attempt: (String, usize, u32),
    /// Whether its end is missing, and nothing else is wrong.
    pub cut: bool,
}

/// Looks at everything.
#[must_use]
pub fn take(setting: &Setting, hosts: &[Host], jobs: &[JobEnd], plans: &[JobPlan], secret: &str) -> Snapshot {
    let folder: &Path = &setting.folder;
    let mut snapshot = Snapshot::default();
    if let Some(engine) = &setting.engine {
        match engine.containers(true) {
            Ok(left) => snapshot.left.extend(left.iter().map(|container| format!("{container:?}"))),
            Err(error) => snapshot.left.push(format!("perhaps containers: {error}")),
        }
    }
    for host in hosts {
        snapshot.left.extend(host.processes().iter().map(|p| format!("{}: process {} {}", host.name, p.pid, p.title)));
        walk(&host.run_dir(), &mut |path| snapshot.left.push(path.display().to_string()));
        walk(&host.state_dir(), &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let ours = name == "reports" || name == "tmp" || name.ends_with(".tmp") || name.ends_with(".ipc");
            if ours && !path.starts_with(host.run_dir()) {
                snapshot.left.push(path.display().to_string());
            }
        });
        let log = fs::read_to_string(host.log()).unwrap_or_default();
        let bad = log.lines().filter(|line| line.contains("panicked") || line.contains("BUG"));
        snapshot.panics.extend(bad.map(|line| format!("{}: {line}", host.name)));
    }
    compare_logs(folder, hosts, jobs, plans, &mut snapshot);
    // Where it is meant to stand: in its own file, and in the program that knows it.
    let own = ["secrets", "bin"];
    walk(folder, &mut |path| {
        if path.is_file()
            && !own.iter().any(|name| path.starts_with(folder.join(name)))
            && contains(path, secret.as_bytes())
        {
            snapshot.secrets.push(path.display().to_string());
        }
    });
    let surprises = fs::read_to_string(folder.join("surprises.jsonl")).unwrap_or_default();
    snapshot.surprises.extend(surprises.lines().map(str::to_owned));
    snapshot
}

fn compare_logs(folder: &Path, hosts: &[Host], jobs: &[JobEnd], plans: &[JobPlan], snapshot: &mut Snapshot) {
    let plans: HashMap<&str, &JobPlan> = plans.iter().map(|plan| (plan.key.as_str(), plan)).collect();
    for job in jobs {
        let Some(plan) = job.key.as_deref().and_then(|key| plans.get(key)) else { continue };
        for row in job.tasks.iter().filter(|row| row.status == "succeeded") {
            let Some(Body::Output { seed, bytes }) = plan.tasks.get(row.task).map(|task| task.body.clone()) else {
                continue;
            };
            let name = format!("{}-{}.{}.out", row.task, plan::name(row.task), row.attempt);
            let places = hosts.iter().map(Host::state_dir).chain([folder.to_path_buf()]);
            let mut logs = places.map(|place| place.join("jobs").join(&job.job).join("logs").join(&name));
            let found = logs.find_map(|log| fs::read(log).ok());
            snapshot.logs_compared += 1;
            // A task that wrote nothing has no file.
            let (found, written) = (found.unwrap_or_default(), plan::output(seed, bytes));
            if found != written {
                let attempt = (job.job.clone(), row.task, row.attempt);
                snapshot.logs.push(WrongLog { attempt, cut: written.starts_with(&found) });
            }
        }
    }
}

fn contains(path: &Path, what: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(what.len()).any(|window| window == what))
}

fn walk(folder: &Path, each: &mut impl FnMut(&PathBuf)) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, each);
        }
        each(&path);
    }
}
