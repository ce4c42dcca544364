//! The rules of design §4, one by one: the table of decisions, retries, losses, timeouts, cancels, releases, room.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use dag_scheduler::{
    Action, Attempt, Cause, End, Event, JobEnd, Limits, Plan, Policy, Retry, Row, Rules, Scheduler, StopHow, StopWhy,
    TaskIx, TaskState, Time, Timer, When, Why,
};

const OK: End = End::Succeeded;
const EXIT: End = End::Failed(Cause::UserExit(1));
const GRACE: StopHow = StopHow::Grace;
const KILL: StopHow = StopHow::Kill;

/// A job, its clock in seconds, and what it last asked for.
struct Job {
    scheduler: Scheduler,
    seconds: u64,
    out: Vec<Action>,
}

impl Job {
    fn of(plan: &Plan, parallel: u32) -> Self {
        let mut job = Self { scheduler: Scheduler::from_plan(plan, Limits { parallel }), seconds: 0, out: Vec::new() };
        job.apply(Event::Opened);
        job
    }

    fn apply(&mut self, event: Event) {
        self.out.clear();
        self.scheduler.apply(event, Time::from(Duration::from_secs(self.seconds)), &mut self.out).unwrap();
        self.scheduler.sanity_check().unwrap();
    }

    fn end(&mut self, task: TaskIx, end: End) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Reported { task, attempt, end });
    }

    fn lose(&mut self, task: TaskIx, cause: Cause) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Lost { task, attempt, cause });
    }

    fn launch(&mut self, task: TaskIx) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Started { task, attempt });
    }

    fn starts(&self) -> Vec<u32> {
        let start = |action: &Action| match action {
            Action::Start { task, .. } => Some(task.0),
            Action::Stop { .. } | Action::Arm { .. } | Action::Finish(_) => None,
        };
        self.out.iter().filter_map(start).collect()
    }

    fn stops(&self) -> Vec<(u32, StopWhy, StopHow)> {
        let stop = |action: &Action| match *action {
            Action::Stop { task, why, how, .. } => Some((task.0, why, how)),
            Action::Start { .. } | Action::Arm { .. } | Action::Finish(_) => None,
        };
        self.out.iter().filter_map(stop).collect()
    }

    fn armed(&self) -> Option<(Timer, u64)> {
        self.out.iter().find_map(|action| match *action {
            Action::Arm { timer, at } => Some((timer, at.as_micros())),
            Action::Start { .. } | Action::Stop { .. } | Action::Finish(_) => None,
        })
    }

    /// Lets the armed timer go off when it is due.
    fn fire(&mut self) {
        let (timer, at) = self.armed().unwrap();
        self.seconds = at.div_ceil(1_000_000);
        self.apply(Event::Fired(timer));
    }

    fn finish(&self) -> Option<JobEnd> {
        self.scheduler.finished()
    }

    fn state(&self, task: TaskIx) -> TaskState {
        self.scheduler.state(task)
    }
}

fn when(when: When) -> Policy {
    Policy { when, ..Policy::default() }
}

fn retry(max: u32, seconds: u64) -> Policy {
    Policy { retry: Retry { max, backoff: Duration::from_secs(seconds) }, ..Policy::default() }
}

fn one(policy: Policy) -> (Plan, TaskIx) {
    let mut plan = Plan::new();
    let task = plan.task(policy, &[]);
    (plan, task)
}

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

#[test]
fn a_heavy_task_is_neither_starved_nor_shut_out() {
    let mut plan = Plan::new();
    let weights = [1, 3, 1, 9, 1].map(|weight| Policy { weight, ..Policy::default() });
    let tasks = weights.map(|policy| plan.task(policy, &[]));
    let mut job = Job::of(&plan, 3);
    assert_eq!(job.starts(), [0], "the next needs all the room");
    job.end(tasks[0], OK);
    assert_eq!(job.starts(), [1]);
    job.end(tasks[1], OK);
    assert_eq!(job.starts(), [2]);
    job.end(tasks[2], OK);
    assert_eq!(job.starts(), [3], "heavier than the limit counts as the limit");
    assert_eq!(job.scheduler.why(tasks[4]), Why::Room { ahead: 0 });
    job.end(tasks[3], OK);
    assert_eq!(job.starts(), [4]);
}

#[test]
fn limits_change_while_a_job_runs() {
    let mut plan = Plan::new();
    for _ in 0..5 {
        plan.task(Policy::default(), &[]);
    }
    let mut job = Job::of(&plan, 0);
    assert_eq!(job.starts(), [0; 0]);
    job.apply(Event::LimitsChanged(Limits { parallel: 3 }));
    assert_eq!(job.starts(), [0, 1, 2]);
    job.apply(Event::LimitsChanged(Limits { parallel: 1 }));
    job.end(TaskIx(0), OK);
    assert_eq!((job.starts(), job.scheduler.limits().parallel), (vec![], 1));
    job.end(TaskIx(1), OK);
    job.end(TaskIx(2), OK);
    assert_eq!(job.starts(), [3]);
}

#[test]
fn time_never_runs_backwards() {
    let (plan, task) = one(retry(1, 1));
    let mut job = Job::of(&plan, 1);
    job.seconds = 100;
    job.launch(task);
    job.seconds = 5;
    job.end(task, EXIT);
    assert!(job.armed().unwrap().1 >= 101_000_000);
}

/// Fan-in: the last two parents end together, in either order, well or not, and what they said comes twice: the child
/// is decided once.
#[test]
fn f87_the_last_two_parents_end_together() {
    for (first, second) in [(OK, OK), (OK, EXIT), (EXIT, OK), (EXIT, EXIT)] {
        for swapped in [false, true] {
            let mut plan = Plan::new();
            let parents = [plan.task(Policy::default(), &[]), plan.task(Policy::default(), &[])];
            let child = plan.task(Policy::default(), &parents);
            let cleanup = plan.task(Policy { when: When::Failure, ..Policy::default() }, &[child]);
            let mut job = Job::of(&plan, 8);
            let mut ends = [(parents[0], first), (parents[1], second)];
            if swapped {
                ends.reverse();
            }
            let mut starts = Vec::new();
            for (task, end) in ends.into_iter().chain(ends) {
                job.end(task, end);
                starts.extend(job.starts());
            }
            let expected = if (first, second) == (OK, OK) { child } else { cleanup };
            assert_eq!(starts, [expected.0], "{first:?} {second:?} {swapped}");
        }
    }
}
