//! Copying job files out to a folder of this host (`files get`, `--get GLOB:DIR`).

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use crate::{Area, Entry, Error, JobFiles, JobPath, Kind};

/// What was copied out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What was left out, and why.
    pub skipped: Vec<(JobPath, &'static str)>,
}

/// Copies what the patterns mean into `folder`, under the same relative paths. What is there is replaced.
///
/// # Errors
/// Something cannot be read or written.
pub async fn export(store: &dyn JobFiles, area: &Area, patterns: &[String], folder: &Path) -> Result<Exported, Error> {
    let mut exported = Exported::default();
    fs::create_dir_all(folder).map_err(|e| Error::host("make folder", folder, e))?;
    for entry in store.list(area, patterns).await? {
        let to = folder.join(entry.path.as_path());
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(|e| Error::host("make folder", parent, e))?;
        }
        match entry.kind {
            Kind::Folder => fs::create_dir_all(&to).map_err(|e| Error::host("make folder", &to, e))?,
            Kind::File => {
                exported.bytes += copy_out(store, area, &entry, &to).await?;
                exported.files += 1;
            }
            // A link becomes the file that it leads to; one that leads out is refused by `open`.
            Kind::Link => match copy_out(store, area, &entry, &to).await {
                Ok(bytes) => {
                    exported.bytes += bytes;
                    exported.files += 1;
                }
                Err(Error::Escapes(path)) => exported.skipped.push((path, "leads out of the job files")),
                Err(Error::NotFound(path)) => exported.skipped.push((path, "leads nowhere")),
                Err(Error::WrongKind { path, .. }) => exported.skipped.push((path, "leads to a folder")),
                Err(error) => return Err(error),
            },
            Kind::Special => exported.skipped.push((entry.path, "is a socket, pipe or device")),
        }
    }
    Ok(exported)
}

async fn copy_out(store: &dyn JobFiles, area: &Area, entry: &Entry, to: &Path) -> Result<u64, Error> {
    let mut from = store.open(area, &entry.path).await?;
    let error = |e| Error::host("write", to, e);
    // A link that is there is replaced, not followed.
    match fs::remove_file(to) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(error(e)),
        Ok(()) | Err(_) => {}
    }
    let mode = if entry.kind == Kind::File { entry.mode & 0o777 | 0o200 } else { 0o666 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(to).map_err(error)?;
    io::copy(&mut from, &mut file).map_err(error)
}
