//! A copy of a job's files, so that debugging changes nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::TaskRequest;

/// More than this is not copied without being told: a folder of the user's (`run FILE`) may be anything.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: usize = 100_000;

/// Copies the job files and points the request at the copy.
pub(super) fn job_files(request: &mut TaskRequest) -> Result<PathBuf, String> {
    let from = request.spec.job_files.clone();
    let files = survey(&from, MOST_BYTES, MOST_FILES)?;
    let to = std::env::temp_dir().join(format!("qmanager-debug-{}-{}", request.job, std::process::id()));
    fs::create_dir(&to).map_err(|e| failed(&to, &e))?;
    for (path, kind) in files {
        let (source, target) = (from.join(&path), to.join(&path));
        match kind {
            Kind::Folder => fs::create_dir(&target).map_err(|e| failed(&target, &e))?,
            Kind::Link(leads_to) => symlink(leads_to, &target).map_err(|e| failed(&target, &e))?,
            Kind::File => drop(fs::copy(&source, &target).map_err(|e| failed(&source, &e))?),
        }
    }
    let (old, new) = (from.display().to_string(), to.display().to_string());
    for (name, value) in &mut request.spec.env {
        if name == "QM_JOBFILES" && *value == old {
            value.clone_from(&new);
        }
    }
    request.spec.job_files.clone_from(&to);
    Ok(to)
}

enum Kind {
    Folder,
    File,
    Link(PathBuf),
}

/// All that is to be copied, folders before what is in them, looked at before anything is written: so the copy never holds
/// itself, and a folder that is too large leaves nothing half done. Sockets and pipes belong to whoever made them.
fn survey(root: &Path, most_bytes: u64, most_files: usize) -> Result<Vec<(PathBuf, Kind)>, String> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(&folder);
        for entry in fs::read_dir(&here).map_err(|e| failed(&here, &e))? {
            let entry = entry.map_err(|e| failed(&here, &e))?;
            let path = folder.join(entry.file_name());
            let meta = entry.metadata().map_err(|e| failed(&entry.path(), &e))?;
            if meta.is_dir() {
                folders.push(path.clone());
                found.push((path, Kind::Folder));
            } else if meta.is_symlink() {
                let leads_to = fs::read_link(entry.path()).map_err(|e| failed(&entry.path(), &e))?;
                found.push((path, Kind::Link(leads_to)));
            } else if meta.is_file() {
                bytes += meta.len();
                found.push((path, Kind::File));
            }
            if bytes > most_bytes || found.len() > most_files {
                return Err(too_large(root));
            }
        }
    }
    Ok(found)
}

fn failed(path: &Path, error: &std::io::Error) -> String {
    format!("error: cannot copy {}: {error}", path.display())
}

fn too_large(root: &Path) -> String {
    format!(
        "error: the job files in {} are more than {} GiB or {MOST_FILES} files: not copied\n\
         hint: --in-place runs the task on them as they are; or copy what it needs, and run the FILE with --jobfiles DIR",
        root.display(),
        MOST_BYTES >> 30
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_large_is_told_before_anything_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/x"), "12345").unwrap();
        symlink("nowhere", dir.path().join("l")).unwrap();
        assert_eq!(survey(dir.path(), 5, 3).unwrap().len(), 3);
        for (bytes, files) in [(4, 3), (5, 2)] {
            let error = survey(dir.path(), bytes, files).map(|_| ()).unwrap_err();
            assert!(error.contains("--in-place"), "{error}");
        }
    }
}
