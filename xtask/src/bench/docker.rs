//! What a task in a container costs beside the least that an engine asks for: create, start, wait, remove.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{
    Bench,
    sample::Sample,
    table::{Check, Row},
};
use crate::{command::Cmd, workspace::Workspace};

/// Containers of one measurement.
const TASKS: u32 = 50;

/// An engine, ended with this if it is our own.
struct Engine {
    host: String,
    own: Option<(PathBuf, PathBuf)>,
}

/// 50 tasks of `true`, one after the other, beside the same containers by hand. No rows where there is no engine.
pub(crate) fn docker(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let Some(engine) = Engine::find(bench.workspace, &bench.ground.folder)? else {
        eprintln!("skipped: docker: no engine answers (DOCKER_HOST), and only root can start one");
        return Ok(Vec::new());
    };
    let ground = bench.ground;
    let built = bench.workspace.build("executor-docker", &["--example", "overhead"], true)?;
    let plain = built.get("overhead").context("the build made no `overhead`")?;
    let task = |number| format!(r#"{{"name":"t{number}","params":{{"command":["true"],"image":"busybox:local"}}}}"#);
    let tasks: Vec<String> = (0..TASKS).map(task).collect();
    ground.write("containers/workflow.json", &format!("[{}]\n", tasks.join(",")))?;
    // The same network as the loop's; what a network costs would only hide what we cost.
    ground.write("containers/qmanager.toml", "[executors.docker]\nnetwork = \"none\"\n")?;
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for turn in 0..=bench.options.runs {
        let by_hand = Cmd::new(plain).args([&TASKS.to_string(), "plain"]).env("DOCKER_HOST", &engine.host).read()?;
        let by_hand: f64 = by_hand.trim().parse().context("seconds")?;
        let run = ["--config", "containers/qmanager.toml", "run", "--executor", "docker", "--parallel", "1"];
        let run = ground.qmanager()?.args(run).args(["--no-progress", "containers/workflow.json"]);
        let took = ground.time(run.env("DOCKER_HOST", &engine.host))?;
        if turn > 0 {
            floor.push(1e3 * by_hand / f64::from(TASKS));
            ours.push(1e3 * took.as_secs_f64() / f64::from(TASKS));
        }
    }
    let (floor, ours) = (Sample::of(&floor), Sample::of(&ours));
    let check = Check::at_most("floor", ours.median / floor.median, 1.1);
    Ok(vec![
        Row::new("docker", "floor: create, start, wait, remove", floor, "ms/task"),
        Row::new("docker", "qmanager run, one at a time", ours, "ms/task").check(check),
    ])
}

impl Engine {
    /// The one that answers, else one of our own.
    fn find(workspace: &Workspace, folder: &Path) -> Result<Option<Self>> {
        let script = workspace.root.join(".ci/docker");
        let given = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        let given = given.unwrap_or_else(|| "unix:///var/run/docker.sock".into());
        if Cmd::new("docker").arg("version").env("DOCKER_HOST", &given).answers() {
            let image = Cmd::new(&script).arg("image").env("DOCKER_HOST", &given).answers();
            ensure!(image, "the engine at {given} takes no image");
            return Ok(Some(Self { host: given, own: None }));
        }
        let own = folder.join("engine");
        let started = Cmd::new(&script).arg("start").arg(own.as_os_str()).arg("--alone").answers();
        let host = format!("unix://{}/docker.sock", own.display());
        Ok(started.then_some(Self { host, own: Some((script, own)) }))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some((script, folder)) = &self.own {
            Cmd::new(script).arg("stop").arg(folder.as_os_str()).answers();
        }
    }
}
