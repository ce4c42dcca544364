//! A workflow becomes a plan (feature `workflow`).
#![cfg(feature = "workflow")]

use std::time::Duration;

use dag_scheduler::{Cause, Plan, Policy, Retry, TaskIx, TaskState, When};
use workflow_model::{Params, Task, TaskName, TaskStatus, Workflow};

#[test]
fn policies_and_edges_are_those_of_the_file() {
    let name = |name: &str| TaskName::new(name).unwrap();
    let mut heavy = Task::new(name("heavy"));
    heavy.retry.max = 3;
    heavy.timeout = Some(Duration::from_secs(9));
    let mut params = Params::default();
    params.resources.cpus = Some(2.5);
    heavy.params = Some(Box::new(params));
    let mut cleanup = Task::new(name("cleanup"));
    cleanup.when = workflow_model::When::Always;
    cleanup.allow_failure = true;
    cleanup.params = Some(Box::default());
    let join = Task::new(name("join"));
    // A dependency may come later in the file.
    let workflow = Workflow::new([
        (cleanup, vec![name("heavy"), name("join")]),
        (heavy, vec![]),
        (join, vec![name("heavy"), name("heavy")]),
    ]);
    let plan = Plan::from(&workflow.unwrap());
    let backoff = Duration::from_secs(1);
    let timeout = Some(Duration::from_secs(9));
    let heavy = Policy { weight: 3, retry: Retry { max: 3, backoff }, timeout, ..Policy::default() };
    let cleanup = Policy { when: When::Always, allow_failure: true, ..Policy::default() };
    assert_eq!([plan.policy(TaskIx(0)), plan.policy(TaskIx(1))], [&cleanup, &heavy]);
    assert_eq!(plan.policy(TaskIx(2)).weight, 0);
    assert_eq!(plan.dependencies(TaskIx(0)), [TaskIx(1), TaskIx(2)]);
}

#[test]
fn words_translate_both_ways() {
    for status in TaskStatus::ALL {
        assert_eq!(TaskStatus::from(TaskState::from(*status)), *status);
    }
    for cause in workflow_model::Cause::ALL {
        let ours = Cause::from_model(*cause, Some(137));
        assert_eq!((workflow_model::Cause::from(ours), ours.as_str()), (*cause, cause.as_str()));
    }
    assert_eq!(Cause::from_model(workflow_model::Cause::Signal, Some(137)), Cause::Signal(9));
    assert_eq!((Cause::Signal(9).code(), Cause::UserExit(3).code(), Cause::Oom.code()), (Some(137), Some(3), None));
}
