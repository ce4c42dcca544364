//! Which crate may use which. A new edge is a decision, made here and in ARCHITECTURE.md, not an accident.

use anyhow::Result;

use crate::workspace::{Package, Workspace};

/// A crate and what it may use of the workspace.
struct Layer {
    name: &'static str,
    /// Normal and build dependencies.
    uses: &'static [&'static str],
    /// What its tests may use besides.
    tests: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer { name: "workflow-model", uses: &[], tests: &[] },
    Layer { name: "dag-scheduler", uses: &["workflow-model"], tests: &[] },
    Layer { name: "failpoint", uses: &[], tests: &[] },
    Layer { name: "executor", uses: &["workflow-model"], tests: &[] },
    Layer { name: "executor-shell", uses: &["executor", "failpoint", "workflow-model"], tests: &[] },
    Layer { name: "executor-docker", uses: &["executor", "workflow-model"], tests: &[] },
    Layer { name: "jobfiles", uses: &["workflow-model"], tests: &[] },
    Layer { name: "job-queue", uses: &["failpoint", "workflow-model"], tests: &[] },
    Layer {
        name: "task-process",
        uses: &["executor", "failpoint", "jobfiles", "workflow-model"],
        tests: &["executor-shell"],
    },
    Layer {
        name: "qmanager",
        uses: &["dag-scheduler", "executor", "failpoint", "job-queue", "jobfiles", "task-process", "workflow-model"],
        tests: &["executor-shell"],
    },
    Layer {
        name: "bins",
        uses: &[
            "executor",
            "executor-docker",
            "executor-shell",
            "jobfiles",
            "qmanager",
            "task-process",
            "workflow-model",
        ],
        tests: &["dag-scheduler", "job-queue"],
    },
    Layer { name: "proof", uses: &[], tests: &[] },
    Layer { name: "xtask", uses: &[], tests: &[] },
];

/// Foreign crates that only some of ours may use directly (cargo-deny checks the same for whole graphs).
const FOREIGN: &[(&str, &[&str])] = &[
    ("anyhow", &["bins", "proof", "xtask"]),
    ("bollard", &["executor-docker"]),
    ("clap", &["qmanager"]),
    ("daggy", &["dag-scheduler"]),
    ("fork", &["task-process"]),
    ("rusqlite", &["job-queue", "proof"]),
    ("tokio-postgres", &["job-queue"]),
    ("tokio", &["executor-docker", "job-queue", "task-process", "qmanager"]),
    ("tracing-subscriber", &["qmanager"]),
    ("zmq", &["task-process"]),
];

/// The scheduler knows no runtime, no clock, no format: its whole list of normal dependencies.
const SCHEDULER: &[&str] = &["daggy", "workflow-model"];

/// Compares the manifests with the allowed edges; one sentence a problem.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    Ok(problems(&workspace.packages()?))
}

fn problems(packages: &[Package]) -> Vec<String> {
    let mut problems = Vec::new();
    for package in packages {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == package.name) else {
            problems.push(format!("{}: a crate that xtask/src/layers.rs does not know", package.name));
            continue;
        };
        package.dependencies.iter().filter_map(|dependency| judge(layer, dependency)).for_each(|p| problems.push(p));
    }
    for layer in LAYERS {
        if !packages.iter().any(|package| package.name == layer.name) {
            problems.push(format!("{}: xtask/src/layers.rs names it, the workspace has it not", layer.name));
        }
    }
    problems
}

fn judge(layer: &Layer, dependency: &crate::workspace::Dependency) -> Option<String> {
    let (from, to) = (layer.name, dependency.name.as_str());
    let dev = dependency.kind.as_deref() == Some("dev");
    if dependency.path.is_some() {
        let allowed = layer.uses.contains(&to) || dev && (layer.tests.contains(&to) || from == to);
        let hint = "a new edge is a decision: ARCHITECTURE.md and xtask/src/layers.rs";
        return (!allowed).then(|| format!("{from} may not use {to} ({hint})"));
    }
    if dev {
        return None;
    }
    if from == "dag-scheduler" && !SCHEDULER.contains(&to) {
        return Some(format!("dag-scheduler may not use {to}: it is a pure state machine"));
    }
    let (_, users) = FOREIGN.iter().find(|(name, _)| *name == to)?;
    (!users.contains(&from)).then(|| format!("{from} may not use {to}: only {} may", users.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, Option<&str>, bool)]) -> Package {
        let dependency = |(name, kind, ours): &(&str, Option<&str>, bool)| Dependency {
            name: (*name).into(),
            kind: kind.map(str::to_owned),
            path: ours.then(|| PathBuf::from("/x")),
        };
        Package {
            name: name.into(),
            manifest_path: PathBuf::new(),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn edges(package: Package) -> Vec<String> {
        problems(&[package]).into_iter().filter(|problem| problem.contains("may not use")).collect()
    }

    #[test]
    fn an_edge_outside_the_list_is_named() {
        let found = edges(package("dag-scheduler", &[("job-queue", None, true), ("workflow-model", None, true)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("dag-scheduler may not use job-queue"), "{found:?}");
    }

    #[test]
    fn tests_may_use_more_than_the_crate_itself() {
        assert!(edges(package("bins", &[("job-queue", Some("dev"), true)])).is_empty());
        assert_eq!(edges(package("bins", &[("job-queue", None, true)])).len(), 1);
    }

    #[test]
    fn a_foreign_world_belongs_to_one_crate() {
        assert!(edges(package("task-process", &[("zmq", None, false)])).is_empty());
        assert_eq!(edges(package("qmanager", &[("zmq", None, false)])).len(), 1);
        assert_eq!(edges(package("executor", &[("tokio", None, false)])).len(), 1);
        assert_eq!(edges(package("dag-scheduler", &[("serde", None, false)])).len(), 1);
    }

    #[test]
    fn a_crate_that_nobody_decided_on_is_a_problem() {
        assert!(problems(&[package("helpers", &[])]).iter().any(|problem| problem.starts_with("helpers: a crate")));
    }
}
