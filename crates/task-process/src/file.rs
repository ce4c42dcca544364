//! Small files of our own: replaced in one step, mode 0600, and never fsynced (a host crash re-runs the task).

use std::{
    io,
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::Error;

const OURS: Mode = Mode::RUSR.union(Mode::WUSR);

/// The most blanks at a file's end.
const FILL: usize = 4096;

/// Writes a file so that readers see the old one, the new one, or none: never half of it (F46).
pub(crate) fn replace(path: &Path, body: &[u8]) -> Result<(), Error> {
    let tmp = beside(path);
    create(&tmp, body).and_then(|_| rename(&tmp, path)).inspect_err(|_| {
        // Best effort: the disk may be full, and a half-written file helps nobody.
        rustix::fs::unlink(&tmp).ok();
    })
}

/// Writes a small file where it is, in blocks that it has already. A reader may see the half of it.
pub(crate) fn write_over(path: &Path, body: &[u8]) -> Result<(), Error> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let written =
        rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from).and_then(|fd| overwrite(&fd, body));
    written.map_err(|e| Error::file("write", path, e))
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

/// The file that is an attempt's handle while its task runs and becomes its report in the end: one inode, no second
/// file. ext4 does not give out an inode again for minutes after its file was removed, and looks at each such inode with
/// every file it creates: two files made and removed per task made a task twice as dear.
#[derive(Debug)]
pub(crate) struct Record {
    fd: OwnedFd,
    path: PathBuf,
}

impl Record {
    /// Writes the handle, into the old file `blank` if there is one. In few enough bytes for one `write`, so whoever
    /// reads it after a crash finds all of it or what it cannot take for a handle.
    pub(crate) fn begin(blank: Option<&Path>, path: &Path, body: &[u8]) -> Result<Self, Error> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = match blank.and_then(|blank| Some((blank, rustix::fs::open(blank, flags, Mode::empty()).ok()?))) {
            Some((blank, fd)) => {
                overwrite(&fd, body).map_err(|e| Error::file("write", blank, e))?;
                rename(blank, path)?;
                fd
            }
            None => create(path, body)?,
        };
        Ok(Self { fd, path: path.to_owned() })
    }

    /// Makes it the report: nothing of the task is left, so the handle is not needed any more. A reader sees the whole
    /// report or none. Its block is there already, so that a full disk does not matter.
    pub(crate) fn become_report(self, report: &Path, body: &[u8]) -> Result<(), Error> {
        overwrite(&self.fd, body).map_err(|e| Error::file("write", &self.path, e))?;
        rename(&self.path, report)
    }
}

/// What is longer in the file is filled with blanks, which mean nothing in JSON: a truncation costs several times a write.
fn overwrite(fd: &OwnedFd, body: &[u8]) -> io::Result<()> {
    let old = usize::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0);
    match old.checked_sub(body.len()) {
        None | Some(0) => write_at_start(fd, body),
        Some(more) if more <= FILL => {
            let mut filled = Vec::with_capacity(old);
            filled.extend_from_slice(body);
            filled.resize(old, b' ');
            write_at_start(fd, &filled)
        }
        Some(_) => {
            write_at_start(fd, body)?;
            Ok(rustix::fs::ftruncate(fd, body.len() as u64)?)
        }
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let fd = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    // Nearly every file of ours fits at once; only the end has to be seen as well.
    let mut body = vec![0; 2048];
    let mut filled = 0;
    loop {
        match rustix::io::read(&fd, &mut body[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
        if filled > limit {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than any of ours"));
        }
        if filled == body.len() {
            body.resize(filled * 2, 0);
        }
    }
    body.truncate(filled);
    Ok(body)
}

fn beside(path: &Path) -> PathBuf {
    // Two processes may write one lease at once (an old manager and its successor): a name of their own each.
    let mut tmp = path.as_os_str().to_owned();
    tmp.push(".tmp");
    tmp.push(rustix::process::getpid().as_raw_nonzero().get().to_string());
    tmp.into()
}

fn create(path: &Path, body: &[u8]) -> Result<OwnedFd, Error> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::open(path, flags, OURS).map_err(|e| Error::file("create", path, e))?;
    write_at_start(&fd, body).map_err(|e| Error::file("write", path, e))?;
    Ok(fd)
}

fn write_at_start(fd: &OwnedFd, body: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < body.len() {
        match rustix::io::pwrite(fd, &body[written..], written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    rustix::fs::rename(from, to).map_err(|e| Error::file("write", to, e))
}
