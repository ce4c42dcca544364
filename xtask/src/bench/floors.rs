//! The floors: the least that one and two processes a task cost on this machine, measured by the programs in `bench/`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{command::Cmd, workspace::Workspace};

/// The compiled floor programs.
#[derive(Debug)]
pub(crate) struct Floors {
    spawn: PathBuf,
    folder: PathBuf,
    /// Two processes a task, the second in Rust with the programs' flags: the floor that the budgets name.
    pub(crate) tiny_rust: PathBuf,
    /// The same in C, static with glibc.
    pub(crate) tiny_c: PathBuf,
    /// The same in C with musl, where `musl-gcc` is installed.
    pub(crate) tiny_musl: Option<PathBuf>,
}

/// What `spawnfloor` prints.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Spawned {
    pub(crate) us_per: f64,
    pub(crate) minflt: f64,
}

impl Floors {
    pub(crate) fn build(workspace: &Workspace, folder: &Path) -> Result<Self> {
        let source = |name: &str| workspace.root.join("bench").join(name);
        fs::create_dir_all(folder)?;
        let target = |name: &str| folder.join(name);
        let gcc = |compiler: &str, from: &str, to: &Path, flags: &[&str]| {
            Cmd::new(compiler).args(["-O2", "-w"]).args(flags).arg(source(from)).arg("-o").arg(to).ok()
        };
        let fixed: &[&str] = &["-static", "-no-pie"];
        ensure!(gcc("cc", "spawnfloor.c", &target("spawnfloor"), &[])?, "bench/spawnfloor.c does not compile");
        ensure!(gcc("cc", "tiny.c", &target("tiny-c"), fixed)?, "bench/tiny.c does not compile");
        let flags = ["--edition=2024", "-Copt-level=3", "-Cpanic=abort", "-Ctarget-feature=+crt-static"];
        let rustc = Cmd::new("rustc").dir(&workspace.root).args(flags).arg("-Crelocation-model=static");
        let built = rustc.arg(source("tiny.rs")).arg("-o").arg(target("tiny-rust")).ok()?;
        ensure!(built, "bench/tiny.rs does not compile");
        let musl = target("tiny-musl");
        let has_musl = Cmd::new("musl-gcc").arg("--version").answers() && gcc("musl-gcc", "tiny.c", &musl, fixed)?;
        Ok(Self {
            spawn: target("spawnfloor"),
            folder: folder.to_path_buf(),
            tiny_rust: target("tiny-rust"),
            tiny_c: target("tiny-c"),
            tiny_musl: has_musl.then_some(musl),
        })
    }

    /// `count` processes, `parallel` at a time; with `report` each of them also sends its datagram.
    pub(crate) fn spawn(&self, count: usize, parallel: usize, argv: &[&str], report: bool) -> Result<Spawned> {
        let mut cmd = Cmd::new(&self.spawn).dir(&self.folder).args([count.to_string(), parallel.to_string()]);
        if report {
            cmd = cmd.env("REPORT", self.folder.join("report.sock"));
        }
        let text = cmd.arg("posix_spawn").args(argv).stdin_of_a_closed_socket()?.read()?;
        serde_json::from_str(&text).with_context(|| format!("what spawnfloor says: {text}"))
    }

    /// Milliseconds a task of the two-process floor: worker -> `tiny` -> `sh -c true` -> datagram.
    pub(crate) fn two_processes(&self, tiny: &Path, count: usize, parallel: usize) -> Result<f64> {
        let tiny = tiny.to_str().context("the folder's name is no UTF-8")?;
        Ok(self.spawn(count, parallel, &[tiny, "true"], true)?.us_per / 1e3)
    }

    /// Milliseconds a task of the one-process floor.
    pub(crate) fn one_process(&self, count: usize, parallel: usize) -> Result<f64> {
        Ok(self.spawn(count, parallel, &["/bin/sh", "-c", "true"], false)?.us_per / 1e3)
    }
}
