//! Small files of our own: replaced in one step, mode 0600, and never fsynced (a host crash re-runs the task).

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::Error;

const OURS: Mode = Mode::RUSR.union(Mode::WUSR);

/// Writes a file so that readers see the old one, the new one, or none: never half of it (F46).
pub(crate) fn replace(path: &Path, body: &[u8]) -> Result<(), Error> {
    let tmp = beside(path);
    create(&tmp, body).and_then(|()| rename(&tmp, path)).inspect_err(|_| {
        // Best effort: the disk may be full, and a half-written file helps nobody.
        rustix::fs::unlink(&tmp).ok();
    })
}

/// Creates the folder and its parents, 0700.
pub(crate) fn create_dirs(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| Error::file("create", path, e))
}

/// Removes a file; that there is none is well.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(e) => Err(Error::file("remove", path, e)),
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut body = Vec::new();
    std::fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut body)?;
    if body.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any of ours"));
    }
    Ok(body)
}

fn beside(path: &Path) -> PathBuf {
    // Two processes may write one lease at once (an old manager and its successor): a name of their own each.
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    tmp.push(rustix::process::getpid().as_raw_nonzero().get().to_string());
    tmp.into()
}

/// Writes a file in place.
pub(crate) fn create(path: &Path, body: &[u8]) -> Result<(), Error> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, OURS).map_err(|e| Error::file("create", path, e))?;
    let mut rest = body;
    while !rest.is_empty() {
        match rustix::io::write(&fd, rest) {
            Ok(0) => return Err(Error::file("write", path, io::Error::from(io::ErrorKind::WriteZero))),
            Ok(n) => rest = &rest[n..],
            Err(Errno::INTR) => {}
            Err(e) => return Err(Error::file("write", path, e)),
        }
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    rustix::fs::rename(from, to).map_err(|e| Error::file("write", to, e))
}
