//! Plans and their graph questions, large and odd graphs, and what events cost.

use std::{collections::VecDeque, error::Error};

use dag_scheduler::{
    Action, Cause, Cycle, End, Event, JobEnd, Limits, Plan, Policy, Scheduler, TaskIx, TaskState, Time,
};
use proptest::prelude::*;

fn plan(tasks: usize, edges: &[(u32, u32)]) -> Result<Plan, Cycle> {
    let edges = edges.iter().map(|(from, to)| (TaskIx(*from), TaskIx(*to)));
    Plan::from_edges((0..tasks).map(|_| Policy::default()), edges)
}

fn ix(tasks: &[u32]) -> Vec<TaskIx> {
    tasks.iter().copied().map(TaskIx).collect()
}

/// Runs to the end with success; answers the tasks in the order of their ends and the most edges that one event followed.
fn run(plan: &Plan, parallel: u32) -> Result<(Vec<TaskIx>, u64), Box<dyn Error>> {
    let mut scheduler = Scheduler::from_plan(plan, Limits { parallel });
    let (mut out, mut running, mut order, mut most) = (Vec::new(), VecDeque::new(), Vec::new(), 0);
    scheduler.apply(Event::Opened, Time::ZERO, &mut out)?;
    loop {
        for action in out.drain(..) {
            match action {
                Action::Start { task, attempt } => running.push_back((task, attempt)),
                Action::Finish(JobEnd::Succeeded) => return Ok((order, most)),
                Action::Stop { .. } | Action::Arm { .. } | Action::Finish(_) => return Err("unexpected".into()),
            }
        }
        let (task, attempt) = running.pop_front().ok_or("stuck")?;
        order.push(task);
        let before = scheduler.edges_followed();
        scheduler.apply(Event::Reported { task, attempt, end: End::Succeeded }, Time::ZERO, &mut out)?;
        most = most.max(scheduler.edges_followed() - before);
    }
}

#[test]
fn a_cycle_is_named_in_its_order() {
    let cycle = plan(7, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4), (0, 5), (4, 6)]).unwrap_err();
    assert_eq!(cycle.tasks.len(), 3);
    let text = cycle.to_string();
    let expected = ["1 -> 2 -> 3 -> 1", "2 -> 3 -> 1 -> 2", "3 -> 1 -> 2 -> 3"];
    assert!(expected.iter().any(|cycle| text.ends_with(cycle)), "{text}");
    assert_eq!(plan(2, &[(1, 1)]).unwrap_err().tasks, ix(&[1]));
    assert_eq!(plan(2, &[(0, 1), (1, 0)]).unwrap_err().tasks.len(), 2);
}

#[test]
fn questions_about_a_graph() {
    //   0 -> 1 -> 3 -> 4     0 -> 3 and 0 -> 4 say nothing new
    //   0 -> 2 -> 3          5 stands alone
    let plan = plan(6, &[(3, 4), (0, 4), (2, 3), (1, 3), (0, 3), (0, 2), (0, 1), (0, 1)]).unwrap();
    assert_eq!(plan.dependencies(TaskIx(3)), ix(&[0, 1, 2]));
    assert_eq!(plan.dependents(TaskIx(0)), ix(&[1, 2, 3, 4]));
    assert_eq!(plan.ancestors(TaskIx(4)), ix(&[0, 1, 2, 3]));
    assert_eq!(plan.descendants(TaskIx(1)), ix(&[3, 4]));
    assert_eq!(plan.descendants(TaskIx(5)), ix(&[]));
    assert_eq!(plan.levels(), [0, 1, 1, 2, 3, 0]);
    let reduced: Vec<_> = plan.transitive_reduction().iter().map(|(a, b)| (a.0, b.0)).collect();
    assert_eq!(reduced, [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)]);
    assert_eq!(plan.critical_path(|task| if task.0 == 2 { 10 } else { 1 }), ix(&[0, 2, 3, 4]));
    assert_eq!(plan.critical_path(|task| if task.0 == 5 { 99 } else { 1 }), ix(&[5]));
    assert_eq!(Plan::new().critical_path(|_| 1), ix(&[]));
    assert_eq!((plan.len(), plan.is_empty(), plan.tasks().count()), (6, false, 6));
}

