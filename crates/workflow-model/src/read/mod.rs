//! From the tree to the model, by the slow way: every problem is found and told with its place. What it accepts is what
//! the fast way accepts, and more: YAML, annotations, numbers as written.

mod fields;
mod job;
mod params;
mod tasks;
mod value;

use crate::{
    Definition, JobDefinition, Limits, Workflow,
    check::Wrong,
    report::Report,
    tree::{Kind, NodeId, Tree},
};

pub(crate) use fields::{JOB_KEYS, PARAMS_KEYS, RESOURCES_KEYS, RETRY_KEYS, TASK_KEYS};
pub(crate) use tasks::unicode_twins;

/// Reads a workflow or a job definition. `None`: the report says why.
pub(crate) fn definition(tree: &Tree<'_>, root: NodeId, limits: &Limits, report: &mut Report) -> Option<Definition> {
    let mut reader = Reader { tree, limits, report };
    match tree.kind(root) {
        Kind::List(_) => reader.workflow(root).map(Definition::Workflow),
        Kind::Map(_) if reader.is_lone_task(root) => None,
        Kind::Map(_) => reader.job(root).map(|job: JobDefinition| Definition::Job(Box::new(job))),
        _ => {
            let wrong = Wrong::new("neither a list of tasks nor a job definition")
                .help("a workflow is a list of tasks: begin each with `- name: …`");
            reader.report.error(tree.place(root), wrong);
            None
        }
    }
}

/// Reads a workflow; a job definition is an error.
pub(crate) fn workflow(tree: &Tree<'_>, root: NodeId, limits: &Limits, report: &mut Report) -> Option<Workflow> {
    let mut reader = Reader { tree, limits, report };
    if matches!(tree.kind(root), Kind::Map(_)) && !reader.is_lone_task(root) {
        let wrong = Wrong::new("a mapping where a workflow is needed").help("a workflow is a list of tasks");
        reader.report.error(tree.place(root), wrong);
        return None;
    }
    match definition(tree, root, limits, report)? {
        Definition::Workflow(workflow) => Some(workflow),
        Definition::Job(_) => None,
    }
}

/// Fills the report if so many items of a list are no tasks that nothing else would be told anyway.
pub(crate) fn check_shape(tree: &Tree<'_>, root: NodeId, report: &mut Report) {
    let Kind::List(items) = tree.kind(root) else { return };
    let wrong = || items.iter().filter(|item| !matches!(tree.kind(**item), Kind::Map(_)));
    if wrong().count() <= report.room() {
        return;
    }
    for item in wrong() {
        if report.is_full() {
            report.count(1);
        } else {
            report.error(
                tree.place(*item),
                Wrong::new("a task must be a mapping that begins with its name").help("like `- name: build`"),
            );
        }
    }
}

struct Reader<'t, 'a> {
    tree: &'t Tree<'a>,
    limits: &'t Limits,
    report: &'t mut Report,
}
