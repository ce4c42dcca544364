//! From a task's definition, a job's settings and this host's configuration to what the executor is told: one way for
//! the worker and for debugging.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use executor::{AttemptFacts, JobFacts, SecretSource, Secrets, Settings, SpecBuilder, TaskSpec};
use workflow_model::{Attempt, ExecutorKind, JobId, QueueName, TaskIx, Workflow};

use crate::{foreground, settings::JobSettings};

/// More problems than this are only counted: the message is a row in the queue.
const SHOWN: usize = 5;

/// What this host knows: the pool's settings, and the environment of whoever started it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host<'a> {
    pub(crate) executor: ExecutorKind,
    pub(crate) settings: &'a Settings,
    pub(crate) ambient: &'a BTreeMap<String, String>,
}

/// What the tasks of a job share.
#[derive(Debug, Clone)]
pub(crate) struct Shared<'a> {
    pub(crate) job: JobId,
    pub(crate) queue: &'a QueueName,
    pub(crate) workflow: &'a Workflow,
    pub(crate) settings: &'a JobSettings,
    pub(crate) job_files: PathBuf,
}

impl Host<'_> {
    /// Everything resolved for one attempt.
    ///
    /// # Errors
    /// All that stands in the way, in one text.
    pub(crate) fn spec(
        &self,
        job: &Shared<'_>,
        task: TaskIx,
        attempt: Attempt,
        tmp: &Path,
    ) -> Result<TaskSpec, String> {
        let given = sources(job.settings)?;
        let facts = JobFacts {
            id: job.job,
            job_files: &job.job_files,
            env: &job.settings.env,
            command_env: &job.settings.env_override,
        };
        let builder = self.builder(job.queue, &given)?;
        let spec = builder.build(&facts, job.workflow.task(task), &AttemptFacts { task, attempt, tmp });
        spec.map_err(|error| error.to_string())
    }

    /// The executor's own needs, for every task, before any of them starts (design §3).
    ///
    /// # Errors
    /// The first problems, in one text.
    pub(crate) fn check(&self, job: &Shared<'_>) -> Result<(), String> {
        let given = sources(job.settings)?;
        let findings = self.builder(job.queue, &given)?.check(job.workflow, &job.settings.env);
        if findings.errors.is_empty() {
            return Ok(());
        }
        let sentence = |(task, why): &(Option<workflow_model::TaskName>, String)| match task {
            Some(task) => format!("task {:?}: {why}", task.as_str()),
            None => why.clone(),
        };
        let mut problems: Vec<String> = findings.errors.iter().take(SHOWN).map(sentence).collect();
        if let more @ 1.. = findings.errors.len().saturating_sub(SHOWN) {
            problems.push(format!("and {more} more"));
        }
        Err(problems.join("; "))
    }

    /// Whose tasks they are, if not ours (`run_as`).
    ///
    /// # Errors
    /// The settings mean nothing on this host.
    pub(crate) fn run_as(&self, job: &Shared<'_>) -> Result<Option<(u32, u32)>, String> {
        let given = sources(job.settings)?;
        Ok(self.builder(job.queue, &given)?.run_as())
    }

    fn builder<'a>(
        &'a self,
        queue: &'a QueueName,
        given: &'a BTreeMap<String, SecretSource>,
    ) -> Result<SpecBuilder<'a>, String> {
        // Under `run` the caller is the owner: it may use what it can read.
        let all_allowed = foreground::is_reserved(queue);
        let secrets = Secrets::new(&self.settings.secrets, given, self.ambient, queue, all_allowed);
        SpecBuilder::new(self.executor, self.settings, self.ambient, secrets).map_err(|error| error.to_string())
    }
}

/// `run --secret NAME=SOURCE`.
fn sources(settings: &JobSettings) -> Result<BTreeMap<String, SecretSource>, String> {
    let parse = |(name, source): (&String, &String)| Ok((name.clone(), source.parse()?));
    settings.secrets.iter().map(parse).collect()
}
