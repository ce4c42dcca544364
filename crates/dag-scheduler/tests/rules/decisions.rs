//! What is decided of a task by its ancestors, and of a job by its tasks.

use super::*;

/// What became of a task when its grandparent did this (its parent is `always` and succeeds: ancestors count, not only
/// direct dependencies).
fn below(grandparent: End, allow_failure: bool, task: When, cancel: Option<bool>) -> TaskState {
    let mut plan = Plan::new();
    let top = plan.task(Policy { allow_failure, ..Policy::default() }, &[]);
    let parent = plan.task(when(When::Always), &[top]);
    let task = plan.task(when(task), &[parent]);
    let mut job = Job::of(&plan, 4);
    job.end(top, grandparent);
    if let Some(now) = cancel {
        job.apply(Event::CancelRequested { now });
    }
    if job.state(parent) == TaskState::Running {
        job.end(parent, OK);
    }
    job.state(task)
}

#[test]
fn the_table_of_decisions() {
    use TaskState::{Cancelled, Running, Skipped};
    use When::{Always, Failure, Success};
    for (row, top, allow, cancel, expected) in [
        ("none failed", OK, false, None, [Running, Skipped, Running]),
        ("one failed with allow_failure", EXIT, true, None, [Running, Skipped, Running]),
        ("at least one failed", EXIT, false, None, [Skipped, Running, Running]),
        ("cancelling", OK, false, Some(false), [Cancelled, Cancelled, Running]),
        ("cancelling, one failed", EXIT, false, Some(false), [Skipped, Cancelled, Running]),
        ("cancel --now", OK, false, Some(true), [Cancelled, Cancelled, Cancelled]),
    ] {
        for (when, expected) in [Success, Failure, Always].into_iter().zip(expected) {
            assert_eq!(below(top, allow, when, cancel), expected, "{row}, when {when:?}");
        }
    }
}

#[test]
fn a_success_task_is_decided_by_the_first_failed_ancestor() {
    let mut plan = Plan::new();
    let (a, b) = (plan.task(Policy::default(), &[]), plan.task(Policy::default(), &[]));
    let success = plan.task(Policy::default(), &[a, b]);
    let failure = plan.task(when(When::Failure), &[a, b]);
    let below_skipped = plan.task(when(When::Failure), &[success]);
    let mut job = Job::of(&plan, 9);
    job.end(a, EXIT);
    assert_eq!(job.state(success), TaskState::Skipped); // b still runs
    assert_eq!(job.scheduler.row(success).cause, Some(Cause::Upstream));
    assert_eq!(job.state(failure), TaskState::Waiting);
    assert_eq!(job.state(below_skipped), TaskState::Running, "a skipped task passes the failure on");
    assert_eq!(job.scheduler.why(success), Why::AncestorsFailed(vec![a]));
    assert_eq!(job.scheduler.why(failure), Why::Dependencies(vec![b]));
    job.end(b, OK);
    assert_eq!(job.starts(), [failure.0]);
}

#[test]
fn everything_not_below_a_failure_still_runs() {
    let mut plan = Plan::new();
    let (a, b) = (plan.task(Policy::default(), &[]), plan.task(Policy::default(), &[]));
    let (below_a, below_b) = (plan.task(Policy::default(), &[a]), plan.task(Policy::default(), &[b]));
    let mut job = Job::of(&plan, 1);
    job.end(a, EXIT);
    assert_eq!((job.state(below_a), job.starts()), (TaskState::Skipped, vec![b.0]));
    job.end(b, OK);
    job.end(below_b, OK);
    assert_eq!(job.out, [Action::Finish(JobEnd::Failed)]);
}

#[test]
fn a_failure_task_that_was_not_needed_is_no_failure() {
    let mut plan = Plan::new();
    let a = plan.task(Policy::default(), &[]);
    let handler = plan.task(when(When::Failure), &[a]);
    let after = plan.task(Policy::default(), &[handler]);
    let mut job = Job::of(&plan, 1);
    job.end(a, OK);
    assert_eq!((job.state(handler), job.starts()), (TaskState::Skipped, vec![after.0]));
    assert_eq!(job.scheduler.why(handler), Why::NoneFailed);
    job.end(after, OK);
    assert_eq!(job.finish(), Some(JobEnd::Succeeded));
}

#[test]
fn the_end_of_a_job() {
    let ends = |policy: Policy, end: End| {
        let (plan, task) = one(policy);
        let mut job = Job::of(&plan, 1);
        job.end(task, end);
        job.finish()
    };
    let allowed = Policy { allow_failure: true, ..Policy::default() };
    assert_eq!(ends(Policy::default(), OK), Some(JobEnd::Succeeded));
    assert_eq!(ends(Policy::default(), EXIT), Some(JobEnd::Failed));
    assert_eq!(ends(allowed, EXIT), Some(JobEnd::Succeeded));
    assert_eq!(ends(Policy::default(), End::Failed(Cause::Cancelled)), Some(JobEnd::Cancelled));
    assert_eq!(Job::of(&Plan::new(), 1).out, [Action::Finish(JobEnd::Succeeded)]);
}
