//! Who a folder store is: a random id in a file of its own, made once.

use std::{fs, io, path::Path};

use rustix::fs::statfs;

use crate::{Error, StoreId};

const FILE: &str = ".store-id";

/// File systems that other hosts see: NFS, SMB (1, 2+), Ceph, Lustre, 9p, GPFS, AFS, FUSE, GlusterFS and OCFS2 among them.
const SHARED: [u64; 10] = [
    0x6969,
    0x517b,
    0xfe53_4d42,
    0xff53_4d42,
    0x00c3_6400,
    0x0bd0_0bd0,
    0x0102_1997,
    0x4750_4653,
    0x6573_5546,
    0x7461_636f,
];

pub(super) fn read_or_make(root: &Path) -> Result<StoreId, Error> {
    let file = root.join(FILE);
    let id = match fs::read_to_string(&file) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => make(root, &file)?,
        read => read.map_err(|e| Error::host("read", &file, e))?,
    };
    let id = uuid::Uuid::try_parse(id.trim_end()).map_err(|_| Error::NotAStore(file))?;
    let kind = statfs(root).map_err(|e| Error::host("look at", root, e))?.f_type;
    // The type of `f_type` differs between architectures; the numbers are 32 bits wide.
    let shared = SHARED.contains(&(kind as u64 & 0xffff_ffff));
    Ok(StoreId { id: format!("fs-{}", id.simple()), shared })
}

/// Writes a new id, whole or not at all; the first of several processes wins.
fn make(root: &Path, file: &Path) -> Result<String, Error> {
    let id = uuid::Uuid::new_v4();
    let new = root.join(format!("{FILE}.{}", id.simple()));
    let error = |e| Error::host("write", file, e);
    fs::write(&new, format!("{id}\n")).map_err(error)?;
    let linked = fs::hard_link(&new, file);
    fs::remove_file(&new).map_err(error)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(error(e)),
        Ok(()) | Err(_) => fs::read_to_string(file).map_err(error),
    }
}
