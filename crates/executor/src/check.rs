//! Whether the tasks of a job can run under an executor, before any of them starts: when the job is claimed, and by
//! `qmanager check --executor`.

use std::collections::BTreeMap;

use workflow_model::{EnvValue, ExecutorKind, Input, Params, TaskName, Workflow};

use crate::SpecBuilder;

/// What was found, over all tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What makes a task impossible here; `None` = not one task's (the job's environment).
    pub errors: Vec<(Option<TaskName>, String)>,
    /// What the executor ignores: one sentence for each kind of thing, whatever the number of tasks.
    pub warnings: Vec<String>,
}

impl SpecBuilder<'_> {
    /// Checks what only a configuration and an executor can tell; reads no secret's value.
    #[must_use]
    pub fn check(&self, workflow: &Workflow, job_env: &[(String, EnvValue)]) -> Findings {
        let mut findings = Findings::default();
        let mut secrets = BTreeMap::new();
        let mut ignored: Ignored<'_> = BTreeMap::new();
        for (_, name) in secrets_of_env(job_env) {
            if let Some(why) = self.secret_problem(name, &mut secrets) {
                findings.errors.push((None, why));
            }
        }
        for task in workflow.tasks() {
            let Some(params) = task.params.as_deref() else { continue };
            let volumes = params.volumes.iter().filter_map(|volume| self.volume(volume).err());
            let needs = self.missing(params).into_iter().chain(self.image_refused(params));
            let mut problems: Vec<String> = needs.chain(volumes).collect();
            for (variable, name) in secrets_of_env(&params.env) {
                let why = self.secret_problem(name, &mut secrets);
                problems.extend(why.map(|why| format!("`env` {variable}: {why}")));
            }
            if let Some(Input::Secret(name)) = &params.stdin {
                problems.extend(self.secret_problem(name, &mut secrets).map(|why| format!("`stdin`: {why}")));
            }
            findings.errors.extend(problems.into_iter().map(|why| (Some(task.name.clone()), why)));
            for what in self.ignored(params) {
                ignored.entry(what).or_insert((&task.name, 0)).1 += 1;
            }
        }
        findings.warnings = ignored.into_iter().map(|(what, (first, count))| sentence(what, first, count)).collect();
        findings
    }

    fn secret_problem<'n>(&self, name: &'n str, known: &mut BTreeMap<&'n str, Option<String>>) -> Option<String> {
        known.entry(name).or_insert_with(|| self.secrets.check(name).err()).clone()
    }

    fn ignored(&self, params: &Params) -> Vec<&'static str> {
        let mut ignored = Vec::new();
        let mut note = |it_is: bool, what| {
            if it_is {
                ignored.push(what);
            }
        };
        match self.kind {
            ExecutorKind::Shell => {
                note(params.image.is_some(), "`image` is ignored by the shell executor");
                note(
                    params.request.is_some(),
                    "`endpoint`, `method`, `headers` and `body` are ignored by the shell executor",
                );
                note(
                    params.volumes.iter().any(|volume| volume.read_only),
                    "`:ro` is not enforced by the shell executor",
                );
                note(
                    params.resources.memory.is_some(),
                    "`resources.memory` is enforced by the shell executor only in a memory cgroup (v2) that it may use",
                );
            }
            ExecutorKind::Docker | ExecutorKind::Kube => {
                note(
                    params.request.is_some(),
                    "`endpoint`, `method`, `headers` and `body` are for the api executor only",
                );
            }
            ExecutorKind::Api => {
                note(params.command.is_some(), "`command` is ignored by the api executor");
                note(params.image.is_some(), "`image` is ignored by the api executor");
            }
        }
        ignored
    }
}

/// Per sentence: the first task that it is about, and how many there are.
type Ignored<'a> = BTreeMap<&'static str, (&'a TaskName, usize)>;

fn sentence(what: &str, first: &TaskName, count: usize) -> String {
    match count {
        1 => format!("{what} (task {:?})", first.as_str()),
        _ => format!("{what} ({count} tasks, the first is {:?})", first.as_str()),
    }
}

/// The variables that take a secret, with its name.
fn secrets_of_env(env: &[(String, EnvValue)]) -> impl Iterator<Item = (&str, &str)> {
    env.iter().filter_map(|(variable, value)| match value {
        EnvValue::Secret(name) => Some((variable.as_str(), name.as_str())),
        EnvValue::Text(_) => None,
    })
}
