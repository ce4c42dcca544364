//! A workflow: tasks by index, their dependencies, and the way from a name to its task. Valid by construction: names are
//! unique, every dependency exists, there is no cycle.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

use hashbrown::HashTable;

use crate::{
    Error, Task, TaskIx, TaskName,
    graph::{Edges, cycle_text},
};

/// A valid workflow.
#[derive(Clone, Default)]
pub struct Workflow {
    tasks: Vec<Task>,
    edges: Edges,
    names: NameIndex,
}

impl Workflow {
    /// Makes a workflow of tasks, each with the names of the tasks it depends on. A dependency named twice counts once.
    ///
    /// # Errors
    /// A name stands twice, a dependency does not exist, or tasks wait for each other.
    pub fn new(tasks: impl IntoIterator<Item = (Task, Vec<TaskName>)>) -> Result<Self, Error> {
        let mut assembly = Assembly::default();
        for (task, deps) in tasks {
            assembly.push(task, deps.iter().map(TaskName::as_str))?;
        }
        assembly.finish()
    }

    /// From tasks with unique names and acyclic edges.
    pub(crate) fn from_checked(mut tasks: Vec<Task>, mut edges: Edges) -> Self {
        debug_assert_eq!(tasks.len(), edges.tasks());
        tasks.shrink_to_fit();
        edges.shrink();
        let mut names = NameIndex::with_capacity(tasks.len());
        for (ix, task) in tasks.iter().enumerate() {
            names.insert(task.name.as_str(), ix as u32, |ix| tasks[ix as usize].name.as_str());
        }
        Self { tasks, edges, names }
    }

    /// The tasks, in the order of the file.
    #[must_use]
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The tasks with their indexes.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TaskIx, &Task)> {
        self.tasks.iter().enumerate().map(|(ix, task)| (TaskIx(ix as u32), task))
    }

    /// How many tasks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there is no task.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The task at an index of this workflow.
    ///
    /// # Panics
    /// The index is not of this workflow; see [`Workflow::get`].
    #[must_use]
    pub fn task(&self, task: TaskIx) -> &Task {
        &self.tasks[task.index()]
    }

    /// The task at an index.
    #[must_use]
    pub fn get(&self, task: TaskIx) -> Option<&Task> {
        self.tasks.get(task.index())
    }

    /// The task of a name (exact, byte for byte).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<TaskIx> {
        self.names.get(name, |ix| self.tasks[ix as usize].name.as_str()).map(TaskIx)
    }

    /// What a task of this workflow depends on directly: each once, in the order of the file.
    ///
    /// # Panics
    /// The index is not of this workflow.
    #[must_use]
    pub fn deps(&self, task: TaskIx) -> &[TaskIx] {
        self.edges.of(task)
    }

    /// How many dependencies there are in all.
    #[must_use]
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }
}

impl PartialEq for Workflow {
    fn eq(&self, other: &Self) -> bool {
        self.tasks == other.tasks && self.edges == other.edges
    }
}

impl fmt::Debug for Workflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("tasks", &self.tasks).field("edges", &self.edges).finish_non_exhaustive()
    }
}

/// Collects tasks whose dependencies may come later.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    tasks: Vec<Task>,
    /// Per task, where its part of `deps` ends.
    ends: Vec<u32>,
    /// Dependencies, as symbols.
    deps: Vec<u32>,
    symbols: Vec<Symbol>,
    index: NameIndex,
}

#[derive(Debug)]
enum Symbol {
    /// Named as a dependency, not defined yet.
    Named(Box<str>),
    /// Defined as this task.
    Task(u32),
}

