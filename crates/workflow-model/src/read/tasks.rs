//! The list of tasks: each task, then what holds between them (names, dependencies, cycles).

use std::collections::HashMap;

use unicode_normalization::UnicodeNormalization;

use crate::{
    Place, Retry, Task, TaskIx, When, Workflow, check,
    check::Wrong,
    graph::{Edges, cycle_text},
    read::{RETRY_KEYS, Reader, TASK_KEYS},
    shown,
    tree::{Kind, NodeId, Value},
    workflow::dedup_from,
};

/// Cycles that are told, of those that are there.
const MOST_CYCLES: usize = 10;

/// A task as far as what holds between tasks needs it.
struct Read<'t> {
    name: Option<(&'t str, Place)>,
    depends: &'t [NodeId],
}

impl<'t> Reader<'t, '_> {
    /// A workflow; `None` if anything at all was wrong with the file.
    pub(super) fn workflow(&mut self, root: NodeId) -> Option<Workflow> {
        let items = self.list(root, "the workflow")?;
        if let Some(first) = items.get(self.limits.tasks) {
            let wrong = Wrong::new(format!("{} tasks, {} are allowed", items.len(), self.limits.tasks))
                .help("split the workflow, or raise the limit in the configuration");
            self.report.error(self.tree.place(*first), wrong);
            return None;
        }
        if items.is_empty() {
            self.report.warning(self.tree.place(root), Wrong::new("the workflow has no tasks"), Vec::new());
        }
        let mut tasks = Vec::new();
        let mut read: Vec<Read<'t>> = Vec::with_capacity(items.len());
        for (ix, item) in items.iter().enumerate() {
            let (task, of_task) = self.task(ix, *item);
            read.push(of_task);
            // After the first error nothing is kept but what further errors need.
            if self.report.errors() == 0 {
                tasks.push(task.expect("BUG: a task without problems is complete"));
            } else {
                tasks = Vec::new();
            }
        }
        self.report.task = None;
        let names = self.names(&read);
        self.unicode_twins(&read);
        let edges = self.edges(&read, &names);
        self.cycles(&read, &edges);
        if self.report.errors() > 0 {
            return None;
        }
        Some(Workflow::from_checked(tasks, edges))
    }

    fn task(&mut self, ix: usize, node: NodeId) -> (Option<Task>, Read<'t>) {
        let mut read = Read { name: None, depends: &[] };
        self.report.task = Some(format!("#{ix}"));
        if !matches!(self.tree.kind(node), Kind::Map(_)) {
            let help = "like `- name: build`";
            self.wrong(node, "a task", None, Wrong::new("must be a mapping that begins with its name").help(help));
            return (None, read);
        }
        // The name first, so that all problems of the task carry it.
        let tree = self.tree;
        let own = self.own(node, "name").and_then(|value| tree.as_scalar(value));
        if let Some(name) = own.filter(|name| name.value != Value::Null) {
            self.report.task = Some(shown::cut(&name.text));
        }
        let Some(fields) = self.fields(node, "the task", TASK_KEYS) else { return (None, read) };
        let name = match fields.get("name") {
            Some(node) => {
                read.name = tree
                    .as_scalar(node)
                    .filter(|name| name.value != Value::Null)
                    .map(|scalar| (&*scalar.text, tree.place(node)));
                self.checked(node, "`name`", check::task_name)
            }
            None => {
                self.wrong(
                    node,
                    "the task",
                    None,
                    Wrong::new("has no `name`").help("write `name: …`, unique in the workflow"),
                );
                None
            }
        };
        read.depends = fields.get("depends").and_then(|node| self.list(node, "`depends`")).unwrap_or_default();
        let when = fields.get("when").and_then(|node| self.when(node));
        let retry = fields.get("retry").and_then(|node| self.retry(node));
        let timeout = fields.get("timeout").and_then(|node| self.checked(node, "`timeout`", check::timeout));
        let allow_failure = fields.get("allow_failure").and_then(|node| self.boolean(node, "`allow_failure`"));
        let group = fields.get("group").and_then(|node| self.checked_text(node, "`group`", check::words));
        let description = fields.get("description").and_then(|node| self.text(node, "`description`"));
        let params = fields.get("params").and_then(|node| self.params(node));
        let task = name.map(|name| Task {
            name,
            when: when.unwrap_or_default(),
            retry: retry.unwrap_or_default(),
            timeout,
            allow_failure: allow_failure.unwrap_or_default(),
            group: group.map(Into::into),
            description: description.map(Into::into),
            params: params.map(Box::new),
        });
        (task, read)
    }

    fn when(&mut self, node: NodeId) -> Option<When> {
        let text = self.text(node, "`when`")?;
        let when = text.parse().ok();
        if when.is_none() {
            let near = self.report.budget.nearest(text, When::ALL.iter().map(|when| when.as_str()));
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write success (the default), failure or always".into(),
            };
            self.wrong(node, "`when`", Some(text), Wrong::new("is not known").help(help));
        }
        when
    }

    fn retry(&mut self, node: NodeId) -> Option<Retry> {
        if !matches!(self.tree.kind(node), Kind::Map(_)) {
            let max = self.retry_max(node, "`retry`")?;
            return Some(Retry { max, ..Retry::default() });
        }
        let fields = self.fields(node, "`retry`", RETRY_KEYS)?;
        let Some(max) = fields.get("max") else {
            self.wrong(node, "`retry`", None, Wrong::new("has no `max`").help("write how many retries: `max: 3`"));
            return None;
        };
        let backoff = fields.get("backoff").and_then(|node| self.checked(node, "`backoff`", check::backoff));
        let max = self.retry_max(max, "`max`")?;
        Some(Retry { max, backoff: backoff.unwrap_or(Retry::DEFAULT_BACKOFF) })
    }

    fn retry_max(&mut self, node: NodeId, what: &str) -> Option<u32> {
        let max = self.unsigned(node, what)?;
        if let Err(wrong) = check::retry_max(max) {
            self.wrong(node, what, None, wrong);
        }
        Some(max)
    }

    /// The first task of each name; reports the others.
    fn names(&mut self, read: &[Read<'t>]) -> HashMap<&'t str, TaskIx> {
        let mut names: HashMap<&str, TaskIx> = HashMap::with_capacity(read.len());
        for (ix, read_task) in read.iter().enumerate() {
            let Some((name, place)) = read_task.name else { continue };
            let first = *names.entry(name).or_insert(TaskIx(ix as u32));
            if first.index() == ix {
                continue;
            }
            if self.report.is_full() {
                self.report.count(1);
                continue;
            }
            let related = read[first.index()].name.map(|(_, place)| (place, "first here".to_owned()));
            self.report.task = Some(shown::cut(name));
            let wrong =
                Wrong::new(format!("the name {} stands twice", shown::quoted(name))).help("names must be unique");
            self.report.error_beside(place, wrong, related.into_iter().collect());
        }
        self.report.task = None;
        names
    }

    /// Warns of names that look the same but are not.
    fn unicode_twins(&mut self, read: &[Read<'t>]) {
        let names: Vec<(&str, Place)> = read.iter().filter_map(|read| read.name).collect();
        for (first, second) in unicode_twins(names.iter().map(|(name, _)| *name)) {
            if self.report.is_full_of_warnings() {
                self.report.count_warnings(1);
                continue;
            }
            let ((_, first), (name, place)) = (names[first], names[second]);
            let wrong =
                Wrong::new(format!("the name {} differs from another only by its Unicode form", shown::quoted(name)))
                    .help("names are compared byte for byte: write both in one form");
            self.report.task = Some(shown::cut(name));
            self.report.warning(place, wrong, vec![(first, "the other one".into())]);
        }
        self.report.task = None;
    }

    fn edges(&mut self, read: &[Read<'t>], names: &HashMap<&'t str, TaskIx>) -> Edges {
        let mut edges = Edges::default();
        let mut deps: Vec<u32> = Vec::new();
        for (ix, read_task) in read.iter().enumerate() {
            deps.clear();
            self.report.task = Some(read_task.name.map_or_else(|| format!("#{ix}"), |(name, _)| shown::cut(name)));
            for node in read_task.depends {
                let Some(dep) = self.text(*node, "an entry of `depends`") else { continue };
                match names.get(dep) {
                    _ if read_task.name.is_some_and(|(name, _)| name == dep) => {
                        self.wrong(
                            *node,
                            "the task",
                            None,
                            Wrong::new("depends on itself").help("remove it from `depends`"),
                        );
                    }
                    Some(dep) => deps.push(dep.0),
                    None => self.unknown_dependency((*node, dep), ix, names, read),
                }
            }
            let named = deps.len();
            dedup_from(&mut deps, 0);
            if deps.len() < named {
                self.repeated_dependency(read_task.depends);
            }
            edges.push(deps.iter().copied().map(TaskIx));
        }
        self.report.task = None;
        edges
    }

    fn repeated_dependency(&mut self, depends: &[NodeId]) {
        let mut seen: HashMap<&str, NodeId> = HashMap::new();
        for node in depends {
            let Some(scalar) = self.tree.as_scalar(*node) else { continue };
            if let Some(first) = seen.insert(&scalar.text, *node) {
                if self.report.is_full_of_warnings() {
                    self.report.count_warnings(1);
                    continue;
                }
                let wrong = Wrong::new(format!("{} stands twice in `depends`", shown::quoted(&scalar.text)));
                self.report.warning(self.tree.place(*node), wrong, vec![(self.tree.place(first), "first here".into())]);
            }
        }
    }

    fn unknown_dependency(
        &mut self,
        (node, dep): (NodeId, &str),
        ix: usize,
        names: &HashMap<&'t str, TaskIx>,
        read: &[Read<'t>],
    ) {
        if self.report.is_full() {
            self.report.count(1);
            return;
        }
        let mut wrong = Wrong::new(format!("no task is called {}", shown::quoted(dep)));
        // In the order of the file, so that the same file gives the same suggestion.
        let candidates = read[..ix].iter().chain(&read[ix + 1..]).filter_map(|read| read.name).map(|(name, _)| name);
        let trimmed = names.get_key_value(dep.trim()).map(|(name, _)| *name);
        if let Some(near) = trimmed.or_else(|| self.report.budget.nearest(dep, candidates)) {
            wrong = wrong.help(format!("did you mean {}?", shown::quoted(near)));
        }
        self.report.error(self.tree.place(node), wrong);
    }

    fn cycles(&mut self, read: &[Read<'t>], edges: &Edges) {
        let name = |task: TaskIx| read[task.index()].name.map_or("", |(name, _)| name);
        for cycle in edges.cycles(MOST_CYCLES) {
            let (first, second) = (cycle[0], cycle.get(1).copied().unwrap_or(cycle[0]));
            let names: Vec<String> =
                cycle.iter().map(|task| shown::safe(&shown::cut(name(*task))).into_owned()).collect();
            let text = cycle_text(names.iter().map(String::as_str));
            let edge = read[first.index()].depends.iter().copied();
            let edge =
                edge.into_iter().find(|node| self.tree.as_scalar(*node).is_some_and(|dep| dep.text == name(second)));
            let Some(edge) = edge else { continue };
            let others = cycle.iter().skip(1).take(8).filter_map(|task| read[task.index()].name);
            let related = others.map(|(name, place)| (place, format!("{} is in it", shown::quoted(name)))).collect();
            self.report.task = Some(shown::cut(name(first)));
            let wrong = Wrong::new(format!("tasks wait for each other: {text}"))
                .help("each depends on the next: remove one of these dependencies");
            self.report.error_beside(self.tree.place(edge), wrong, related);
        }
        self.report.task = None;
    }
}

/// Pairs of positions of names that are one name in Unicode's composed form, but not byte for byte.
pub(crate) fn unicode_twins<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Vec<(usize, usize)> {
    let mut twins = Vec::new();
    // ASCII is its own composed form: without other names there is nothing to look for.
    let mut forms: HashMap<String, (usize, &str)> = HashMap::new();
    for (at, name) in names.clone().enumerate().filter(|(_, name)| !name.is_ascii()) {
        let first = *forms.entry(name.nfc().collect()).or_insert((at, name));
        if first.1 != name {
            twins.push((first.0, at));
        }
    }
    if !forms.is_empty() {
        for (at, name) in names.enumerate().filter(|(_, name)| name.is_ascii()) {
            twins.extend(forms.get(name).map(|(other, _)| (*other.min(&at), *other.max(&at))));
        }
    }
    twins
}
