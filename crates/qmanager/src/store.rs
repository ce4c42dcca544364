//! Which folder of job files it is: hosts that share a database may each have one at the same path.

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// In the folder of all jobs' folders.
const FILE: &str = ".store";

/// The folder's id, `<host>-<8 hexadecimal digits>`; made with the folder if there is none. All who see the same folder
/// (a mounted one) read the same.
///
/// # Errors
/// The folder or its file cannot be made or read.
pub(crate) fn id(jobs: &Path) -> io::Result<String> {
    let path = jobs.join(FILE);
    match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(jobs)?;
    let random = uuid::Uuid::new_v4().as_fields().0;
    let draft = jobs.join(format!("{FILE}.{random:08x}"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    let placed = file.write_all(format!("{host}-{random:08x}").as_bytes()).and_then(|()| file.sync_all());
    // Of two who come at once, one is first; both use its name.
    let placed = placed.and_then(|()| match fs::hard_link(&draft, &path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    fs::remove_file(&draft)?;
    placed.and_then(|()| read(&path))
}

/// The host in an id, for people.
pub(crate) fn host_of(place: &str) -> &str {
    place.trim_start_matches("fs:").rsplit_once('-').map_or(place, |(host, _)| host)
}

fn read(path: &Path) -> io::Result<String> {
    let id = fs::read_to_string(path)?;
    let id = id.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(plain) {
        return Err(io::Error::other(format!(
            "{} holds no store's id; remove it if nobody uses the folder",
            path.display()
        )));
    }
    Ok(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_and_another_has_another() {
        let place = tempfile::tempdir().unwrap();
        let (a, b) = (place.path().join("a/jobs"), place.path().join("b"));
        let ids: Vec<String> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| id(&a).unwrap())).collect();
            made.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|each| *each == ids[0]), "{ids:?}");
        assert_ne!(id(&b).unwrap(), ids[0]);
        assert_eq!(fs::read_dir(&a).unwrap().count(), 1, "no draft is left");
        fs::write(b.join(FILE), "a b").unwrap();
        assert!(id(&b).is_err());
    }
}
