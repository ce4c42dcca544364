//! Definitions and hashes are kept for years: in queues, in idempotency keys (`submit --key`), in `retry --with`. What
//! version 1 made of a workflow stays as it is (tests/fixtures/README.md).
#![expect(clippy::unwrap_used, reason = "a test's setup may fail the test")]

use std::{fmt::Write as _, fs, path::PathBuf};

use workflow_model::{LoadOptions, Workflow, load_workflow};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/v1/workflow")
}

fn hashes(workflow: &Workflow) -> String {
    let mut text = format!("{}\n", workflow.hash());
    for (task, _) in workflow.iter() {
        writeln!(text, "{} {}", task.index(), workflow.task_hash(task)).unwrap();
    }
    text
}

/// A file, its canonical form, the hashes of it and of its tasks.
#[test]
fn workflows_of_version_1_have_the_canonical_form_and_the_hashes_of_version_1() {
    let mut seen = 0;
    for name in ["all-keys", "names", "fan-out"] {
        let path = |ending: &str| folder().join(format!("{name}.{ending}"));
        let text = fs::read(path("yaml")).unwrap();
        let workflow = load_workflow(&text, &LoadOptions::new(name)).unwrap_or_else(|e| panic!("{}", e.render(false)));
        let workflow = workflow.value;
        let canonical = workflow.to_canonical_json();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(path("json"), &canonical).unwrap();
            fs::write(path("hash"), hashes(&workflow)).unwrap();
        }
        assert_eq!(canonical, fs::read_to_string(path("json")).unwrap(), "{name}");
        assert_eq!(hashes(&workflow), fs::read_to_string(path("hash")).unwrap(), "{name}");
        seen += workflow.len();
    }
    assert!(seen > 10, "only {seen} tasks");
}

/// What a queue of version 1 holds.
#[test]
fn canonical_forms_of_version_1_are_read_and_hash_the_same() {
    for name in ["all-keys", "names", "fan-out"] {
        let text = |ending: &str| fs::read_to_string(folder().join(format!("{name}.{ending}"))).unwrap();
        let workflow = Workflow::from_canonical_json(&text("json")).unwrap();
        assert_eq!(hashes(&workflow), text("hash"), "{name}");
    }
}
