//! Copying a file or folder of this host into the job files.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Component, Path},
};

use rustix::fs::Mode;

use super::Root;
use crate::{Error, JobPath};

/// Copies `source` to `target`, by default under its own name. `folder` is where `root` is.
pub(super) fn import(root: &Root, folder: &Path, source: &Path, target: Option<&JobPath>) -> Result<(), Error> {
    let real = fs::canonicalize(source).map_err(|e| Error::host("find", source, e))?;
    let own = || JobPath::new(real.file_name().unwrap_or_default());
    let target = match target {
        Some(target) => target.clone(),
        None => own()?,
    };
    let meta = fs::metadata(&real).map_err(|e| Error::host("look at", source, e))?;
    if meta.is_file() {
        let target = if target.is_root() { own()? } else { target };
        return copy_file(root, &real, &target, meta.permissions().mode());
    }
    if !meta.is_dir() {
        return Err(Error::Source { path: source.to_owned(), is: "a socket, pipe or device" });
    }
    // Else the copy would be copied, and so on.
    if fs::canonicalize(folder).is_ok_and(|folder| folder.starts_with(&real)) {
        return Err(Error::Source { path: source.to_owned(), is: "a folder that holds the job files themselves" });
    }
    copy_folder(root, &real, &target)
}

fn copy_folder(root: &Root, source: &Path, target: &JobPath) -> Result<(), Error> {
    let mut folders = vec![JobPath::root()];
    while let Some(folder) = folders.pop() {
        let from = source.join(folder.as_path());
        drop(root.make(&target.join(&folder))?);
        for entry in fs::read_dir(&from).map_err(|e| Error::host("list", &from, e))? {
            let entry = entry.map_err(|e| Error::host("list", &from, e))?;
            let (path, below) = (entry.path(), folder.entry(&entry.file_name()));
            let meta = entry.metadata().map_err(|e| Error::host("look at", &path, e))?;
            let kind = meta.file_type();
            if kind.is_dir() {
                folders.push(below);
            } else if kind.is_file() {
                copy_file(root, &path, &target.join(&below), meta.permissions().mode())?;
            } else if kind.is_symlink() {
                let to = fs::read_link(&path).map_err(|e| Error::host("read link", &path, e))?;
                if !stays_inside(&folder, &to) {
                    return Err(Error::Source { path, is: "a link that leads out of the folder" });
                }
                root.link(&target.join(&below), &to)?;
            } else {
                return Err(Error::Source { path, is: "a socket, pipe or device" });
            }
        }
    }
    Ok(())
}

fn copy_file(root: &Root, source: &Path, target: &JobPath, mode: u32) -> Result<(), Error> {
    let mut file = File::open(source).map_err(|e| Error::host("open", source, e))?;
    root.put(target, &mut file, Mode::from_raw_mode(mode & 0o777)).map(drop)
}

/// Whether a link in `folder` leads to something in the tree, going by its names.
fn stays_inside(folder: &JobPath, to: &Path) -> bool {
    let mut depth = folder.parts().count();
    to.components().all(|part| match part {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => {
            let up = depth.checked_sub(1);
            depth = up.unwrap_or(0);
            up.is_some()
        }
        Component::RootDir | Component::Prefix(_) => false,
    })
}
