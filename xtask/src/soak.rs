//! `cargo xtask soak`: builds the programs and the proof, and makes runs (see `docs/reliability.md`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{command::Cmd, suite::Outcome, workspace::Workspace};

/// What `proof` is told, e.g. `soak --seed 1`.
type Words = &'static [&'static str];

/// The runs of `cargo xtask test`: groups, one after the other; those of one group at once, since most of their time is
/// waiting.
const TEST: &[&[Words]] = &[
    &[
        &["soak", "--seconds", "60", "--seed", "1"],
        &["soak", "--seconds", "60", "--seed", "1", "--db", "postgres", "--managers", "3", "--workers", "2"],
    ],
    &[&["soak", "--seconds", "30", "--seed", "1", "--executor", "docker"]],
    &[&["matrix", "--cells", "20", "--seed", "1", "--db", "both"]],
    &[&["calls", "--db", "both"]],
    &[&["planted", "--count", "3", "--seed", "1"]],
];
/// Where Debian keeps the programs of a PostgreSQL server.
const SERVERS: &str = "/usr/lib/postgresql";
/// The runs of `cargo xtask soak --full`.
const FULL: &[&[Words]] = &[
    &[&["planted"]],
    &[&["matrix", "--db", "both"]],
    &[&["calls"]],
    &[&["calls", "--db", "postgres"]],
    &[&["soak", "--minutes", "10", "--executor", "docker"]],
    &[
        &["soak", "--minutes", "30"],
        &["soak", "--minutes", "30", "--db", "postgres", "--managers", "4", "--workers", "2"],
    ],
];

/// A run that was made.
struct Done {
    name: String,
    held: bool,
    took: Duration,
}

/// Runs `proof` with what is asked for; `--release` among it builds the programs as they are shipped.
pub(crate) fn soak(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let release = has("--release");
    if has("--full") {
        let done = runs(workspace, FULL, release)?;
        println!("\n{:<80} {:>8} {:>8}", "run", "seconds", "");
        for Done { name, held, took } in &done {
            println!("{name:<80} {:>8.0} {:>8}", took.as_secs_f64(), if *held { "held" } else { "FAILED" });
        }
        return Ok(if done.iter().all(|run| run.held) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let verb = match args.first().map(String::as_str) {
        Some("check") => None,
        _ if has("--matrix") => Some("matrix"),
        _ if has("--calls") => Some("calls"),
        _ if has("--planted") => Some("planted"),
        _ => Some("soak"),
    };
    let points = verb.is_some_and(|verb| verb != "soak") || has("--store-faults");
    let proof = build(workspace, release, points)?;
    let own = ["--release", "--matrix", "--calls", "--planted"];
    let rest = args.iter().filter(|arg| !own.contains(&arg.as_str()));
    let engine = has("docker").then(|| engine(workspace));
    Err(Cmd::new(proof).args(verb).args(rest).args(engine.into_iter().flatten()).exec())
}

/// The step of `cargo xtask test`.
pub(crate) fn test(workspace: &Workspace) -> Result<Outcome> {
    let mut outcome = Outcome { passed: 0, failed: Vec::new(), skipped: Vec::new() };
    let mut lacks: Vec<&str> = Vec::new();
    if !Path::new(SERVERS).is_dir() {
        outcome.skipped.push(format!("no PostgreSQL server in {SERVERS}: install Debian's `postgresql`"));
        lacks.extend(["postgres", "both"]);
    }
    if let Some(why) = no_engine() {
        outcome.skipped.push(format!("no Docker engine for a soak: {why}"));
        lacks.push("docker");
    }
    let can = |run: &Words| !run.iter().any(|word| lacks.contains(word));
    let groups: Vec<Vec<Words>> = TEST.iter().map(|group| group.iter().copied().filter(can).collect()).collect();
    let groups: Vec<&[Words]> = groups.iter().map(Vec::as_slice).collect();
    for Done { name, held, .. } in runs(workspace, &groups, false)? {
        match held {
            true => outcome.passed += 1,
            false => outcome.failed.push(format!("`proof {name}` did not hold: see above")),
        }
    }
    Ok(outcome)
}

/// Why no engine can be started here.
fn no_engine() -> Option<String> {
    let missing = ["dockerd", "docker", "busybox"].into_iter().find(|tool| !Cmd::new(tool).arg("--help").answers());
    if let Some(tool) = missing {
        return Some(format!("there is no {tool}: install Debian's docker.io and busybox-static"));
    }
    let is_root = Cmd::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0");
    (!is_root).then(|| "only root can start one to be killed".to_owned())
}

/// How `proof` is told what starts an engine.
fn engine(workspace: &Workspace) -> [String; 2] {
    ["--engine".into(), workspace.root.join(".ci/docker").to_string_lossy().into_owned()]
}

/// Makes the runs, group by group.
fn runs(workspace: &Workspace, groups: &[&[Words]], release: bool) -> Result<Vec<Done>> {
    let (plain, points) = (build(workspace, release, false)?, build(workspace, release, true)?);
    let proof = |run: Words| {
        let engine = run.contains(&"docker").then(|| engine(workspace));
        let proof = if run.first() == Some(&"soak") { &plain } else { &points };
        Cmd::new(proof).args(run).args(engine.into_iter().flatten())
    };
    let total: usize = groups.iter().map(|group| group.len()).sum();
    let mut done: Vec<Done> = Vec::new();
    for group in groups {
        for (number, run) in group.iter().enumerate() {
            println!("--> {}/{total}: proof {}", done.len() + number + 1, run.join(" "));
        }
        let start = now();
        let ended = std::thread::scope(|scope| {
            let started: Vec<_> = group.iter().map(|run| scope.spawn(|| made(proof(run), group.len() == 1))).collect();
            started
                .into_iter()
                .map(|run| run.join().map_err(|_| anyhow::anyhow!("a run panicked"))?)
                .collect::<Vec<_>>()
        });
        for (run, held) in group.iter().zip(ended) {
            done.push(Done { name: run.join(" "), held: held?, took: start.elapsed() });
        }
    }
    Ok(done)
}

/// Runs one; what it says is shown line by line if it is `alone`, else when it has ended. Answers whether it held.
fn made(run: Cmd, alone: bool) -> Result<bool> {
    if alone {
        return run.ok();
    }
    let mut said = Vec::new();
    let held = run.lines(|line| said.push(line.to_owned()));
    println!("{}", said.join("\n"));
    held
}

#[expect(clippy::disallowed_methods, reason = "runs are timed for the summary")]
fn now() -> Instant {
    Instant::now()
}

/// Builds, and answers `proof` in a folder with the programs under test: a later build replaces those of the target
/// folder. `points`: with failpoints.
fn build(workspace: &Workspace, release: bool, points: bool) -> Result<PathBuf> {
    let features: &[&str] = if points { &["--bins", "--features", "failpoints"] } else { &["--bins"] };
    let mut programs = workspace.build("bins", features, release)?;
    programs.extend(workspace.build("proof", &["--bins"], release)?);
    let proof = programs.get("proof").context("the build made no `proof`")?;
    let folder = proof.parent().context("it is in no folder")?.join(if points { "soak-points" } else { "soak" });
    fs::create_dir_all(&folder)?;
    for (name, path) in &programs {
        replace(path, &folder.join(name))?;
    }
    Ok(folder.join("proof"))
}

/// A program that runs is not written to.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = to.with_extension(format!("new{}", std::process::id()));
    fs::copy(from, &new).and_then(|_| fs::rename(&new, to)).with_context(|| format!("cannot copy {}", from.display()))
}
