//! The folder of one job's files, held open: everything is named relative to it.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{self as sys, AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{beneath, sweep};
use crate::{Entry, Error, InvalidPath, JobPath, Kind, matches};

/// A folder, and what is in it.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// Opens the folder itself; links on the way to it are the caller's business.
    pub(crate) fn open(folder: &Path) -> Result<Self, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        sys::open(folder, flags, Mode::empty()).map(Self)
    }

    /// What the patterns mean, by path.
    pub(crate) fn list(&self, patterns: &[String]) -> Result<Vec<Entry>, Error> {
        let (mut found, mut folders) = (Vec::new(), vec![JobPath::root()]);
        while let Some(folder) = folders.pop() {
            let fail = |e: Errno| Error::job("list", &folder, e);
            let fd = match self.folder(&folder) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::XDEV) if !folder.is_root() => continue, // gone meanwhile
                fd => fd.map_err(fail)?,
            };
            for name in sweep::names(fd.as_fd()).map_err(fail)? {
                let path = folder.entry(&name);
                let entry = match sys::statat(&fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => continue, // gone meanwhile
                    stat => entry(path, &stat.map_err(fail)?),
                };
                if entry.kind == Kind::Folder {
                    folders.push(entry.path.clone());
                }
                if matches(patterns, &entry.path) {
                    found.push(entry);
                }
            }
        }
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self, path: &JobPath) -> Result<File, Error> {
        // NONBLOCK: a named pipe that nobody writes to would hold us for ever.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = match beneath::open(self.0.as_fd(), path, flags) {
            Err(Errno::NXIO) => return Err(wrong_kind(path, Kind::Special)), // a socket
            fd => fd.map_err(|e| Error::job("open", path, e))?,
        };
        let stat = sys::fstat(&fd).map_err(|e| Error::job("open", path, e))?;
        match kind(&stat) {
            Kind::File => Ok(File::from(fd)),
            kind @ (Kind::Folder | Kind::Link | Kind::Special) => Err(wrong_kind(path, kind)),
        }
    }

    /// Writes a file whole, under a name of its own until it is.
    pub(super) fn put(&self, path: &JobPath, content: &mut dyn Read, mode: Mode) -> Result<u64, Error> {
        let (folder, name) = self.parent_of(path)?;
        let fail = |e: io::Error| Error::job("write", path, e);
        let new = format!(".qm-put-{}", uuid::Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = sys::openat(&folder, &new, flags, mode).map_err(|e| fail(e.into()))?;
        let written = io::copy(content, &mut File::from(fd)).and_then(|size| {
            sys::renameat(&folder, &new, &folder, name)?;
            Ok(size)
        });
        written.map_err(|e| {
            let _ = sys::unlinkat(&folder, &new, AtFlags::empty());
            match e.kind() {
                io::ErrorKind::IsADirectory => wrong_kind(path, Kind::Folder),
                _ => fail(e),
            }
        })
    }

    /// Makes a folder, and those above it.
    pub(super) fn make(&self, path: &JobPath) -> Result<OwnedFd, Error> {
        let mut at = JobPath::root();
        let mut fd = self.folder(&at).map_err(|e| Error::job("open", &at, e))?;
        for part in path.parts() {
            at = at.entry(part);
            match sys::mkdirat(&fd, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(Error::job("make folder", &at, e)),
            }
            fd = self.folder(&at).map_err(|e| match e {
                Errno::NOTDIR => wrong_kind(&at, Kind::File),
                e => Error::job("open", &at, e),
            })?;
        }
        Ok(fd)
    }

    /// Makes a link.
    pub(super) fn link(&self, path: &JobPath, target: &Path) -> Result<(), Error> {
        let (folder, name) = self.parent_of(path)?;
        match sys::symlinkat(target, &folder, name) {
            Err(Errno::EXIST) => {
                sys::unlinkat(&folder, name, AtFlags::empty()).map_err(|e| Error::job("replace", path, e))?;
                sys::symlinkat(target, &folder, name)
            }
            other => other,
        }
        .map_err(|e| Error::job("link", path, e))
    }

    /// Removes whatever is there.
    pub(super) fn remove(&self, path: &JobPath) -> Result<(), Error> {
        let (folder, name) = self.existing_parent_of(path)?;
        sweep::remove_tree(folder.as_fd(), name).map_err(|e| Error::job("remove", path, e))
    }

    fn folder(&self, path: &JobPath) -> Result<OwnedFd, Errno> {
        beneath::open(self.0.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn parent_of<'a>(&self, path: &'a JobPath) -> Result<(OwnedFd, &'a std::ffi::OsStr), Error> {
        let (parent, name) = split(path)?;
        Ok((self.make(&parent)?, name))
    }

    fn existing_parent_of<'a>(&self, path: &'a JobPath) -> Result<(OwnedFd, &'a std::ffi::OsStr), Error> {
        let (parent, name) = split(path)?;
        let fd = self.folder(&parent).map_err(|e| match e {
            Errno::NOTDIR => Error::NotFound(path.clone()),
            e => Error::job("open", &parent, e),
        })?;
        Ok((fd, name))
    }
}

fn split(path: &JobPath) -> Result<(JobPath, &std::ffi::OsStr), Error> {
    path.parent().zip(path.name()).ok_or_else(|| {
        let reason = "means all job files; name what is in them";
        Error::Path(InvalidPath { text: ".".into(), reason })
    })
}

fn entry(path: JobPath, stat: &Stat) -> Entry {
    let micros = stat.st_mtime.saturating_mul(1_000_000).saturating_add(stat.st_mtime_nsec as i64 / 1000);
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    Entry { path, kind: kind(stat), size, modified: micros, mode: stat.st_mode & 0o7777 }
}

fn kind(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Link,
        _ => Kind::Special,
    }
}

fn wrong_kind(path: &JobPath, is: Kind) -> Error {
    let wanted = if is == Kind::File { "a folder" } else { "a file" };
    Error::WrongKind { path: path.clone(), is: is.as_str(), wanted }
}