#[test]
fn a_chain_of_a_million_tasks_overflows_no_stack() {
    const N: u32 = 1_000_000;
    let edges: Vec<_> = (1..N).rev().map(|task| (task, task - 1)).collect(); // backwards, too
    let plan = plan(N as usize, &edges).unwrap();
    assert_eq!(plan.ancestors(TaskIx(0)).len(), N as usize - 1);
    assert_eq!(plan.critical_path(|_| 1).len(), N as usize);
    assert_eq!(run(&plan, 1).unwrap().0.len(), N as usize);
    // A failure at the top skips all the rest in one event.
    let mut scheduler = Scheduler::from_plan(&plan, Limits { parallel: 1 });
    let mut out = Vec::new();
    scheduler.apply(Event::Opened, Time::ZERO, &mut out).unwrap();
    let Some(Action::Start { task, attempt }) = out.pop() else { panic!("nothing starts") };
    let end = End::Failed(Cause::Oom);
    scheduler.apply(Event::Reported { task, attempt, end }, Time::ZERO, &mut out).unwrap();
    assert_eq!(out, [Action::Finish(JobEnd::Failed)]);
    let mut changed: Vec<_> = scheduler.drain_changes().map(|(task, row)| (task.0, row.state)).collect();
    assert_eq!(changed.len(), N as usize);
    changed.sort_unstable();
    changed.dedup_by_key(|(task, _)| *task);
    assert_eq!(changed.len(), N as usize, "each once");
    assert_eq!(changed.iter().filter(|(_, state)| *state == TaskState::Skipped).count(), N as usize - 1);
}

#[test]
fn a_cycle_through_a_million_tasks_is_found() {
    const N: u32 = 1_000_000;
    let edges: Vec<_> = (0..N).map(|task| (task, (task + 1) % N)).collect();
    assert_eq!(plan(N as usize, &edges).unwrap_err().tasks.len(), N as usize);
}

#[test]
fn what_an_event_costs_does_not_grow_with_the_graph() {
    for layers in [2, 20, 200] {
        let width = 100;
        let edges: Vec<_> = (width..layers * width)
            .flat_map(|task| (0..3).map(move |k| ((task / width - 1) * width + (task * 7 + k * 31) % width, task)))
            .collect();
        let plan = plan((layers * width) as usize, &edges).unwrap();
        let (order, most) = run(&plan, 8).unwrap();
        assert_eq!(order.len(), (layers * width) as usize);
        assert_eq!(most, 3, "edges followed by the dearest event, at {layers} layers");
    }
}

#[test]
fn the_order_of_starts_is_first_come_first_served() {
    let plan = plan(6, &[(0, 3), (0, 4), (1, 5)]).unwrap();
    assert_eq!(run(&plan, 1).unwrap().0, ix(&[0, 1, 2, 3, 4, 5]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn views_agree_with_their_definitions(n in 1usize..12, pairs in prop::collection::vec((0u32..12, 0u32..12), 0..30)) {
        let pairs: Vec<_> = pairs.iter().map(|(a, b)| (a % n as u32, b % n as u32)).filter(|(a, b)| a < b).collect();
        let plan = plan(n, &pairs).unwrap();
        let reach = closure(n, &pairs);
        for task in plan.tasks() {
            let ancestors: Vec<_> = plan.tasks().filter(|other| reach[other.index()][task.index()]).collect();
            prop_assert_eq!(plan.ancestors(task), ancestors);
            let descendants: Vec<_> = plan.tasks().filter(|other| reach[task.index()][other.index()]).collect();
            prop_assert_eq!(plan.descendants(task), descendants);
        }
        let reduced: Vec<_> = plan.transitive_reduction().iter().map(|(a, b)| (a.0, b.0)).collect();
        prop_assert_eq!(&closure(n, &reduced), &reach, "it says the same");
        for left_out in 0..reduced.len() {
            let mut fewer = reduced.clone();
            fewer.remove(left_out);
            prop_assert_ne!(&closure(n, &fewer), &reach, "and nothing twice");
        }
        let order = plan.order();
        let place = |task: u32| order.iter().position(|other| other.0 == task);
        prop_assert!(pairs.iter().all(|(a, b)| place(*a) < place(*b)));
        let longest = plan.levels().iter().max().map_or(0, |level| *level as usize + 1);
        prop_assert_eq!(plan.critical_path(|_| 1).len(), longest);
    }

    #[test]
    fn any_edges_make_a_plan_or_name_a_cycle(pairs in prop::collection::vec((0u32..8, 0u32..8), 0..16)) {
        let reach = closure(8, &pairs);
        let cyclic = (0..8).any(|task| reach[task][task]);
        match plan(8, &pairs) {
            Ok(_) => prop_assert!(!cyclic),
            Err(Cycle { tasks }) => {
                prop_assert!(cyclic);
                let next = tasks.iter().cycle().skip(1);
                prop_assert!(tasks.iter().zip(next).all(|(a, b)| pairs.contains(&(a.0, b.0))));
            }
        }
    }
}

/// What can be reached from what, by the definition.
fn closure(n: usize, pairs: &[(u32, u32)]) -> Vec<Vec<bool>> {
    let mut reach = vec![vec![false; n]; n];
    pairs.iter().for_each(|(a, b)| reach[*a as usize][*b as usize] = true);
    for via in 0..n {
        for a in 0..n {
            for b in 0..n {
                reach[a][b] |= reach[a][via] && reach[via][b];
            }
        }
    }
    reach
}
