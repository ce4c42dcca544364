//! Where things are: the root, the files of the repository, the packages, the target folder.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::Cmd;

/// The checkout that xtask belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

/// A workspace package as `cargo metadata` tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as a manifest states it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` = normal, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Set for dependencies of the workspace itself.
    pub(crate) path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&here).parent().context("xtask has no parent folder")?.to_path_buf();
        Ok(Self { root })
    }

    pub(crate) fn cargo(&self) -> Cmd {
        Cmd::cargo().dir(&self.root)
    }

    pub(crate) fn packages(&self) -> Result<Vec<Package>> {
        let text = self.cargo().args(["metadata", "--format-version=1", "--no-deps", "--quiet"]).read()?;
        let metadata: Metadata = serde_json::from_str(&text).context("cannot read what `cargo metadata` says")?;
        Ok(metadata.packages)
    }

    /// Builds and answers the programs by name.
    pub(crate) fn build(&self, package: &str, what: &[&str], release: bool) -> Result<BTreeMap<String, PathBuf>> {
        let mut cmd = self.cargo().args(["build", "--package", package]).args(what);
        if release {
            cmd = cmd.arg("--release");
        }
        let mut built = BTreeMap::new();
        let ok = cmd.arg("--message-format=json-render-diagnostics").lines(|line| {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { return };
            if let (Some(name), Some(path)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
                built.insert(name.to_owned(), PathBuf::from(path));
            }
        })?;
        anyhow::ensure!(ok, "`{package}` does not build");
        Ok(built)
    }

    /// All files that belong to the repository, relative to the root, sorted.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listed = Cmd::new("git")
            .dir(&self.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .read();
        let mut files: Vec<PathBuf> = match listed {
            Ok(text) => text.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect(),
            Err(_) => walk(&self.root, Path::new(""))?, // a tarball: no repository
        };
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    pub(crate) fn text(&self, file: &Path) -> Result<String> {
        fs::read_to_string(self.root.join(file)).with_context(|| format!("cannot read {}", file.display()))
    }
}

fn walk(root: &Path, dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            if !["target", ".git", "book"].iter().any(|skip| path.ends_with(skip)) {
                files.extend(walk(root, &path)?);
            }
        } else {
            files.push(path);
        }
    }
    Ok(files)
}
