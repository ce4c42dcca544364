//! The bridge to `workflow-model` (feature `workflow`): a workflow becomes a plan, and the small types translate.

use workflow_model::{TaskStatus, Workflow};

use crate::{Attempt, Cause, Plan, Policy, Retry, TaskIx, TaskState, When};

impl From<&Workflow> for Plan {
    /// Tasks keep their indexes. A task weighs what it takes in slots: its `resources.cpus`, rounded up, at least 1; a
    /// join weighs nothing, since it has no process.
    fn from(workflow: &Workflow) -> Self {
        let edges = workflow.iter().flat_map(|(task, _)| {
            workflow.deps(task).iter().map(move |dependency| ((*dependency).into(), task.into()))
        });
        Self::from_edges(workflow.tasks().iter().map(policy), edges).expect("BUG: a workflow has no cycle")
    }
}

fn policy(task: &workflow_model::Task) -> Policy {
    let cpus = |params: &workflow_model::Params| params.resources.cpus.unwrap_or(1.0).ceil().max(1.0);
    Policy {
        when: match task.when {
            workflow_model::When::Success => When::Success,
            workflow_model::When::Failure => When::Failure,
            workflow_model::When::Always => When::Always,
        },
        retry: Retry { max: task.retry.max, backoff: task.retry.backoff },
        timeout: task.timeout,
        weight: task.params.as_ref().map_or(0, |params| cpus(params) as u32), // saturates
        allow_failure: task.allow_failure,
    }
}

impl Cause {
    /// From what is persisted: the word, and beside it the code (the return code, or 128 + the signal's number).
    #[must_use]
    pub fn from_model(cause: workflow_model::Cause, code: Option<i32>) -> Self {
        use workflow_model::Cause as Model;
        match cause {
            Model::UserExit => Self::UserExit(code.unwrap_or(1)),
            Model::Signal => Self::Signal(code.unwrap_or(128).saturating_sub(128)),
            Model::Timeout => Self::Timeout,
            Model::Oom => Self::Oom,
            Model::Cancelled => Self::Cancelled,
            Model::LostWorker => Self::LostWorker,
            Model::LostExecutor => Self::LostExecutor,
            Model::LostInfra => Self::LostInfra,
            Model::ImagePull => Self::ImagePull,
            Model::Invalid => Self::Invalid,
            Model::Poison => Self::Poison,
            Model::Upstream => Self::Upstream,
        }
    }
}

impl From<Cause> for workflow_model::Cause {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::UserExit(_) => Self::UserExit,
            Cause::Signal(_) => Self::Signal,
            Cause::Timeout => Self::Timeout,
            Cause::Oom => Self::Oom,
            Cause::Cancelled => Self::Cancelled,
            Cause::LostWorker => Self::LostWorker,
            Cause::LostExecutor => Self::LostExecutor,
            Cause::LostInfra => Self::LostInfra,
            Cause::ImagePull => Self::ImagePull,
            Cause::Invalid => Self::Invalid,
            Cause::Poison => Self::Poison,
            Cause::Upstream => Self::Upstream,
        }
    }
}

impl From<TaskState> for TaskStatus {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Waiting => Self::Waiting,
            TaskState::Running => Self::Running,
            TaskState::Retrying => Self::Retrying,
            TaskState::Succeeded => Self::Succeeded,
            TaskState::Skipped => Self::Skipped,
            TaskState::Cancelled => Self::Cancelled,
            TaskState::Failed => Self::Failed,
        }
    }
}

impl From<TaskStatus> for TaskState {
    fn from(status: TaskStatus) -> Self {
        match status {
            TaskStatus::Waiting => Self::Waiting,
            TaskStatus::Running => Self::Running,
            TaskStatus::Retrying => Self::Retrying,
            TaskStatus::Succeeded => Self::Succeeded,
            TaskStatus::Skipped => Self::Skipped,
            TaskStatus::Cancelled => Self::Cancelled,
            TaskStatus::Failed => Self::Failed,
        }
    }
}

impl From<workflow_model::TaskIx> for TaskIx {
    fn from(task: workflow_model::TaskIx) -> Self {
        Self(task.0)
    }
}

impl From<TaskIx> for workflow_model::TaskIx {
    fn from(task: TaskIx) -> Self {
        Self(task.0)
    }
}

impl From<workflow_model::Attempt> for Attempt {
    fn from(attempt: workflow_model::Attempt) -> Self {
        Self(attempt.0)
    }
}

impl From<Attempt> for workflow_model::Attempt {
    fn from(attempt: Attempt) -> Self {
        Self(attempt.0)
    }
}
