//! The graph as two flat arrays: where each task's dependents begin, and all dependents. This is what a job runs on.

use crate::{Cycle, TaskIx};

/// Dependents of every task, side by side in memory.
pub(crate) struct Flat {
    /// `starts[t]..starts[t + 1]` are the dependents of `t` in `to`.
    starts: Vec<u32>,
    to: Vec<TaskIx>,
    /// Every edge leads to a greater index.
    forward: bool,
}

impl Flat {
    /// Of `count` edges, which are looked at twice and come in the reverse of the order to be kept. Panics if an edge names a task that is not there.
    pub(crate) fn new<I>(tasks: usize, count: usize, edges: impl Fn() -> I) -> Self
    where
        I: Iterator<Item = (TaskIx, TaskIx)>,
    {
        let mut starts = vec![0u32; tasks + 1];
        let mut forward = true;
        for (from, to) in edges() {
            forward &= from < to;
            assert!(to.index() < tasks && from.index() < tasks, "edge {from} -> {to} in a plan of {tasks} tasks");
            starts[from.index()] += 1;
        }
        // Counts become the ends of each task's range; filling it from the back turns ends into starts.
        let mut end = 0u32;
        for start in &mut starts {
            end += *start;
            *start = end;
        }
        let mut to = vec![TaskIx(0); count];
        for (from, dependent) in edges() {
            let start = &mut starts[from.index()];
            *start -= 1;
            to[*start as usize] = dependent;
        }
        Self { starts, to, forward }
    }

    /// Whether the tasks by index are in an order in which dependencies come first.
    pub(crate) fn is_forward(&self) -> bool {
        self.forward
    }

    /// How many edges there are.
    pub(crate) fn edges(&self) -> usize {
        self.to.len()
    }

    /// The tasks that depend on `task`, one for each edge.
    pub(crate) fn after(&self, task: TaskIx) -> &[TaskIx] {
        &self.to[self.range(task)]
    }

    /// The places of `task`'s dependents, for [`Self::at`]: as `after`, where a borrow is in the way.
    pub(crate) fn range(&self, task: TaskIx) -> std::ops::Range<usize> {
        self.starts[task.index()] as usize..self.starts[task.index() + 1] as usize
    }

    /// The dependent at a place.
    pub(crate) fn at(&self, place: usize) -> TaskIx {
        self.to[place]
    }

    /// For every task, how many edges lead to it.
    pub(crate) fn in_degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0u32; self.starts.len() - 1];
        for task in &self.to {
            degrees[task.index()] += 1;
        }
        degrees
    }

    /// All tasks, dependencies first.
    pub(crate) fn order(&self) -> Result<Vec<TaskIx>, Cycle> {
        let mut left = self.in_degrees();
        let mut order: Vec<_> = (0..left.len()).filter(|&task| left[task] == 0).map(TaskIx::at).collect();
        order.reserve_exact(left.len() - order.len());
        let mut next = 0;
        while next < order.len() {
            for &task in self.after(order[next]) {
                left[task.index()] -= 1;
                if left[task.index()] == 0 {
                    order.push(task);
                }
            }
            next += 1;
        }
        if order.len() == left.len() { Ok(order) } else { Err(self.cycle(&left)) }
    }

    /// A cycle among the tasks of which something is `left` when all the others are taken away.
    fn cycle(&self, left: &[u32]) -> Cycle {
        // Each of these has a dependency among them: going back from any of them must come round.
        let mut before = vec![None; left.len()];
        for from in (0..left.len()).filter(|&task| left[task] > 0) {
            for to in self.after(TaskIx::at(from)) {
                before[to.index()] = Some(TaskIx::at(from));
            }
        }
        let back = |task: TaskIx| before[task.index()].expect("BUG: a task in a circle has a dependency");
        let start = TaskIx::at(left.iter().position(|&n| n > 0).expect("BUG: a cycle has tasks"));
        // After as many steps as there are tasks one is on the circle for certain.
        let on_circle = left.iter().fold(start, |task, _| back(task));
        let mut tasks = vec![on_circle];
        let mut task = back(on_circle);
        while task != on_circle {
            tasks.push(task);
            task = back(task);
        }
        tasks.reverse();
        Cycle { tasks }
    }
}
