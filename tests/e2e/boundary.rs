//! This process as a worker, with the real task executor on the far side.

use std::{fs, path::PathBuf, time::Duration};

use executor::{Ending, TaskSpec};
use task_process::{
    Exit, Inbox, JobDir, Lease, RunDir, Running, Spares, TaskReport, TaskRequest, VERSION, WorkerLock, exit,
};
use workflow_model::{Attempt, Epoch, ExecutorKind, JobId, Nonce, QueueName, TaskIx, TaskName};

use crate::harness::{DEADLINE, TASK_EXECUTOR};

/// A worker with its run-dir and one job. Its task executors are forked from a template, but for the first.
pub(crate) struct Worker {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) run_dir: RunDir,
    pub(crate) inbox: Inbox,
    pub(crate) spares: Spares,
    pub(crate) job: JobId,
    pub(crate) job_dir: JobDir,
    pub(crate) tasks: u32,
}

impl Worker {
    pub(crate) fn new() -> Self {
        let mut worker = Self::cold();
        // The first one is always exec'ed.
        drop(worker.spares.take().expect("a spare"));
        worker
    }

    /// Whose first task executor is exec'ed.
    pub(crate) fn cold() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let run_dir = RunDir::open(dir.path().join("run")).expect("a run-dir");
        let lock = WorkerLock::acquire(&run_dir, &QueueName::default(), 0).expect("the lock");
        let inbox = Inbox::bind(lock).expect("the Q socket");
        let spares = Spares::new(TASK_EXECUTOR, None, 2).expect("spares");
        let job_dir = JobDir::new(dir.path().join("job"), 10);
        job_dir.create(None).expect("the job's folder");
        fs::create_dir(job_dir.files()).expect("the job files");
        Self { dir, run_dir, inbox, spares, job: JobId::generate(), job_dir, tasks: 0 }
    }

    pub(crate) fn request(&mut self, script: &str) -> TaskRequest {
        let task = TaskIx(self.tasks);
        self.tasks += 1;
        let name = TaskName::new("a task").expect("a name");
        let lease = Lease::path(self.run_dir.path(), self.job);
        TaskRequest {
            v: VERSION,
            job: self.job,
            task,
            paths: self.job_dir.paths(task, &name, Attempt(1), lease),
            name,
            attempt: Attempt(1),
            epoch: Epoch(5),
            nonce: Nonce::generate(),
            executor: ExecutorKind::Shell,
            spec: TaskSpec {
                argv: Some(vec!["/bin/sh".into(), "-ec".into(), script.into()]),
                env: vec![("PATH".into(), "/usr/bin:/bin".into())],
                job_files: self.job_dir.files(),
                marker: format!("QM_MARK={}.{task}.1", self.job),
                ..TaskSpec::default()
            },
            reply: Some(self.inbox.path().to_owned()),
            deadline: None,
            umask: None,
            attach: false,
        }
    }

    pub(crate) async fn start(&mut self, request: &TaskRequest) -> Running {
        self.spares.take().expect("a spare").send(request, &[]).await.expect("the request is taken")
    }

    pub(crate) async fn message(&mut self) -> TaskReport {
        within(self.inbox.recv()).await.expect("the Q socket")
    }

    /// Runs a task to its end; its report and what it wrote.
    pub(crate) async fn run(&mut self, request: &TaskRequest) -> (TaskReport, String) {
        let running = self.start(request).await;
        let report = self.message().await;
        assert_eq!(within(running.exited()).await, Exit::Code(exit::DELIVERED.into()));
        (report, fs::read_to_string(&request.paths.out).unwrap_or_default())
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("an answer in time")
}

/// Waits for a file that a task makes.
pub(crate) async fn until_there(path: PathBuf) {
    within(async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) fn ended(code: i32) -> Ending {
    Ending::Exited { code }
}
