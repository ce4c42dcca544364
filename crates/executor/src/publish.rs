//! A stream that becomes a job file when the task succeeds: written beside its place, renamed at the end.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{beneath, capture::describe};

/// A job file in the making.
#[derive(Debug)]
pub(crate) struct Publish {
    job_files: PathBuf,
    relative: String,
    temporary: Option<(PathBuf, File)>,
    problem: Option<String>,
    /// Whose file it is to be: the umask it is made with, and its owner; ours unless said.
    umask: Option<u32>,
    owner: Option<(u32, u32)>,
}

impl Publish {
    pub(crate) fn new(job_files: PathBuf, relative: &str) -> Self {
        Self { job_files, relative: relative.to_owned(), temporary: None, problem: None, umask: None, owner: None }
    }

    pub(crate) fn give_to(&mut self, umask: Option<u32>, owner: Option<(u32, u32)>) {
        (self.umask, self.owner) = (umask, owner);
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.problem.is_some() {
            return;
        }
        let written = self.open().and_then(|file| file.write_all(bytes).map_err(|error| describe(&error)));
        if let Err(problem) = written {
            self.problem = Some(problem);
        }
    }

    /// Puts the file in its place on success, takes it away otherwise.
    pub(crate) fn finish(mut self, success: bool) -> Result<(), String> {
        if success && self.problem.is_none() {
            let done = self.open().map(|_| ()).and_then(|()| self.rename());
            self.problem = done.err();
        }
        if let Some((path, _)) = &self.temporary {
            // After a rename there is nothing to remove.
            drop(fs::remove_file(path));
        }
        match self.problem {
            Some(problem) if success => {
                Err(format!("cannot publish standard output as {:?}: {problem}", self.relative))
            }
            _ => Ok(()),
        }
    }

    fn rename(&self) -> Result<(), String> {
        let Some((path, _)) = &self.temporary else { return Ok(()) };
        let target = path.with_file_name(self.file_name());
        if target.is_dir() {
            return Err("a folder is in its place".into());
        }
        fs::rename(path, target).map_err(|error| describe(&error))
    }

    fn file_name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or(&self.relative)
    }

    fn open(&mut self) -> Result<&mut File, String> {
        if self.temporary.is_none() {
            beneath::check_relative(&self.relative)?;
            let parent = self.relative.rsplit_once('/').map_or("", |(parent, _)| parent);
            let made = |folder: &Path| self.hand_over(folder, 0o777);
            let folder = beneath::make_folder(&self.job_files, parent, &made)?;
            let name = format!(".{}.{}.part", self.file_name(), std::process::id());
            let path = folder.join(name);
            let file = File::create(&path).map_err(|error| describe(&error))?;
            self.hand_over(&path, 0o666).map_err(|error| describe(&error))?;
            self.temporary = Some((path, file));
        }
        match &mut self.temporary {
            Some((_, file)) => Ok(file),
            None => Err("BUG: just made".into()),
        }
    }

    /// Makes it look as if the task had made it.
    fn hand_over(&self, path: &Path, mode: u32) -> io::Result<()> {
        if let Some(umask) = self.umask {
            fs::set_permissions(path, fs::Permissions::from_mode(mode & !umask))?;
        }
        match self.owner {
            Some((uid, gid)) => std::os::unix::fs::chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}