impl Assembly {
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Adds a task; answers how many different dependencies it has.
    pub(crate) fn push<'a>(&mut self, task: Task, deps: impl IntoIterator<Item = &'a str>) -> Result<usize, Error> {
        let ix = u32::try_from(self.tasks.len()).map_err(|_| Error::TooManyTasks)?;
        let symbol = self.symbol(task.name.as_str());
        if let Symbol::Task(_) = self.symbols[symbol as usize] {
            return Err(Error::DuplicateName(task.name));
        }
        self.symbols[symbol as usize] = Symbol::Task(ix);
        self.tasks.push(task);
        let start = self.deps.len();
        for dep in deps {
            let dep = self.symbol(dep);
            if dep == symbol {
                return Err(Error::Cycle(cycle_text([self.name(symbol)].into_iter())));
            }
            self.deps.push(dep);
        }
        dedup_from(&mut self.deps, start);
        self.ends.push(u32::try_from(self.deps.len()).map_err(|_| Error::TooManyTasks)?);
        Ok(self.deps.len() - start)
    }

    /// The workflow, if every dependency was defined and there is no cycle.
    pub(crate) fn finish(self) -> Result<Workflow, Error> {
        if let Some(at) = self.deps.iter().position(|dep| matches!(self.symbols[*dep as usize], Symbol::Named(_))) {
            let task = self.ends.partition_point(|end| *end as usize <= at);
            let dependency = self.name(self.deps[at]).to_owned();
            return Err(Error::UnknownDependency { task: self.tasks[task].name.clone(), dependency });
        }
        let Self { tasks, ends, deps, symbols, index } = self;
        // In its place: a million tasks have several million of them.
        let targets = deps.into_iter().map(|dep| match symbols[dep as usize] {
            Symbol::Task(ix) => TaskIx(ix),
            Symbol::Named(_) => unreachable!("BUG: looked for above"),
        });
        let edges = Edges::from_ends(targets.collect(), ends);
        drop((symbols, index));
        if let Some(cycle) = edges.cycles(1).pop() {
            return Err(Error::Cycle(cycle_text(cycle.iter().map(|task| tasks[task.index()].name.as_str()))));
        }
        Ok(Workflow::from_checked(tasks, edges))
    }

    fn symbol(&mut self, name: &str) -> u32 {
        let of = |symbol: u32| name_of(&self.symbols, &self.tasks, symbol);
        if let Some(symbol) = self.index.get(name, of) {
            return symbol;
        }
        let symbol = self.symbols.len() as u32;
        self.symbols.push(Symbol::Named(name.into()));
        self.index.insert(name, symbol, |symbol| name_of(&self.symbols, &self.tasks, symbol));
        symbol
    }

    fn name(&self, symbol: u32) -> &str {
        name_of(&self.symbols, &self.tasks, symbol)
    }
}

fn name_of<'a>(symbols: &'a [Symbol], tasks: &'a [Task], symbol: u32) -> &'a str {
    match &symbols[symbol as usize] {
        Symbol::Named(name) => name,
        Symbol::Task(ix) => tasks[*ix as usize].name.as_str(),
    }
}

/// Removes later repetitions from `list[start..]`, keeping the order.
pub(crate) fn dedup_from(list: &mut Vec<u32>, start: usize) {
    const SMALL: usize = 16;
    if list.len() - start <= SMALL {
        let mut kept = start;
        for at in start..list.len() {
            if !list[start..kept].contains(&list[at]) {
                list[kept] = list[at];
                kept += 1;
            }
        }
        list.truncate(kept);
        return;
    }
    let mut seen = std::collections::HashSet::new();
    let tail: Vec<u32> = list.drain(start..).filter(|item| seen.insert(*item)).collect();
    list.extend(tail);
}

/// Names to numbers without a second copy of the names: the caller tells the name of a number. Keyed hashing, since names
/// come from outside.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameIndex {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl NameIndex {
    fn with_capacity(names: usize) -> Self {
        Self { table: HashTable::with_capacity(names), hasher: RandomState::new() }
    }

    pub(crate) fn get<'a>(&self, name: &str, name_of: impl Fn(u32) -> &'a str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(name), |number| name_of(*number) == name).copied()
    }

    /// Adds a name that is not there yet.
    pub(crate) fn insert<'a>(&mut self, name: &str, number: u32, name_of: impl Fn(u32) -> &'a str) {
        let hasher = &self.hasher;
        self.table.insert_unique(hasher.hash_one(name), number, |number| hasher.hash_one(name_of(*number)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(name: &str) -> Task {
        Task::new(TaskName::new(name).unwrap())
    }

    fn names(names: &[&str]) -> Vec<TaskName> {
        names.iter().map(|name| TaskName::new(name).unwrap()).collect()
    }

    #[test]
    fn names_and_dependencies_are_found() {
        let workflow =
            Workflow::new([(task("b"), names(&["a", "c", "a"])), (task("a"), vec![]), (task("c"), names(&["a"]))])
                .unwrap();
        assert_eq!(workflow.find("a"), Some(TaskIx(1)));
        assert_eq!(workflow.find("d"), None);
        assert_eq!(workflow.deps(TaskIx(0)), [TaskIx(1), TaskIx(2)]);
        assert_eq!((workflow.len(), workflow.edge_count()), (3, 3));
    }

    #[test]
    fn what_is_not_a_workflow_is_refused() {
        let error = |tasks: Vec<(Task, Vec<TaskName>)>| Workflow::new(tasks).unwrap_err().to_string();
        assert!(error(vec![(task("a"), vec![]), (task("a"), vec![])]).contains("\"a\" stands twice"));
        assert!(error(vec![(task("a"), names(&["b"]))]).contains("\"b\""));
        assert!(error(vec![(task("a"), names(&["a"]))]).contains("a -> a"));
        assert!(error(vec![(task("a"), names(&["b"])), (task("b"), names(&["a"]))]).contains("a -> b -> a"));
    }

    #[test]
    fn repetitions_are_removed_from_long_lists_too() {
        let mut list: Vec<u32> = vec![7, 7];
        list.extend((0..100).chain(0..100));
        dedup_from(&mut list, 1);
        assert_eq!(list[..4], [7, 7, 0, 1]);
        assert_eq!(list.len(), 1 + 100);
    }
}
