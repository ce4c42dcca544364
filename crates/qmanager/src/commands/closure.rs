//! Which tasks a retry runs again, and which `run --only` and `--from` run at all.

use job_queue::TaskRow;
use workflow_model::{TaskIx, TaskStatus, Workflow};

/// The tasks and all that follow from them, in order.
pub(super) fn with_descendants(workflow: &Workflow, tasks: impl IntoIterator<Item = TaskIx>) -> Vec<TaskIx> {
    let mut chosen = vec![false; workflow.len()];
    let mut stack: Vec<TaskIx> = tasks.into_iter().collect();
    let dependents = Dependents::of(workflow);
    while let Some(task) = stack.pop() {
        if !std::mem::replace(&mut chosen[task.index()], true) {
            stack.extend(dependents.of_task(task));
        }
    }
    workflow.iter().map(|(task, _)| task).filter(|task| chosen[task.index()]).collect()
}

/// Tasks that did not succeed: failed, cancelled, skipped, or never decided.
pub(super) fn unsuccessful(workflow: &Workflow, rows: &[TaskRow]) -> Vec<TaskIx> {
    let mut succeeded = vec![false; workflow.len()];
    for row in rows.iter().filter(|row| row.status == TaskStatus::Succeeded) {
        if let Some(flag) = succeeded.get_mut(row.task.index()) {
            *flag = true;
        }
    }
    workflow.iter().map(|(task, _)| task).filter(|task| !succeeded[task.index()]).collect()
}

/// How a corrected definition takes over from an old one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Correction {
    /// For each new task, the old task of the same name.
    pub(super) from: Vec<Option<TaskIx>>,
    /// New tasks that are changed, or below a changed one.
    pub(super) changed: Vec<TaskIx>,
}

/// Compares two definitions: a task is unchanged if its own hash and those of all its ancestors are.
pub(super) fn correction(old: &Workflow, new: &Workflow) -> Correction {
    let from: Vec<Option<TaskIx>> = new.tasks().iter().map(|task| old.find(task.name.as_str())).collect();
    let differs = |task: &TaskIx| match from[task.index()] {
        Some(before) => old.task_hash(before) != new.task_hash(*task),
        None => true,
    };
    let roots: Vec<TaskIx> = new.iter().map(|(task, _)| task).filter(differs).collect();
    // A dependency that is gone or new changes the hash of the task that named it, so descendants are all there is.
    let changed = with_descendants(new, roots);
    Correction { from, changed }
}

/// Ancestors of the chosen tasks that did not succeed and are not chosen: they keep what is below them from starting.
pub(super) fn obstacles(workflow: &Workflow, rows: &[TaskRow], chosen: &[TaskIx]) -> Vec<TaskIx> {
    let mut blocked = vec![false; workflow.len()];
    for row in rows.iter().filter(|row| matches!(row.status, TaskStatus::Failed | TaskStatus::Cancelled)) {
        if let Some(flag) = blocked.get_mut(row.task.index()) {
            *flag = !workflow.get(row.task).is_some_and(|task| task.allow_failure);
        }
    }
    for task in chosen {
        blocked[task.index()] = false;
    }
    if !blocked.contains(&true) {
        return Vec::new();
    }
    let mut above = vec![false; workflow.len()];
    let mut stack = chosen.to_vec();
    while let Some(task) = stack.pop() {
        for dep in workflow.deps(task) {
            if !std::mem::replace(&mut above[dep.index()], true) {
                stack.push(*dep);
            }
        }
    }
    workflow.iter().map(|(task, _)| task).filter(|task| above[task.index()] && blocked[task.index()]).collect()
}

/// The way from a task to those that depend on it.
struct Dependents {
    starts: Vec<u32>,
    tasks: Vec<TaskIx>,
}

