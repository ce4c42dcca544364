//! Removing a tree that a task has made: by descriptors, without following a link, however deep it is (F90).

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, chmod, openat, renameat, unlinkat},
    io::Errno,
};

/// How often a folder is emptied that somebody fills again meanwhile.
const PATIENCE: u32 = 8;

/// Removes `name` in `parent` and all that is in it. A link is removed, not followed.
pub(super) fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<(), Errno> {
    if remove_file(parent, name)? {
        return Ok(());
    }
    let top = open_folder(parent, name)?;
    let mut moved = 0;
    let mut patience = PATIENCE;
    loop {
        // What is in a folder of `top` is moved up into `top`: so nothing is ever deeper than that, and two
        // descriptors are enough.
        let mut folders = false;
        for entry in names(top.as_fd())? {
            if !gone(remove_file(top.as_fd(), &entry))? {
                folders = true;
                gone(empty_into(top.as_fd(), &entry, &mut moved).map(|()| true))?;
            }
        }
        if folders {
            continue;
        }
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) if patience > 0 => patience -= 1,
            Err(Errno::NOENT) => return Ok(()),
            other => return other,
        }
    }
}

/// The names in a folder.
pub(super) fn names(folder: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a folder of `top`; the folders in it become folders of `top`.
fn empty_into(top: BorrowedFd<'_>, name: &OsStr, moved: &mut u64) -> Result<(), Errno> {
    let folder = open_folder(top, name)?;
    for entry in names(folder.as_fd())? {
        if gone(remove_file(folder.as_fd(), &entry))? {
            continue;
        }
        // A folder may be moved to another only by those who may write to it.
        drop(open_folder(folder.as_fd(), &entry)?);
        loop {
            *moved += 1;
            match renameat(&folder, &entry, top, format!(".qm-rm-{moved}")) {
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {} // the name is taken
                Ok(()) | Err(Errno::NOENT) => break,
                Err(e) => return Err(e),
            }
        }
    }
    match unlinkat(top, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()), // filled again: the next pass sees it
        other => other,
    }
}

/// Whether it was no folder and is removed.
fn remove_file(folder: BorrowedFd<'_>, name: &OsStr) -> Result<bool, Errno> {
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        // POSIX's answer for a folder; ours when the folder it is in may not be written to.
        Err(e @ (Errno::PERM | Errno::ACCESS)) => open_folder(folder, name).map(|_| false).map_err(|_| e),
        Err(e) => Err(e),
    }
}

/// Opens a folder; one that its own mode locks is unlocked first.
fn open_folder(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let path = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
    let locked = rustix::fs::fstat(&path)?.st_mode & 0o700 != 0o700;
    if locked {
        // By descriptor: what has the name now may be a link.
        chmod(format!("/proc/self/fd/{}", path.as_raw_fd()), Mode::RWXU)?;
    }
    openat(&path, ".", flags | OFlags::RDONLY, Mode::empty())
}

/// What somebody else has removed is as good as removed.
fn gone(result: Result<bool, Errno>) -> Result<bool, Errno> {
    match result {
        Err(Errno::NOENT) => Ok(true),
        other => other,
    }
}
