//! Paths that a workflow names are paths of the job files: relative, without `..`, and not leading out by a link.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::capture::describe;

/// Whether `path` may name something of the job files, as it is written.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_relative(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        Err("is empty")
    } else if path.starts_with('/') {
        Err("is absolute: write it relative to the job files")
    } else if path.contains('\0') {
        Err("has a NUL character")
    } else if path.split('/').any(|part| part == "..") {
        Err("has `..` in it: job files are named from their own folder")
    } else {
        Ok(())
    }
}

/// Opens a job file for reading.
///
/// # Errors
/// Why that cannot be, as the end of a sentence; also if it is no regular file, or a link leads out of the job files.
pub fn open_file(job_files: &Path, relative: &str) -> Result<File, String> {
    check_relative(relative)?;
    // To open a pipe waits for its writer, for ever if nobody comes, and nothing could end that.
    let file = open(job_files, relative, OFlags::RDONLY | OFlags::NONBLOCK).map(File::from)?;
    let kind = file.metadata().map_err(|error| describe(&error))?.file_type();
    if kind.is_dir() {
        return Err("is a folder".into());
    }
    if !kind.is_file() {
        return Err("is a pipe or a device: job files are regular files".into());
    }
    // Whoever gets it does not expect this.
    let flags = rustix::fs::fcntl_getfl(&file).map_err(|error| describe(&error.into()))?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|error| describe(&error.into()))?;
    Ok(file)
}

/// The path of a folder of the job files (`""` = themselves).
///
/// # Errors
/// Why that cannot be, as the end of a sentence; also if a link leads out of the job files.
pub fn folder(job_files: &Path, relative: &str) -> Result<PathBuf, String> {
    let relative = relative.trim_matches('/');
    if relative.is_empty() || relative == "." {
        return Ok(job_files.to_path_buf());
    }
    check_relative(relative)?;
    open(job_files, relative, OFlags::PATH | OFlags::DIRECTORY)?;
    Ok(job_files.join(relative))
}

/// As [`folder`], but makes what is missing, and calls `made` for each.
///
/// # Errors
/// As [`folder`], when one cannot be made, and what `made` says.
pub fn make_folder(
    job_files: &Path,
    relative: &str,
    made: &dyn Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, String> {
    let mut so_far = String::new();
    for part in relative.split('/').filter(|part| !part.is_empty()) {
        if !so_far.is_empty() {
            so_far.push('/');
        }
        so_far.push_str(part);
        check_relative(&so_far)?;
        let path = job_files.join(&so_far);
        match fs::create_dir(&path) {
            Ok(()) => made(&path).map_err(|error| describe(&error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(describe(&error)),
        }
        folder(job_files, &so_far)?;
    }
    Ok(job_files.join(so_far))
}

fn open(job_files: &Path, relative: &str, flags: OFlags) -> Result<OwnedFd, String> {
    let in_words = |error: rustix::io::Errno| match error {
        rustix::io::Errno::XDEV => "leads out of the job files by a link".to_owned(),
        other => describe(&other.into()),
    };
    let flags = flags | OFlags::CLOEXEC;
    let root = rustix::fs::open(job_files, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| format!("the job files {} cannot be opened: {}", job_files.display(), in_words(error)))?;
    rustix::fs::openat2(&root, relative, flags, Mode::empty(), ResolveFlags::BENEATH).map_err(in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_nothing_waits() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::write(at("file"), "text").unwrap();
        fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let open = |name: &str| open_file(place.path(), name);
        assert!(open("pipe").unwrap_err().starts_with("is a pipe"), "and does not wait for a writer");
        assert_eq!(open("folder").unwrap_err(), "is a folder");
        let flags = rustix::fs::fcntl_getfl(open("file").unwrap()).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK), "{flags:?}");
    }
}
