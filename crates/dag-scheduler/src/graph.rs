//! Questions about the graph, answered on demand from daggy; nothing is stored for them.

use daggy::{NodeIndex, Walker};

use crate::{Plan, TaskIx};

impl Plan {
    /// What the task depends on directly: by index, each once.
    ///
    /// # Panics
    /// The plan has no such task; so do the others here that take one.
    #[must_use]
    pub fn dependencies(&self, task: TaskIx) -> Vec<TaskIx> {
        assert!(task.index() < self.len(), "the plan has no task {task}");
        sorted(self.graph().parents(node(task)).iter(self.graph()).map(|(_, node)| task_of(node)).collect())
    }

    /// What depends on the task directly: by index, each once.
    #[must_use]
    pub fn dependents(&self, task: TaskIx) -> Vec<TaskIx> {
        assert!(task.index() < self.len(), "the plan has no task {task}");
        sorted(self.graph().children(node(task)).iter(self.graph()).map(|(_, node)| task_of(node)).collect())
    }

    /// Everything that has to be over before the task: by index.
    #[must_use]
    pub fn ancestors(&self, task: TaskIx) -> Vec<TaskIx> {
        self.ancestors_until(task, |_| false)
    }

    /// Everything that waits for the task: by index.
    #[must_use]
    pub fn descendants(&self, task: TaskIx) -> Vec<TaskIx> {
        self.reach(task, |_| false, |task| self.dependents(task))
    }

    /// All tasks, dependencies first.
    #[must_use]
    pub fn order(&self) -> Vec<TaskIx> {
        self.flat().order().expect("BUG: a plan has no cycle")
    }

    /// For each task, how many tasks the longest way to it has before it.
    #[must_use]
    pub fn levels(&self) -> Vec<u32> {
        let mut levels = vec![0u32; self.len()];
        for task in self.order() {
            let next = levels[task.index()] + 1;
            for below in self.flat().after(task) {
                levels[below.index()] = levels[below.index()].max(next);
            }
        }
        levels
    }

    /// The chain of tasks that takes longest, first to last, when each takes what `cost` says (microseconds, or 1).
    /// The job cannot be done in less, however much runs at once.
    #[must_use]
    pub fn critical_path(&self, cost: impl Fn(TaskIx) -> u64) -> Vec<TaskIx> {
        let mut longest = vec![0u64; self.len()]; // up to and without the task
        let mut before = vec![None; self.len()];
        let mut last: Option<(u64, TaskIx)> = None;
        for task in self.order() {
            let total = longest[task.index()].saturating_add(cost(task));
            if last.is_none_or(|(most, _)| total > most) {
                last = Some((total, task));
            }
            for below in self.flat().after(task) {
                if before[below.index()].is_none() || total > longest[below.index()] {
                    longest[below.index()] = total;
                    before[below.index()] = Some(task);
                }
            }
        }
        let mut path: Vec<_> = std::iter::successors(last.map(|(_, task)| task), |task| before[task.index()]).collect();
        path.reverse();
        path
    }

    /// The edges (dependency, dependent) that say everything the plan's edges say: those without which something
    /// would not be implied by the others. By dependency, then dependent.
    #[must_use]
    pub fn transitive_reduction(&self) -> Vec<(TaskIx, TaskIx)> {
        let mut place = vec![0u32; self.len()];
        for (at, task) in self.order().into_iter().enumerate() {
            place[task.index()] = u32::try_from(at).expect("BUG: a plan has fewer than 2^32 tasks");
        }
        let mut kept = Vec::new();
        let mut seen_from = vec![u32::MAX; self.len()]; // from which task this one was last reached
        let mut stack = Vec::new();
        for from in self.tasks() {
            let mut below = self.flat().after(from).to_vec();
            below.sort_unstable_by_key(|task| place[task.index()]);
            below.dedup();
            let Some(furthest) = below.last().map(|task| place[task.index()]) else { continue };
            let first = kept.len();
            for to in below {
                if seen_from[to.index()] == from.0 {
                    continue; // there is a way through one of those before it
                }
                kept.push((from, to));
                seen_from[to.index()] = from.0;
                stack.push(to);
                while let Some(task) = stack.pop() {
                    for &next in self.flat().after(task) {
                        if seen_from[next.index()] != from.0 && place[next.index()] <= furthest {
                            seen_from[next.index()] = from.0;
                            stack.push(next);
                        }
                    }
                }
            }
            kept[first..].sort_unstable();
        }
        kept
    }

    /// The ancestors, without those that are above one where `stop` holds.
    pub(crate) fn ancestors_until(&self, task: TaskIx, stop: impl Fn(TaskIx) -> bool) -> Vec<TaskIx> {
        self.reach(task, stop, |task| self.dependencies(task))
    }

    /// Everything that can be reached, but not through a task where `stop` holds.
    fn reach(&self, start: TaskIx, stop: impl Fn(TaskIx) -> bool, next: impl Fn(TaskIx) -> Vec<TaskIx>) -> Vec<TaskIx> {
        let mut seen = vec![false; self.len()];
        let (mut found, mut stack) = (Vec::new(), vec![start]);
        while let Some(task) = stack.pop() {
            for other in next(task) {
                if !std::mem::replace(&mut seen[other.index()], true) {
                    found.push(other);
                    if !stop(other) {
                        stack.push(other);
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }
}

fn node(task: TaskIx) -> NodeIndex<u32> {
    NodeIndex::from(task.0)
}

fn task_of(node: NodeIndex<u32>) -> TaskIx {
    TaskIx::at(node.index())
}

fn sorted(mut tasks: Vec<TaskIx>) -> Vec<TaskIx> {
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}
