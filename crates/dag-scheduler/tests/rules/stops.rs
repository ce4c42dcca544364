//! Cancels and releases, and what is left after them or after a restart.

use super::*;

#[test]
fn cancel_stops_what_runs_and_cleanup_still_does_within_its_bound() {
    let mut plan = Plan::new();
    let work = plan.task(retry(5, 1), &[]);
    let more = plan.task(Policy::default(), &[work]);
    let cleanup = plan.task(when(When::Always), &[more]);
    let mut job = Job::of(&plan, 1);
    job.apply(Event::CancelRequested { now: false });
    assert_eq!(job.stops(), [(work.0, StopWhy::Cancel, GRACE)]);
    assert_eq!(job.state(more), TaskState::Cancelled);
    assert!(job.scheduler.is_cancelling() && job.finish().is_none());
    job.end(work, End::Failed(Cause::Signal(15)));
    assert_eq!(job.scheduler.row(work).cause, Some(Cause::Cancelled), "its end is mapped to the intent");
    job.launch(cleanup);
    assert_eq!(job.armed().unwrap().1, 300_000_000, "5 min");
    job.fire();
    assert_eq!(job.stops(), [(cleanup.0, StopWhy::Timeout, GRACE)]);
    job.end(cleanup, End::Failed(Cause::Signal(15)));
    assert_eq!(job.scheduler.row(cleanup).cause, Some(Cause::Timeout));
    assert_eq!(job.finish(), Some(JobEnd::Cancelled));
    job.apply(Event::CancelRequested { now: true });
    assert_eq!((job.out.len(), job.scheduler.stale()), (0, 1), "too late");
}

#[test]
fn cancel_bounds_a_cleanup_that_runs_already() {
    let mut plan = Plan::new();
    let first = plan.task(Policy::default(), &[]);
    let cleanup = plan.task(when(When::Always), &[first]);
    let timeout = Some(Duration::from_secs(60));
    let with_timeout = plan.task(Policy { timeout, ..when(When::Always) }, &[first]);
    let mut job = Job::of(&plan, 2);
    job.end(first, OK);
    job.launch(cleanup);
    job.launch(with_timeout);
    job.seconds = 30;
    job.apply(Event::CancelRequested { now: false });
    assert_eq!((job.stops(), job.out.len()), (Vec::new(), 1));
    assert_eq!((job.armed().unwrap().0.task(), job.armed().unwrap().1), (cleanup, 330_000_000));
    job.apply(Event::CancelRequested { now: true });
    assert_eq!(job.stops(), [(cleanup.0, StopWhy::Cancel, KILL), (with_timeout.0, StopWhy::Cancel, KILL)]);
}

#[test]
fn cancel_now_runs_nothing_more_and_kills() {
    let mut plan = Plan::new();
    let work = plan.task(Policy::default(), &[]);
    let cleanup = plan.task(when(When::Always), &[work]);
    let mut job = Job::of(&plan, 1);
    job.apply(Event::CancelRequested { now: false });
    job.apply(Event::CancelRequested { now: true });
    assert_eq!(job.stops(), [(work.0, StopWhy::Cancel, KILL)]);
    assert_eq!(job.state(cleanup), TaskState::Cancelled);
    job.end(work, OK);
    assert_eq!(job.state(work), TaskState::Succeeded, "it was quicker");
    assert_eq!(job.finish(), Some(JobEnd::Cancelled), "a cancelled job stays cancelled");
}

#[test]
fn a_release_costs_nothing_and_starts_nothing() {
    let mut plan = Plan::new();
    let (a, b) = (plan.task(retry(1, 1), &[]), plan.task(retry(1, 1), &[]));
    let next = plan.task(Policy::default(), &[a]);
    let mut job = Job::of(&plan, 2);
    job.apply(Event::ReleaseRequested { now: false });
    assert_eq!(job.stops(), [(a.0, StopWhy::Release, GRACE), (b.0, StopWhy::Release, GRACE)]);
    job.apply(Event::Released { task: a, attempt: Attempt(1) });
    job.end(b, End::Failed(Cause::Signal(15)));
    assert_eq!((job.out.len(), job.scheduler.running().len()), (0, 0));
    let released = Row { attempt: Attempt(1), ..Row::default() };
    assert_eq!([job.scheduler.row(a), job.scheduler.row(b)], [released, released]);
    // The next worker.
    let rows: Vec<_> = job.scheduler.drain_changes().collect();
    let mut scheduler = Scheduler::restore(&plan, Limits { parallel: 2 }, rows).unwrap();
    let mut out = Vec::new();
    scheduler.apply(Event::Opened, Time::ZERO, &mut out).unwrap();
    let again = |task| Action::Start { task, attempt: Attempt(2) };
    assert_eq!((out, scheduler.state(next)), (vec![again(a), again(b)], TaskState::Waiting));
}

#[test]
fn a_restored_attempt_keeps_its_intent_and_can_be_asked_again() {
    let (plan, task) = one(Policy::default());
    let row = Row { state: TaskState::Running, attempt: Attempt(3), stopping: Some(StopWhy::Cancel), ..Row::default() };
    let restored = || Job {
        scheduler: Scheduler::restore(&plan, Limits { parallel: 1 }, [(task, row)]).unwrap(),
        seconds: 0,
        out: Vec::new(),
    };
    let mut job = restored();
    job.apply(Event::CancelRequested { now: false });
    assert_eq!(job.stops(), [(task.0, StopWhy::Cancel, GRACE)], "the signal may never have been sent");
    let mut job = restored();
    job.end(task, End::Failed(Cause::Signal(15)));
    assert_eq!((job.state(task), job.finish()), (TaskState::Cancelled, None), "not opened yet");
    job.apply(Event::Opened);
    assert_eq!(job.finish(), Some(JobEnd::Cancelled));
}

#[test]
fn restore_arms_backoffs_again_and_decides_what_was_left_open() {
    let mut plan = Plan::new();
    let (a, b) = (plan.task(retry(1, 1), &[]), plan.task(Policy::default(), &[]));
    let always = plan.task(when(When::Always), &[b]);
    let below = plan.task(Policy::default(), &[always]);
    let row = |state, cause| Row { state, attempt: Attempt(1), cause: Some(cause), ..Row::default() };
    let retry_at = Some(Time::from_micros(77));
    let rows = [
        (a, Row { retry_at, retries: 1, ..row(TaskState::Retrying, Cause::UserExit(1)) }),
        (b, row(TaskState::Failed, Cause::Oom)),
        (always, Row { state: TaskState::Succeeded, attempt: Attempt(1), ..Row::default() }),
    ];
    let mut scheduler = Scheduler::restore(&plan, Limits { parallel: 1 }, rows).unwrap();
    let changes: Vec<_> = scheduler.drain_changes().map(|(task, row)| (task, row.state)).collect();
    assert_eq!(changes, [(below, TaskState::Skipped)], "its ancestor failed, two steps up");
    let mut out = Vec::new();
    scheduler.apply(Event::Opened, Time::ZERO, &mut out).unwrap();
    assert!(matches!(out[..], [Action::Arm { at, .. }] if at.as_micros() == 77), "{out:?}");
    for (wrong, why) in [
        (vec![(TaskIx(9), Row::default())], "no task 9"),
        (vec![(a, Row::default()), (a, Row::default())], "two rows"),
        (vec![(a, Row { state: TaskState::Running, ..Row::default() })], "without an attempt"),
    ] {
        let error = Scheduler::restore(&plan, Limits { parallel: 1 }, wrong).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
