//! What the worker tells the executor about a task of its job.

use std::path::Path;

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

    /// Makes the folder of the job files, unless it is one of the user's.
    pub(super) fn prepare_job_files(run: &Run) -> Result<(), Error> {
        if run.settings.job_files.is_none() {
            std::fs::create_dir_all(run.dir.files()).map_err(Error::io("make the folder of the job files"))?;
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