impl Dependents {
    fn of(workflow: &Workflow) -> Self {
        let mut starts = vec![0_u32; workflow.len() + 1];
        for (task, _) in workflow.iter() {
            for dep in workflow.deps(task) {
                starts[dep.index() + 1] += 1;
            }
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut tasks = vec![TaskIx(0); workflow.edge_count()];
        for (task, _) in workflow.iter() {
            for dep in workflow.deps(task) {
                let place = &mut next[dep.index()];
                tasks[*place as usize] = task;
                *place += 1;
            }
        }
        Self { starts, tasks }
    }

    fn of_task(&self, task: TaskIx) -> impl Iterator<Item = TaskIx> + '_ {
        let range = self.starts[task.index()] as usize..self.starts[task.index() + 1] as usize;
        self.tasks[range].iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use workflow_model::{Attempt, LoadOptions, load_workflow};

    use super::*;

    fn workflow(text: &str) -> Workflow {
        load_workflow(text.as_bytes(), &LoadOptions::new("w.yaml")).unwrap().value
    }

    fn row(task: u32, status: TaskStatus) -> TaskRow {
        TaskRow { status, ..TaskRow::waiting(TaskIx(task), Attempt(1)) }
    }

    const DIAMOND: &str =
        "- name: a\n- {name: b, depends: [a]}\n- {name: c, depends: [a]}\n- {name: d, depends: [b, c]}\n- name: e\n";

    #[test]
    fn a_closure_has_all_that_follows_once() {
        let ix = |list: &[u32]| list.iter().copied().map(TaskIx).collect::<Vec<_>>();
        assert_eq!(with_descendants(&workflow(DIAMOND), ix(&[0])), ix(&[0, 1, 2, 3]));
        assert_eq!(with_descendants(&workflow(DIAMOND), ix(&[2, 1])), ix(&[1, 2, 3]));
        assert_eq!(with_descendants(&workflow(DIAMOND), []), []);
    }

    #[test]
    fn tasks_without_a_row_did_not_succeed() {
        let rows = [row(0, TaskStatus::Succeeded), row(1, TaskStatus::Failed), row(9, TaskStatus::Succeeded)];
        assert_eq!(unsuccessful(&workflow(DIAMOND), &rows), [1, 2, 3, 4].map(TaskIx));
    }

    #[test]
    fn a_correction_keeps_what_is_unchanged_up_to_its_roots() {
        let old = workflow(DIAMOND);
        let same = correction(&old, &workflow(DIAMOND));
        assert_eq!((same.from.len(), same.changed), (5, vec![]));
        // c is new in what it does, d follows from it; the order of tasks and descriptions do not matter.
        let new = workflow(
            "- name: e\n  description: the same\n- name: a\n- {name: c, depends: [a], timeout: 5s}\n- {name: d, depends: [c, b]}\n- {name: b, depends: [a]}\n",
        );
        let found = correction(&old, &new);
        assert_eq!(found.from, [4, 0, 2, 3, 1].map(|ix| Some(TaskIx(ix))));
        assert_eq!(found.changed, [2, 3].map(TaskIx));
        // A dependency that is gone changes the task that had it.
        let less = correction(&old, &workflow("- name: a\n- {name: b, depends: [a]}\n- {name: d, depends: [b]}\n"));
        assert_eq!(less.changed, [2].map(TaskIx));
    }

    #[test]
    fn failures_above_that_stay_are_obstacles() {
        let rows = [row(0, TaskStatus::Succeeded), row(1, TaskStatus::Failed), row(2, TaskStatus::Failed)];
        let above = |chosen: &[u32]| {
            let chosen: Vec<TaskIx> = chosen.iter().copied().map(TaskIx).collect();
            obstacles(&workflow(DIAMOND), &rows, &chosen)
        };
        assert_eq!(above(&[3]), [1, 2].map(TaskIx));
        assert_eq!(above(&[1, 3]), [TaskIx(2)]);
        assert_eq!(above(&[1, 2, 3]), []);
        assert_eq!(above(&[4]), []);
    }
}
