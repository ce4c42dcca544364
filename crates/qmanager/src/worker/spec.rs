//! What the worker tells the executor about a task of its job.

use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::Path,
};

use executor::TaskSpec;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use workflow_model::{Attempt, TaskIx};

use super::{Error, process::Worker, run::Run};
use crate::spec::{Host, Shared};

impl Worker {
    /// Everything resolved for one attempt.
    pub(super) fn spec(&self, run: &Run, task: TaskIx, attempt: Attempt, tmp: &Path) -> Result<TaskSpec, String> {
        self.host_view().spec(&shared(run), task, attempt, tmp)
    }

    /// The executor's own needs, for every task, before any of them starts.
    pub(super) fn check(&self, run: &Run) -> Result<(), String> {
        self.host_view().check(&shared(run))
    }

    /// Makes the folder of the job files, unless it is one of the user's. Under `run_as` it belongs to that user, who
    /// must be able to reach it: the folders above it may be passed through then, but not listed.
    pub(super) fn prepare_job_files(&self, run: &Run, first: bool) -> Result<(), Error> {
        let wrong = || Error::io("make the folder of the job files");
        let files = run.dir.files();
        if run.settings.job_files.is_none() {
            fs::create_dir_all(&files).map_err(wrong())?;
        }
        // A `run_as` that means nothing here was found by `check`.
        if let Ok(Some((uid, gid))) = self.host_view().run_as(&shared(run)) {
            let above = [self.layout.state_dir(), &self.layout.jobs(), run.dir.root(), &run.dir.reports()];
            for folder in above {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(wrong())?;
            }
            // Once, before any task has run: afterwards the files are that user's own affair.
            if first && run.settings.job_files.is_none() {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let folder = rustix::fs::open(&files, flags, Mode::empty());
                folder.map_err(io::Error::from).and_then(|folder| give(folder, uid, gid)).map_err(wrong())?;
            }
        }
        Ok(())
    }

    fn host_view(&self) -> Host<'_> {
        let pool = &self.setup.pool;
        Host { executor: pool.executor, settings: &pool.settings, ambient: &self.setup.ambient }
    }
}

fn shared(run: &Run) -> Shared<'_> {
    Shared {
        job: run.job.id,
        queue: &run.job.queue,
        workflow: &run.workflow,
        settings: &run.settings,
        job_files: run.job_files(),
    }
}

/// Files that were put in before the start belong to the tasks' user too. Only what is ours and has no second name is
/// given away, and every step goes by descriptor: no link is followed, whatever is changed meanwhile.
fn give(folder: OwnedFd, uid: u32, gid: u32) -> io::Result<()> {
    let (own, owner, group) =
        (rustix::process::geteuid().as_raw(), rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
    for entry in rustix::fs::Dir::read_from(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes() == b"." || name.to_bytes() == b".." {
            continue;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = rustix::fs::openat(&folder, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&found)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if stat.st_uid != own || !(kind == FileType::Directory || stat.st_nlink == 1) {
            continue;
        }
        if kind == FileType::Directory {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            give(rustix::fs::openat(&folder, name, flags, Mode::empty())?, uid, gid)?;
        }
        rustix::fs::chownat(&found, "", Some(owner), Some(group), AtFlags::EMPTY_PATH)?;
    }
    rustix::fs::fchown(&folder, Some(owner), Some(group))?;
    Ok(())
}
