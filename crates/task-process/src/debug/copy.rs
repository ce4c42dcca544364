//! A copy of a job's files, so that debugging changes nothing.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::TaskRequest;

/// Copies the job files and points the request at the copy.
pub(super) fn job_files(request: &mut TaskRequest) -> Result<PathBuf, String> {
    let from = request.spec.job_files.clone();
    let to = std::env::temp_dir().join(format!("qmanager-debug-{}-{}", request.job, std::process::id()));
    let fail = |path: &Path, error: std::io::Error| format!("error: cannot copy {}: {error}", path.display());
    fs::create_dir(&to).map_err(|e| fail(&to, e))?;
    let mut folders = vec![(from.clone(), to.clone())];
    while let Some((from, to)) = folders.pop() {
        for entry in fs::read_dir(&from).map_err(|e| fail(&from, e))? {
            let entry = entry.map_err(|e| fail(&from, e))?;
            let (source, target) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type().map_err(|e| fail(&source, e))?;
            if kind.is_dir() {
                fs::create_dir(&target).map_err(|e| fail(&target, e))?;
                folders.push((source, target));
            } else if kind.is_symlink() {
                let link = fs::read_link(&source).map_err(|e| fail(&source, e))?;
                symlink(link, &target).map_err(|e| fail(&target, e))?;
            } else if kind.is_file() {
                fs::copy(&source, &target).map_err(|e| fail(&source, e))?;
            }
            // Sockets and pipes belong to whoever made them.
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
