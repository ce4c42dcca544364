//! What is drawn: tasks with their dependencies and, for a job, what became of them.

use std::time::Duration;

use job_queue::{Micros, TaskRow};
use workflow_model::{TaskStatus, Workflow};

use crate::text;

/// A task as it is drawn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The task's name, as written.
    pub label: String,
    /// The task's `group`.
    pub group: Option<String>,
    /// What became of it, if this is a job.
    pub status: Option<TaskStatus>,
    /// How long its newest attempt took (so far), if there was one.
    pub duration: Option<Duration>,
}

impl Node {
    /// A task of which only the name is known.
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }
}

/// Tasks and their dependencies; always free of cycles.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    /// For each task, what it depends on: ascending, each once.
    needs: Vec<Vec<u32>>,
    /// An order in which every task comes after what it depends on.
    order: Vec<u32>,
}

impl Graph {
    /// From tasks and edges `(dependency, dependent)` by index. Edges to nowhere, to oneself, and those without which
    /// there would be no cycle are left out: a validated workflow has none.
    #[must_use]
    pub fn new(nodes: Vec<Node>, edges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let n = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        let mut needs = vec![Vec::new(); nodes.len()];
        for (from, to) in edges {
            if from < n && to < n && from != to {
                needs[to as usize].push(from);
            }
        }
        for list in &mut needs {
            list.sort_unstable();
            list.dedup();
        }
        let order = settle(&mut needs);
        Self { nodes, needs, order }
    }

    /// From a workflow.
    #[must_use]
    pub fn of(workflow: &Workflow) -> Self {
        let node = |task: &workflow_model::Task| Node {
            label: task.name.as_str().to_owned(),
            group: task.group.as_deref().map(str::to_owned),
            ..Node::default()
        };
        let nodes = workflow.tasks().iter().map(node).collect();
        Self::new(nodes, workflow.iter().flat_map(|(to, _)| workflow.deps(to).iter().map(move |from| (from.0, to.0))))
    }

    /// Adds what became of a job's tasks; tasks without a row have not begun. `now` ends the time of running ones.
    #[must_use]
    pub fn with_rows(mut self, rows: &[TaskRow], now: Micros) -> Self {
        for node in &mut self.nodes {
            node.status = Some(TaskStatus::Waiting);
        }
        for row in rows {
            let Some(node) = self.nodes.get_mut(row.task.index()) else { continue };
            node.status = Some(row.status);
            node.duration = row.started.map(|started| text::between(started, row.ended.unwrap_or(now)));
        }
        self
    }

    /// The tasks, by index.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What a task depends on, ascending.
    #[must_use]
    pub fn needs(&self, task: usize) -> &[u32] {
        &self.needs[task]
    }

    /// Every task after what it depends on.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// How many dependencies there are.
    pub(super) fn edge_count(&self) -> usize {
        self.needs.iter().map(Vec::len).sum()
    }

    /// For each task, what depends on it, ascending.
    pub(super) fn dependents(&self) -> Vec<Vec<u32>> {
        let mut dependents = vec![Vec::new(); self.nodes.len()];
        for (to, needs) in (0u32..).zip(&self.needs) {
            for &from in needs {
                dependents[from as usize].push(to);
            }
        }
        dependents
    }
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// No line is wider than this, in columns (at least 20).
    pub width: usize,
    /// Colour by status.
    pub color: bool,
    /// ASCII characters only.
    pub ascii: bool,
    /// Mark the longest chain: by time if times are known, else by number of tasks.
    pub critical_path: bool,
    /// Fan-outs of at least so many tasks are drawn as one; 0 = none.
    pub fold: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { width: 80, color: false, ascii: false, critical_path: false, fold: 4 }
    }
}

/// A topological order that stays close to the order of the tasks; edges that would close a cycle are removed.
fn settle(needs: &mut [Vec<u32>]) -> Vec<u32> {
    let mut order = Vec::with_capacity(needs.len());
    // 0 = not seen, 1 = on the stack, 2 = placed.
    let mut state = vec![0u8; needs.len()];
    let mut stack: Vec<(u32, usize)> = Vec::new();
    for root in 0..u32::try_from(needs.len()).unwrap_or(u32::MAX) {
        if state[root as usize] == 0 {
            state[root as usize] = 1;
            stack.push((root, 0));
        }
        while let Some((task, next)) = stack.last_mut() {
            let here = *task as usize;
            let Some(&need) = needs[here].get(*next) else {
                state[here] = 2;
                order.push(*task);
                stack.pop();
                continue;
            };
            match state[need as usize] {
                0 => {
                    *next += 1;
                    state[need as usize] = 1;
                    stack.push((need, 0));
                }
                1 => _ = needs[here].remove(*next),
                _ => *next += 1,
            }
        }
    }
    order
}
