//! Job files as a folder: `<root>/<job-id>/files`, or a folder of the user's.

mod beneath;
mod copy;
mod identity;
mod root;
mod sweep;

use std::{
    fs::File,
    io::Read,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use rustix::{
    fs::{self as sys, Mode, OFlags},
    io::Errno,
};
use workflow_model::{Attempt, JobId, TaskIx};

use crate::{Area, Capabilities, Entry, Error, JobFiles, JobPath, Staged, StoreId};

pub(crate) use root::Root;

/// Job files in folders of this host, or of a file system that hosts share. Tasks work in the folder itself.
#[derive(Debug)]
pub struct Fs {
    root: PathBuf,
    id: StoreId,
}

impl Fs {
    /// The store in `root`, which is made (0700) if it is not there, as is its id.
    ///
    /// # Errors
    /// It cannot be made or read, or its id file is something else.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let root = std::path::absolute(root.into()).map_err(|e| Error::host("find", Path::new("."), e))?;
        make_folder(&root)?;
        let id = identity::read_or_make(&root)?;
        Ok(Self { root, id })
    }

    /// The folder of everything that is kept of a job: `files/`, `logs/`, `reports/`.
    #[must_use]
    pub fn job_folder(&self, job: JobId) -> PathBuf {
        self.root.join(job.to_string())
    }

    fn files(&self, area: &Area) -> PathBuf {
        area.folder.clone().unwrap_or_else(|| self.job_folder(area.job).join("files"))
    }

    fn area(&self, area: &Area) -> Result<Root, Error> {
        let folder = self.files(area);
        Root::open(&folder).map_err(|e| match e {
            Errno::NOENT | Errno::NOTDIR => Error::NoFolder(folder),
            e => Error::host("open folder", &folder, e),
        })
    }
}

#[async_trait]
impl JobFiles for Fs {
    fn id(&self) -> &StoreId {
        &self.id
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { failed_attempts_leave_files: true, shared_folder: true }
    }

    async fn create(&self, area: &Area) -> Result<(), Error> {
        let own = self.job_folder(area.job);
        make_folder(&own)?;
        match &area.folder {
            None => make_folder(&own.join("files")),
            Some(_) => self.area(area).map(drop),
        }
    }

    fn folder(&self, area: &Area) -> Option<PathBuf> {
        Some(self.files(area))
    }

    async fn stage_in(&self, area: &Area, _task: TaskIx, _attempt: Attempt) -> Result<PathBuf, Error> {
        Ok(self.files(area))
    }

    async fn stage_out(&self, _area: &Area, _task: TaskIx, _attempt: Attempt) -> Result<Staged, Error> {
        Ok(Staged::default())
    }

    async fn import(&self, area: &Area, source: &Path, target: Option<&JobPath>) -> Result<(), Error> {
        copy::import(&self.area(area)?, &self.files(area), source, target)
    }

    async fn list(&self, area: &Area, patterns: &[String]) -> Result<Vec<Entry>, Error> {
        self.area(area)?.list(patterns)
    }

    async fn open(&self, area: &Area, path: &JobPath) -> Result<File, Error> {
        self.area(area)?.open_file(path)
    }

    async fn put(&self, area: &Area, path: &JobPath, content: &mut (dyn Read + Send)) -> Result<u64, Error> {
        self.area(area)?.put(path, content, Mode::from_raw_mode(0o666))
    }

    async fn remove(&self, area: &Area, path: &JobPath) -> Result<(), Error> {
        self.area(area)?.remove(path)
    }

    async fn forget(&self, area: &Area) -> Result<(), Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = sys::open(&self.root, flags, Mode::empty()).map_err(|e| Error::host("open", &self.root, e))?;
        match sweep::remove_tree(root.as_fd(), area.job.to_string().as_ref()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(Error::host("remove", &self.job_folder(area.job), e)),
        }
    }
}

/// A folder that only we may enter, and those above it.
fn make_folder(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| Error::host("make folder", path, e))
}
