//! The keys of mappings: known ones are handed on, unknown ones reported with a suggestion, `<<` merged.

use std::collections::HashSet;

use crate::{
    check::Wrong,
    read::Reader,
    shown, suggest,
    tree::{Kind, NodeId},
};

/// The keys of a task definition.
pub(crate) const TASK_KEYS: &[&str] =
    &["name", "depends", "when", "retry", "timeout", "allow_failure", "group", "description", "params"];
/// The keys of `params`.
pub(crate) const PARAMS_KEYS: &[&str] = &[
    "command",
    "shell",
    "image",
    "env",
    "stdin",
    "stdout",
    "volumes",
    "workdir",
    "resources",
    "endpoint",
    "method",
    "headers",
    "body",
];
/// The keys of a job definition.
pub(crate) const JOB_KEYS: &[&str] =
    &["name", "workflow", "env", "files", "labels", "priority", "run_at", "key", "limit_key", "timeout"];
/// The keys of `retry`.
pub(crate) const RETRY_KEYS: &[&str] = &["max", "backoff"];
/// The keys of `resources`.
pub(crate) const RESOURCES_KEYS: &[&str] = &["cpus", "memory"];

/// A mapping's known keys.
#[derive(Debug, Default)]
pub(super) struct Fields {
    known: Vec<(&'static str, NodeId)>,
}

impl Fields {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<NodeId> {
        self.known.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }
}

impl<'t> Reader<'t, '_> {
    /// A mapping with these keys and no others; `what` names it ("`retry`"). Annotations (`x-*`) where they are allowed.
    pub(super) fn fields(&mut self, node: NodeId, what: &str, keys: &'static [&'static str]) -> Option<Fields> {
        if !matches!(self.tree.kind(node), Kind::Map(_)) {
            return self.bad_type(node, what, "a mapping");
        }
        let annotations = keys == TASK_KEYS || keys == JOB_KEYS;
        let mut fields = Fields::default();
        for (key, value) in self.entries(node) {
            let Some(scalar) = self.tree.as_scalar(key) else { continue };
            match keys.iter().find(|known| **known == scalar.text) {
                Some(known) if fields.get(known).is_none() => fields.known.push((known, value)),
                // Standing twice is reported already.
                Some(_) => {}
                None if annotations && scalar.text.starts_with("x-") => {}
                None => self.unknown_key(key, &scalar.text, what, keys),
            }
        }
        Some(fields)
    }

    /// The value of a key that is written in a mapping itself, not merged into it.
    pub(super) fn own(&self, map: NodeId, name: &str) -> Option<NodeId> {
        let Kind::Map(list) = self.tree.kind(map) else { return None };
        list.iter()
            .find(|(key, _)| self.tree.as_scalar(*key).is_some_and(|key| key.text == name))
            .map(|(_, value)| *value)
    }

    /// Keys and values of a mapping, those of `<<` at the end unless they are there already.
    pub(super) fn entries(&mut self, map: NodeId) -> Vec<(NodeId, NodeId)> {
        let tree = self.tree;
        let Kind::Map(list) = tree.kind(map) else { return Vec::new() };
        let is_merge = |key: NodeId| tree.as_scalar(key).is_some_and(|key| key.plain && key.text == "<<");
        let Some((_, merged)) = list.iter().find(|(key, _)| is_merge(*key)) else { return list.clone() };
        let mut entries: Vec<(NodeId, NodeId)> = list.iter().copied().filter(|(key, _)| !is_merge(*key)).collect();
        let text = |key: NodeId| tree.as_scalar(key).map(|key| &*key.text);
        let mut seen: HashSet<&str> = entries.iter().filter_map(|(key, _)| text(*key)).collect();
        let sources = match tree.kind(*merged) {
            Kind::List(sources) => sources.as_slice(),
            _ => std::slice::from_ref(merged),
        };
        for source in sources {
            if !matches!(tree.kind(*source), Kind::Map(_)) {
                let wrong = Wrong::new("must be a mapping or a list of mappings").help("like `<<: *defaults`");
                self.wrong(*source, "`<<`", None, wrong);
            }
            let new = self.entries(*source);
            entries.extend(new.into_iter().filter(|(key, _)| text(*key).is_none_or(|key| seen.insert(key))));
        }
        entries
    }

    /// Whether the file is one task where a list of tasks is needed; reports it.
    pub(super) fn is_lone_task(&mut self, map: NodeId) -> bool {
        let has = |name: &str| self.own(map, name).is_some();
        let lone = !has("workflow") && ["params", "depends", "command"].into_iter().any(has);
        if lone {
            let wrong = Wrong::new("a single task where a list of tasks is needed")
                .help("begin each task with `- `: `- name: …`");
            self.report.error(self.tree.place(map), wrong);
        }
        lone
    }

    fn unknown_key(&mut self, node: NodeId, key: &str, what: &str, keys: &'static [&'static str]) {
        if self.report.is_full() {
            self.report.count(1);
            return;
        }
        let mut wrong = Wrong::new(format!("unknown key {} in {what}", shown::key(key)));
        let nearest = self.report.budget.nearest(key, keys.iter().copied());
        let synonym = suggest::synonym(key, &mut self.report.budget);
        // A slip in a key that is a level too high.
        let below = match (nearest, keys == TASK_KEYS) {
            (None, true) => self.report.budget.nearest(key, PARAMS_KEYS.iter().copied()),
            _ => None,
        };
        wrong = match (nearest, synonym) {
            _ if (keys == TASK_KEYS || keys == PARAMS_KEYS)
                && let Some(right) = suggest::right(key) =>
            {
                wrong.help(right)
            }
            _ if keys == TASK_KEYS && PARAMS_KEYS.contains(&key) => {
                wrong.help(format!("`{key}` belongs under `params`"))
            }
            _ if keys == PARAMS_KEYS && TASK_KEYS.contains(&key) => {
                wrong.help(format!("`{key}` belongs to the task, beside `params`"))
            }
            _ if keys == RESOURCES_KEYS && (key == "gpus" || key.contains('/')) => {
                wrong.help("reserved: only `cpus` and `memory` are known yet")
            }
            (_, Some(known)) if keys.contains(&known) => wrong.help(format!("did you mean `{known}`?")),
            (Some(near), _) => wrong.help(format!("did you mean `{near}`?")),
            (_, Some(known)) if keys == TASK_KEYS && PARAMS_KEYS.contains(&known) => {
                wrong.help(format!("did you mean `{known}` under `params`?"))
            }
            _ if let Some(below) = below => wrong.help(format!("did you mean `{below}` under `params`?")),
            _ => {
                let also = if keys == TASK_KEYS { "; annotations begin with `x-`" } else { "" };
                wrong.help(format!("known keys: {}{also}", keys.join(", ")))
            }
        };
        self.report.error(self.tree.place(node), wrong);
    }
}
