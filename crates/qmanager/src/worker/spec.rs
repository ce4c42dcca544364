//! What the worker tells the executor about a task of its job.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use executor::TaskSpec;
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
    pub(super) fn prepare_job_files(&self, run: &Run) -> Result<(), Error> {
        let wrong = || Error::io("make the folder of the job files");
        let files = run.dir.files();
        if run.settings.job_files.is_none() {
            fs::create_dir_all(&files).map_err(wrong())?;
        }
        // A `run_as` that means nothing here was found by `check`.
        if let Ok(Some((uid, gid))) = self.host_view().run_as(&shared(run)) {
            let above = [self.layout.state_dir(), &self.layout.jobs(), run.dir.root(), &run.dir.root().join("tmp")];
            for folder in above {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).map_err(wrong())?;
            }
            if run.settings.job_files.is_none() {
                give(&files, uid, gid).map_err(wrong())?;
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

/// Files that were put in before the start belong to the tasks' user too. Links are not followed.
fn give(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))?;
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), uid, gid)?;
        }
    }
    Ok(())
}
