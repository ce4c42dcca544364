//! The file on its disk: where it may be, and whether it is still the one that was opened.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::Error;

/// The database file as it was when it was opened.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    db: Inode,
    /// The WAL and its index in shared memory, once seen.
    beside: [(PathBuf, Option<Inode>); 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Inode {
    device: u64,
    number: u64,
}

impl Place {
    /// Looks at an existing file; refuses what SQLite must not be used on.
    pub(super) fn of(path: &Path, network_file_system: bool) -> Result<Self, Error> {
        let path = fs::canonicalize(path).map_err(|e| Error::io(format!("find {}", path.display()), e))?;
        let meta = fs::metadata(&path).map_err(|e| Error::io(format!("look at {}", path.display()), e))?;
        let refuse = |why: String| Err(Error::Unusable(format!("{}: {why}", path.display())));
        if !meta.is_file() {
            return refuse("it is not a regular file; give the path of a file".into());
        }
        if meta.len() == 0 {
            return refuse(
                "the file is empty; if it was not made by qmanager, or holds nothing of value, remove it".into(),
            );
        }
        if meta.permissions().readonly() {
            return refuse("the file is marked read-only; `chmod u+w` it".into());
        }
        if meta.nlink() > 1 {
            return refuse(
                "the file has more than one name (hard link), and SQLite's locks hold for one; keep one name".into(),
            );
        }
        if !network_file_system && let Some(kind) = network_file_system_of(&path)? {
            return refuse(format!(
                "it is on {kind}, where file locks cannot be trusted; put the state folder on a local disk (`--state-dir`)"
            ));
        }
        let beside = ["-wal", "-shm"].map(|suffix| (beside(&path, suffix), None));
        Ok(Self { db: Inode::of(&meta), beside, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses to go on when the file or one beside it was replaced or removed (F35): writes would go into nowhere, or past
    /// those of other processes.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match inode(&self.path) {
            Ok(now) if now == self.db => {}
            other => return Err(lost(&self.path, other.is_ok())),
        }
        // SQLite removes them only with the last connection, and ours is open.
        for (path, seen) in &mut self.beside {
            match (*seen, inode(path)) {
                (None, now) => *seen = now.ok(),
                (Some(then), Ok(now)) if then == now => {}
                (Some(_), other) => return Err(lost(path, other.is_ok())),
            }
        }
        Ok(())
    }

    /// The connection was closed: the files beside may be made anew.
    pub(super) fn forget(&mut self) {
        for (_, seen) in &mut self.beside {
            *seen = None;
        }
    }
}

fn lost(path: &Path, replaced: bool) -> Error {
    let what = if replaced { "replaced" } else { "removed" };
    Error::Unusable(format!(
        "{} was {what} while it was in use; stop all of qmanager, put the right files in place, start again (copies are \
         made with `VACUUM INTO`, never by copying a database in use)",
        path.display()
    ))
}

impl Inode {
    fn of(meta: &fs::Metadata) -> Self {
        Self { device: meta.dev(), number: meta.ino() }
    }
}

/// `queue.db` and `-wal` make `queue.db-wal`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The kind of file system, if it is one of those whose locks or shared memory do not work for SQLite.
pub(super) fn network_file_system_of(path: &Path) -> Result<Option<&'static str>, Error> {
    let stat = rustix::fs::statfs(path).map_err(|e| Error::io(format!("look at the disk of {}", path.display()), e))?;
    // The kernel's magic numbers are 32 bits, stored in a signed word.
    Ok(network_file_system_by(u64::from_ne_bytes((stat.f_type as i64).to_ne_bytes()) & 0xffff_ffff))
}

fn network_file_system_by(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "an SMB share",
        0x0102_1997 => "9p",
        0x6573_5546 => "FUSE",
        0x00c3_6400 => "CephFS",
        0x0bd0_0bd0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x786f_4256 => "a VirtualBox share",
        _ => return None,
    })
}

fn inode(path: &Path) -> io::Result<Inode> {
    fs::metadata(path).map(|meta| Inode::of(&meta))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f35_network_file_systems_are_known_by_number() {
        assert_eq!(network_file_system_by(0x6969), Some("NFS"));
        assert_eq!(network_file_system_by(0xff53_4d42), Some("an SMB share"));
        assert_eq!(network_file_system_by(0x6573_5546), Some("FUSE"));
        for local in [0xef53, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(network_file_system_by(local), None, "{local:#x}");
        }
    }
}
