//! What tasks have left with an engine because whoever ran them is dead: found by its labels, and removed unless the queue
//! says that it is an attempt under way.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use executor::label;
use job_queue::JobQueue;
use task_process::aside::{self, Answer, Question};
use workflow_model::{ExecutorKind, JobId, TaskStatus};

use super::Options;

/// Between two sweeps.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// The engines of a manager's pools.
#[derive(Debug, Clone)]
pub(super) struct Reaper {
    queue: Arc<dyn JobQueue>,
    /// By address, the program that speaks to it.
    engines: BTreeMap<String, PathBuf>,
    host: String,
}

/// What a container says of itself.
type Labels = BTreeMap<String, String>;

/// The tasks of a job that run, with their attempts.
type Running = HashMap<String, String>;

impl Reaper {
    /// `None`: none of the pools leaves anything anywhere.
    pub(super) fn new(options: &Options, queue: Arc<dyn JobQueue>, host: &str) -> Option<Self> {
        let docker = options.pools.iter().filter(|pool| pool.executor == ExecutorKind::Docker);
        let engines: BTreeMap<String, PathBuf> = docker
            .filter_map(|pool| {
                let address = executor::engine_address(&pool.settings.executors.docker, &options.ambient);
                Some((address, options.task_executors.get(&pool.executor)?.clone()))
            })
            .collect();
        (!engines.is_empty()).then(|| Self { queue, engines, host: host.to_owned() })
    }

    /// One sweep over all engines. What cannot be done now is done by the next.
    pub(super) async fn sweep(self) {
        for (host, program) in &self.engines {
            if let Err(why) = self.sweep_one(host, program).await {
                tracing::debug!(host, why, "cannot look for what is left");
            }
        }
    }

    async fn sweep_one(&self, host: &str, program: &Path) -> Result<(), String> {
        // First what there is, then what the queue says: a task's container is there only after its row is (record
        // before act), and gone before its row says that it ended.
        let question = Question::List { host: host.to_owned(), owner: self.host.clone() };
        let Answer::Listed(found) = ask(program, question).await? else { return Err("not a list".into()) };
        let mut jobs: HashMap<JobId, Option<Running>> = HashMap::new();
        let mut names = Vec::new();
        for (name, labels) in found? {
            if self.is_stale(&labels, &mut jobs).await {
                tracing::info!(name, "removing what a dead task executor left");
                names.push(name);
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        match ask(program, Question::Remove { host: host.to_owned(), names }).await? {
            Answer::Done(done) => done,
            _ => Err("not an answer to remove".into()),
        }
    }

    /// Whether nobody waits for it. Of jobs that this queue does not know nothing is known.
    async fn is_stale(&self, labels: &Labels, jobs: &mut HashMap<JobId, Option<Running>>) -> bool {
        if let Some(debugger) = labels.get(label::DEBUGGER) {
            return task_process::has_ended(debugger);
        }
        let Some(job) = labels.get(label::JOB).and_then(|job| job.parse::<JobId>().ok()) else { return false };
        if let Entry::Vacant(place) = jobs.entry(job) {
            place.insert(self.running(job).await);
        }
        let Some(Some(running)) = jobs.get(&job) else { return false };
        let (Some(task), Some(attempt)) = (labels.get(label::TASK), labels.get(label::ATTEMPT)) else { return false };
        running.get(task) != Some(attempt)
    }

    async fn running(&self, job: JobId) -> Option<Running> {
        self.queue.get(job).await.ok()?;
        let rows = self.queue.tasks(job).await.ok()?;
        let running = rows.into_iter().filter(|row| row.status == TaskStatus::Running);
        Some(running.map(|row| (row.task.to_string(), row.attempt.to_string())).collect())
    }
}

async fn ask(program: &Path, question: Question) -> Result<Answer, String> {
    let program = program.to_path_buf();
    let asked = tokio::task::spawn_blocking(move || aside::ask(&program, &question)).await;
    asked.unwrap_or_else(|error| Err(error.to_string()))
}
