//! How job files differ from a folder of this host (`files diff`).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::{Area, Entry, Error, JobFiles, JobPath, Kind, fs};

/// How one path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Difference {
    /// Only the job has it.
    OnlyInJob,
    /// Only the folder has it.
    OnlyInFolder,
    /// One is a file and the other a folder, …
    Kind,
    /// The content differs.
    Content,
}

/// What differs between the job files and a folder, by path. Folders as such, sockets, pipes and devices do not count;
/// a link counts as what it leads to.
///
/// # Errors
/// One of them cannot be read.
pub async fn diff(
    store: &dyn JobFiles,
    area: &Area,
    patterns: &[String],
    folder: &Path,
) -> Result<Vec<(JobPath, Difference)>, Error> {
    let there = fs::Root::open(folder).map_err(|e| Error::host("open folder", folder, e))?;
    let mut others: BTreeMap<_, _> =
        there.list(patterns)?.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    let mut differences = Vec::new();
    for entry in store.list(area, patterns).await? {
        match others.remove(&entry.path) {
            None if counts(&entry) => differences.push((entry.path, Difference::OnlyInJob)),
            None => {}
            Some(other) if (entry.kind == Kind::Folder) != (other.kind == Kind::Folder) => {
                differences.push((entry.path, Difference::Kind));
            }
            Some(other) if counts(&entry) && counts(&other) => {
                let both_files = entry.kind == Kind::File && other.kind == Kind::File;
                let same = if both_files && entry.size != other.size {
                    false
                } else {
                    same_content(store.open(area, &entry.path).await, there.open_file(&entry.path))?
                };
                if !same {
                    differences.push((entry.path, Difference::Content));
                }
            }
            Some(_) => {}
        }
    }
    let rest = others.into_values().filter(counts).map(|entry| (entry.path, Difference::OnlyInFolder));
    differences.extend(rest);
    differences.sort();
    Ok(differences)
}

fn counts(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File | Kind::Link)
}

fn same_content(one: Result<File, Error>, other: Result<File, Error>) -> Result<bool, Error> {
    let (mut one, mut other) = match (one, other) {
        (Ok(one), Ok(other)) => (one, other),
        // Links that lead nowhere, out, or to a folder.
        (Err(_), Err(_)) => return Ok(true),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => return Ok(false),
    };
    let fail = |e| Error::Job { verb: "read", path: JobPath::root(), source: e };
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let (n, m) = (fill(&mut one, &mut a).map_err(fail)?, fill(&mut other, &mut b).map_err(fail)?);
        if a[..n] != b[..m] {
            return Ok(false);
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
