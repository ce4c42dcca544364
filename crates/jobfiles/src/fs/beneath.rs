//! Opening what is in a folder, and nothing outside it, whatever links a task has left there (F90).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

use crate::JobPath;

/// Opens `path` below `root`. A link that stays below it is followed; `Errno::XDEV` = the path leads out.
pub(super) fn open(root: BorrowedFd<'_>, path: &JobPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let flags = flags | OFlags::CLOEXEC;
    let name = if path.is_root() { ".".as_ref() } else { path.as_path() };
    // The kernel answers AGAIN when something above was renamed meanwhile and it cannot tell.
    for _ in 0..16 {
        match openat2(root, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            // Kernels before 5.6, and sandboxes that do not know it.
            Err(Errno::NOSYS | Errno::PERM) => return open_stepwise(root, path, flags),
            other => return other,
        }
    }
    open_stepwise(root, path, flags)
}

/// The same without openat2: name by name, and no link is followed at all.
pub(super) fn open_stepwise(root: BorrowedFd<'_>, path: &JobPath, flags: OFlags) -> Result<OwnedFd, Errno> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(root, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let Some(name) = path.name() else { return openat(root, ".", flags, Mode::empty()) };
    for part in path.parts().take(path.parts().count() - 1) {
        folder = openat(&folder, part, through, Mode::empty()).map_err(|e| link(folder.as_fd(), part, e))?;
    }
    openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty()).map_err(|e| link(folder.as_fd(), name, e))
}

/// A link shows as LOOP, or as NOTDIR where a folder was asked for.
fn link(folder: BorrowedFd<'_>, name: &std::ffi::OsStr, error: Errno) -> Errno {
    use rustix::fs::{AtFlags, FileType, statat};
    let is_link = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    if is_link { Errno::XDEV } else { error }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn f90_without_openat2_no_link_is_followed() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        fs::write(tmp.path().join("secret"), "x").unwrap();
        symlink("b", root.join("a/inside")).unwrap();
        symlink("../..", root.join("a/out")).unwrap();
        symlink("../../../secret", root.join("a/b/secret")).unwrap();
        let fd = rustix::fs::open(&root, OFlags::DIRECTORY, Mode::empty()).unwrap();
        let open = |path: &str| open_stepwise(fd.as_fd(), &JobPath::new(path).unwrap(), OFlags::RDONLY).map(drop);
        assert_eq!(open("a/b/file"), Ok(()));
        assert_eq!(open("."), Ok(()));
        for path in ["a/inside/file", "a/out/secret", "a/b/secret", "a/out"] {
            assert_eq!(open(path), Err(Errno::XDEV), "{path}");
        }
        assert_eq!(open("a/none"), Err(Errno::NOENT));
        assert_eq!(open("a/b/file/x"), Err(Errno::NOTDIR));
    }
}
