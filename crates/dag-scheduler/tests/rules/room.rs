//! Room for tasks, limits, time.

use super::*;

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
