//! Dependencies as flat arrays, and the search for cycles: iterative, O(V+E), whatever the depth.

use crate::TaskIx;

/// The dependencies of every task: task `i` depends on `targets[starts[i]..starts[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edges {
    starts: Vec<u32>,
    targets: Vec<TaskIx>,
}

impl Default for Edges {
    fn default() -> Self {
        Self { starts: vec![0], targets: Vec::new() }
    }
}

impl Edges {
    /// Adds the next task's dependencies.
    pub(crate) fn push(&mut self, deps: impl IntoIterator<Item = TaskIx>) {
        self.targets.extend(deps);
        self.starts
            .push(u32::try_from(self.targets.len()).expect("BUG: text within its limit has fewer than 2^32 names"));
    }

    /// The dependencies of all tasks, in the order of the tasks, and where each task's end.
    pub(crate) fn from_ends(targets: Vec<TaskIx>, mut ends: Vec<u32>) -> Self {
        debug_assert_eq!(ends.last().map_or(0, |end| *end as usize), targets.len());
        ends.insert(0, 0);
        Self { starts: ends, targets }
    }

    /// What a task depends on.
    pub(crate) fn of(&self, task: TaskIx) -> &[TaskIx] {
        &self.targets[self.starts[task.index()] as usize..self.starts[task.index() + 1] as usize]
    }

    /// How many tasks were added.
    pub(crate) fn tasks(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many dependencies there are in all.
    pub(crate) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Frees what growing left over.
    pub(crate) fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.targets.shrink_to_fit();
    }

    /// Cycles, at most `most`, at least one if there is any: each task depends on the next, the last on the first; a
    /// cycle begins with its first task in the order of the file.
    pub(crate) fn cycles(&self, most: usize) -> Vec<Vec<TaskIx>> {
        let mut found = Vec::new();
        let mut state = vec![Visit::New; self.tasks()];
        // The path from a root to where the search is, each with the position of its next dependency.
        let mut path: Vec<(TaskIx, u32)> = Vec::new();
        for root in 0..self.tasks() as u32 {
            if state[root as usize] == Visit::New {
                state[root as usize] = Visit::OnPath;
                path.push((TaskIx(root), 0));
            }
            while let Some((task, next)) = path.last_mut() {
                let Some(&dep) = self.of(*task).get(*next as usize) else {
                    state[task.index()] = Visit::Done;
                    path.pop();
                    continue;
                };
                *next += 1;
                match state[dep.index()] {
                    Visit::New => {
                        state[dep.index()] = Visit::OnPath;
                        path.push((dep, 0));
                    }
                    Visit::OnPath => {
                        let from = path.iter().rposition(|(task, _)| *task == dep).expect("BUG: it is on the path");
                        found.push(from_first(path[from..].iter().map(|(task, _)| *task).collect()));
                        if found.len() == most {
                            return found;
                        }
                    }
                    Visit::Done => {}
                }
            }
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    New,
    OnPath,
    Done,
}

fn from_first(mut cycle: Vec<TaskIx>) -> Vec<TaskIx> {
    let first = cycle.iter().enumerate().min_by_key(|(_, task)| **task).map_or(0, |(at, _)| at);
    cycle.rotate_left(first);
    cycle
}

/// `a -> b -> a`; a long cycle is cut in the middle.
pub(crate) fn cycle_text<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let (len, mut names) = (names.len(), names.peekable());
    let first = names.peek().copied().unwrap_or_default();
    let mut parts: Vec<String> = names.by_ref().take(SHOWN).map(str::to_owned).collect();
    if len > SHOWN {
        parts.push(format!("({} more)", len - SHOWN));
    }
    parts.push(first.to_owned());
    parts.join(" -> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(deps: &[&[u32]]) -> Edges {
        let mut edges = Edges::default();
        for deps in deps {
            edges.push(deps.iter().copied().map(TaskIx));
        }
        edges
    }

    #[test]
    fn finds_each_separate_cycle_and_only_cycles() {
        assert_eq!(edges(&[&[], &[0], &[0, 1], &[2, 1]]).cycles(9), Vec::<Vec<TaskIx>>::new());
        let two = edges(&[&[2], &[0], &[1], &[0], &[5], &[4]]).cycles(9);
        assert_eq!(two, [vec![TaskIx(0), TaskIx(2), TaskIx(1)], vec![TaskIx(4), TaskIx(5)]]);
        assert_eq!(edges(&[&[2], &[0], &[1], &[0], &[5], &[4]]).cycles(1).len(), 1);
    }

    #[test]
    fn long_cycles_are_cut_in_the_middle() {
        let names: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let text = cycle_text(names.iter().map(String::as_str));
        assert_eq!(text, "0 -> 1 -> 2 -> 3 -> 4 -> 5 -> 6 -> 7 -> 8 -> 9 -> 10 -> 11 -> (88 more) -> 0");
        assert_eq!(cycle_text(["a", "b"].into_iter()), "a -> b -> a");
    }
}
