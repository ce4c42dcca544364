//! A stream that becomes a job file when the task succeeds: written beside its place, renamed at the end.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use crate::{beneath, capture::describe};

/// A job file in the making.
#[derive(Debug)]
pub(crate) struct Publish {
    job_files: PathBuf,
    relative: String,
    temporary: Option<(PathBuf, File)>,
    problem: Option<String>,
}

impl Publish {
    pub(crate) fn new(job_files: PathBuf, relative: &str) -> Self {
        Self { job_files, relative: relative.to_owned(), temporary: None, problem: None }
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
            let parent = self.relative.rsplit_once('/').map_or("", |(parent, _)| parent);
            let folder = beneath::make_folder(&self.job_files, parent)?;
            let name = format!(".{}.{}.part", self.file_name(), std::process::id());
            let path = folder.join(name);
            let file = File::create(&path).map_err(|error| describe(&error))?;
            self.temporary = Some((path, file));
        }
        match &mut self.temporary {
            Some((_, file)) => Ok(file),
            None => Err("BUG: just made".into()),
        }
    }
}
