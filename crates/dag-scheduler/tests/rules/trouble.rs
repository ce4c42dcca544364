//! Retries, losses, late reports, timeouts.

use super::*;

#[test]
fn retries_are_spent_by_failures_of_the_tasks_own() {
    for cause in [Cause::UserExit(1), Cause::Signal(11), Cause::Timeout, Cause::Oom] {
        let (plan, task) = one(retry(3, 10));
        let mut job = Job::of(&plan, 1);
        for spent in 1..=3 {
            job.end(task, End::Failed(cause));
            assert_eq!((job.state(task), job.scheduler.row(task).retries), (TaskState::Retrying, spent));
            job.fire();
            assert_eq!(job.out, [Action::Start { task, attempt: Attempt(spent + 1) }]);
        }
        job.end(task, End::Failed(cause));
        assert_eq!(job.out, [Action::Finish(JobEnd::Failed)], "4 attempts for {cause}");
        assert_eq!(job.scheduler.row(task).cause, Some(cause));
    }
    for cause in [Cause::Invalid, Cause::ImagePull] {
        let (plan, task) = one(retry(3, 10));
        let mut job = Job::of(&plan, 1);
        job.end(task, End::Failed(cause));
        assert_eq!(job.state(task), TaskState::Failed, "{cause} is not retried");
    }
}

#[test]
fn backoff_doubles_with_jitter_up_to_an_hour() {
    let (plan, task) = one(retry(40, 100));
    let mut job = Job::of(&plan, 1);
    let mut jitters = Vec::new();
    for nominal in [100u64, 200, 400, 800, 1600, 3200, 3600, 3600, 3600] {
        job.end(task, EXIT);
        let wait = job.armed().unwrap().1 - job.seconds * 1_000_000;
        let (least, most) = (nominal * 1_000_000, (nominal * 1_100_000).min(3_600_000_000));
        assert!((least..=most).contains(&wait), "{nominal} s: {wait} us");
        jitters.push((wait - least) * 1000 / least);
        job.fire();
    }
    jitters.sort_unstable();
    jitters.dedup();
    assert!(jitters.len() >= 5, "jitter is not constant: {jitters:?}");
    let (plan, task) = one(Policy { retry: Retry { max: 1, ..Retry::default() }, ..Policy::default() });
    let mut job = Job::of(&plan, 1);
    job.end(task, EXIT);
    assert!((1_000_000..=1_100_000).contains(&job.armed().unwrap().1), "1 s by default");
}

#[test]
fn f07_losses_are_free_until_the_crash_limit() {
    let (plan, task) = one(Policy::default());
    let mut job = Job::of(&plan, 1);
    job.lose(task, Cause::LostExecutor);
    assert_eq!(job.out, [Action::Start { task, attempt: Attempt(2) }], "the first runs again at once");
    for losses in 2..=4 {
        job.lose(task, Cause::LostExecutor);
        assert_eq!((job.state(task), job.scheduler.row(task).losses), (TaskState::Retrying, losses));
        job.fire();
    }
    job.lose(task, Cause::LostWorker);
    let row = job.scheduler.row(task);
    assert_eq!((row.state, row.cause, row.retries, row.losses), (TaskState::Failed, Some(Cause::Poison), 0, 5));
    let (plan, task) = one(Policy::default());
    let mut job = Job::of(&plan.with_rules(Rules { crash_limit: 1, ..Rules::default() }), 1);
    job.end(task, End::Failed(Cause::LostInfra));
    assert_eq!(job.scheduler.row(task).cause, Some(Cause::Poison), "a reported loss is a loss");
}

#[test]
fn a_report_counts_only_for_the_newest_attempt() {
    let (plan, task) = one(retry(1, 1));
    let mut job = Job::of(&plan, 1);
    job.end(task, EXIT);
    job.fire();
    job.apply(Event::Reported { task, attempt: Attempt(1), end: OK });
    assert_eq!((job.state(task), job.scheduler.stale()), (TaskState::Running, 1));
    job.end(task, OK);
    job.end(task, EXIT);
    assert_eq!((job.state(task), job.scheduler.stale()), (TaskState::Succeeded, 2), "terminal states absorb");
}

#[test]
fn a_timeout_is_backed_up_and_counts_from_the_launch() {
    let timeout = Some(Duration::from_secs(60));
    let (plan, task) = one(Policy { timeout, retry: Retry { max: 1, ..Retry::default() }, ..Policy::default() });
    let mut job = Job::of(&plan, 1);
    assert_eq!(job.armed(), None);
    job.seconds = 1000; // it waited for a slot
    job.launch(task);
    assert_eq!(job.armed().unwrap().1, 1_090_000_000, "timeout and slack");
    job.fire();
    assert_eq!(job.stops(), [(task.0, StopWhy::Timeout, GRACE)]);
    assert_eq!(job.scheduler.row(task).stopping, Some(StopWhy::Timeout));
    job.fire();
    assert_eq!(job.stops(), [(task.0, StopWhy::Timeout, KILL)]);
    job.end(task, End::Failed(Cause::Signal(9)));
    let row = job.scheduler.row(task);
    assert_eq!((row.state, row.cause, row.retries), (TaskState::Retrying, Some(Cause::Timeout), 1));
}
