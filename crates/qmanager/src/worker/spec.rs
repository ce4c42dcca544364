//! From a task's definition to what the executor is told.

use std::{collections::BTreeMap, path::Path};

use executor::{AttemptFacts, JobFacts, SecretSource, Secrets, SpecBuilder, TaskSpec};
use workflow_model::{Attempt, TaskIx};

use super::{Error, process::Worker, run::Run};
use crate::foreground;

/// More problems than this are only counted: the message is a row in the queue.
const SHOWN: usize = 5;

impl Worker {
    /// Everything resolved for one attempt.
    pub(super) fn spec(&self, run: &Run, task: TaskIx, attempt: Attempt, tmp: &Path) -> Result<TaskSpec, String> {
        let given = sources(run)?;
        let job_files = run.job_files();
        let facts = JobFacts {
            id: run.job.id,
            job_files: &job_files,
            env: &run.settings.env,
            command_env: &run.settings.env_override,
        };
        let attempt = AttemptFacts { task, attempt, tmp };
        let spec = self.builder(run, &given)?.build(&facts, run.workflow.task(task), &attempt);
        spec.map_err(|error| error.to_string())
    }

    /// The executor's own needs, for every task, before any of them starts (design §3).
    pub(super) fn check(&self, run: &Run) -> Result<(), String> {
        let given = sources(run)?;
        let findings = self.builder(run, &given)?.check(&run.workflow, &run.settings.env);
        if findings.errors.is_empty() {
            return Ok(());
        }
        let mut problems: Vec<String> = findings
            .errors
            .iter()
            .take(SHOWN)
            .map(|(task, why)| match task {
                Some(task) => format!("task {task:?}: {why}", task = task.as_str()),
                None => why.clone(),
            })
            .collect();
        if let more @ 1.. = findings.errors.len().saturating_sub(SHOWN) {
            problems.push(format!("and {more} more"));
        }
        Err(problems.join("; "))
    }

    /// Makes the folder of the job files, unless it is one of the user's.
    pub(super) fn prepare_job_files(&self, run: &Run) -> Result<(), Error> {
        if run.settings.job_files.is_none() {
            std::fs::create_dir_all(run.dir.files()).map_err(Error::io("make the folder of the job files"))?;
        }
        Ok(())
    }

    fn builder<'a>(
        &'a self,
        run: &'a Run,
        given: &'a BTreeMap<String, SecretSource>,
    ) -> Result<SpecBuilder<'a>, String> {
        let pool = &self.setup.pool;
        // Under `run` the caller is the owner: it may use what it can read.
        let all_allowed = foreground::is_reserved(&run.job.queue);
        let secrets = Secrets::new(&pool.settings.secrets, given, &self.setup.ambient, &run.job.queue, all_allowed);
        SpecBuilder::new(pool.executor, &pool.settings, &self.setup.ambient, secrets).map_err(|e| e.to_string())
    }
}

/// `run --secret NAME=SOURCE`.
fn sources(run: &Run) -> Result<BTreeMap<String, SecretSource>, String> {
    let parse = |(name, source): (&String, &String)| Ok((name.clone(), source.parse()?));
    run.settings.secrets.iter().map(parse).collect()
}
