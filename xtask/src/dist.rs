//! `cargo xtask dist`: an archive to unpack into a prefix: programs, manual pages, completions, a systemd unit.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{command::Cmd, workspace::Workspace};

const PROGRAMS: [&str; 4] = ["qmanager", "qworker", "task-executor", "task-executor-sdk"];
const PAPERS: [&str; 5] = ["README.md", "CHANGELOG.md", "LICENSE", "LICENSE-MIT", "LICENSE-APACHE"];
/// Shells, and where each looks for completions.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/qmanager"),
    ("zsh", "share/zsh/site-functions/_qmanager"),
    ("fish", "share/fish/vendor_completions.d/qmanager.fish"),
];

/// Builds everything for release and packs it into `dist/`.
pub(crate) fn dist(workspace: &Workspace) -> Result<()> {
    let programs = workspace.build("bins", &["--bins"], true)?;
    let qmanager = programs.get("qmanager").context("the build made no `qmanager`")?;
    let version = Cmd::new(qmanager).arg("--version").read()?;
    let version = version.split_whitespace().last().context("`qmanager --version` says nothing")?.to_owned();
    let name = format!("qmanager-{version}-{}", std::env::consts::ARCH);
    let folder = workspace.root.join("dist").join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    copy(workspace, &programs, &folder)?;
    let man = folder.join("share/man/man1");
    fs::create_dir_all(&man)?;
    ensure!(Cmd::new(qmanager).args(["man", "--out"]).arg(&man).ok()?, "no manual pages");
    for (shell, place) in COMPLETIONS {
        write(&folder.join(place), &Cmd::new(qmanager).args(["completions", shell]).read()?)?;
    }
    write(&folder.join("lib/systemd/system/qmanager.service"), &unit(workspace)?)?;
    let archive = format!("{name}.tar.gz");
    let dist = workspace.root.join("dist");
    ensure!(Cmd::new("tar").dir(&dist).args(["-czf", &archive, &name]).ok()?, "tar failed");
    println!("dist/{archive}");
    Ok(())
}

fn copy(workspace: &Workspace, programs: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join("bin"))?;
    for name in PROGRAMS {
        let built = programs.get(name).with_context(|| format!("the build made no `{name}`"))?;
        fs::copy(built, folder.join("bin").join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    let papers = folder.join("share/doc/qmanager");
    fs::create_dir_all(&papers)?;
    for name in PAPERS {
        fs::copy(workspace.root.join(name), papers.join(name)).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

/// The unit that docs/operations.md shows.
fn unit(workspace: &Workspace) -> Result<String> {
    let page = workspace.text(Path::new("docs/operations.md"))?;
    let (_, after) = page.split_once("```ini\n").context("docs/operations.md shows no unit")?;
    let (unit, _) = after.split_once("```").context("the unit of docs/operations.md does not end")?;
    Ok(unit.to_owned())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(path.parent().context("BUG: a path in a folder")?)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
