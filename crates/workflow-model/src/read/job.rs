//! A job definition: a mapping with a workflow in it, or the path of one.

use std::collections::BTreeMap;

use crate::{
    JobDefinition, LimitKey, WorkflowSource, check,
    check::Wrong,
    read::{JOB_KEYS, Reader},
    shown,
    tree::{Kind, NodeId},
};

impl Reader<'_, '_> {
    /// A job definition; `None` if anything at all was wrong with the file.
    pub(super) fn job(&mut self, root: NodeId) -> Option<JobDefinition> {
        let fields = self.fields(root, "the job definition", JOB_KEYS)?;
        let env = fields.get("env").map(|node| self.env(node)).unwrap_or_default();
        let name = fields.get("name").and_then(|node| self.checked_text(node, "`name`", check::words));
        let files = fields.get("files").and_then(|node| self.list(node, "`files`")).unwrap_or_default();
        let files = files.iter().filter_map(|item| self.checked(*item, "the file", check::file_copy)).collect();
        let labels = fields.get("labels").map(|node| self.labels(node)).unwrap_or_default();
        let priority = fields.get("priority").and_then(|node| self.integer(node, "`priority`"));
        let run_at = fields.get("run_at").and_then(|node| self.checked(node, "`run_at`", check::moment));
        let key = fields.get("key").and_then(|node| self.checked_text(node, "`key`", check::words));
        let limit_key = fields.get("limit_key").and_then(|node| self.checked_text(node, "`limit_key`", check::words));
        let timeout = fields.get("timeout").and_then(|node| self.checked(node, "`timeout`", check::timeout));
        let workflow = match fields.get("workflow") {
            None => {
                let wrong = Wrong::new("has no `workflow`")
                    .help("write `workflow:` with a list of tasks, or the path of a file");
                self.wrong(root, "the job definition", None, wrong);
                None
            }
            Some(node) => match self.tree.kind(node) {
                Kind::List(_) => self.workflow(node).map(WorkflowSource::Inline),
                Kind::Map(_) => self.bad_type(node, "`workflow`", "a list of tasks or the path of a file"),
                _ => self.checked_text(node, "`workflow`", check::local_path).map(WorkflowSource::File),
            },
        };
        if self.report.errors() > 0 {
            return None;
        }
        let workflow = workflow?;
        Some(JobDefinition {
            name,
            workflow,
            env,
            files,
            labels,
            priority: priority.unwrap_or_default(),
            run_at,
            key,
            limit_key: limit_key.and_then(|text| LimitKey::new(&text).ok()),
            timeout,
        })
    }

    fn labels(&mut self, node: NodeId) -> BTreeMap<String, String> {
        if !matches!(self.tree.kind(node), Kind::Map(_)) {
            self.bad_type::<()>(node, "`labels`", "a mapping of names to texts");
            return BTreeMap::new();
        }
        let mut labels = BTreeMap::new();
        for (key, value) in self.entries(node) {
            let Some(name) = self.tree.as_scalar(key) else { continue };
            if let Err(wrong) = check::label_name(&name.text) {
                self.wrong(key, &format!("the label {}", shown::key(&name.text)), None, wrong);
            }
            let what = format!("the label {}", shown::key(&name.text));
            let value = self.checked_text(value, &what, check::label_value);
            labels.extend(value.map(|value| (name.text.clone().into_owned(), value)));
        }
        labels
    }
}
