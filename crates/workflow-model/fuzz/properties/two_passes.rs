//! What the pass with places made of a YAML file is what serde_yaml alone sees in it.
//!
//! Called by the fuzz target of this name, and by `tests/replay.rs` with every input that is kept.

use serde_yaml::{Mapping, Value};
use workflow_model::{Command, EnvValue, LoadOptions, TaskIx, load_workflow};

/// Panics where it does not hold.
pub(crate) fn holds(text: &str) {
    let Ok(loaded) = load_workflow(text.as_bytes(), &LoadOptions::new("fuzz.yaml")) else { return };
    let workflow = loaded.value;
    let mut seen: Value = match serde_yaml::from_str(text) {
        Ok(seen) => seen,
        // Numbers that `Value` cannot hold, and JSON's pairs of surrogates, which YAML does not know.
        Err(error) if error.to_string().contains("128") || text.contains("\\u") => return,
        Err(error) => panic!("what is accepted is YAML: {error}"),
    };
    seen.apply_merge().expect("what is accepted merges");
    let tasks = seen.as_sequence().expect("a workflow is a list");
    assert_eq!(tasks.len(), workflow.len());
    for (ix, seen) in tasks.iter().enumerate() {
        let task = workflow.task(TaskIx(ix as u32));
        let seen = seen.as_mapping().expect("a task is a mapping");
        same(seen.get("name").expect("a task has a name"), task.name.as_str());
        if let Some(depends) = seen.get("depends") {
            for dep in depends.as_sequence().expect("a list") {
                let found = workflow.deps(TaskIx(ix as u32)).iter().any(|of| is(dep, workflow.task(*of).name.as_str()));
                assert!(found, "{dep:?}");
            }
        }
        assert_eq!(seen.get("allow_failure").and_then(Value::as_bool).unwrap_or_default(), task.allow_failure);
        let params = seen.get("params").map(|params| params.as_mapping().expect("a mapping"));
        assert_eq!(params.is_some(), task.params.is_some());
        let (Some(seen), Some(params)) = (params, &task.params) else { continue };
        match (seen.get("command"), &params.command) {
            (None, None) => {}
            (Some(Value::Sequence(seen)), Some(Command::Argv(argv))) => {
                assert_eq!(seen.len(), argv.len());
                seen.iter().zip(argv).for_each(|(seen, text)| same(seen, text));
            }
            (Some(seen), Some(Command::Line(line))) => same(seen, line),
            other => panic!("{other:?}"),
        }
        let none = Mapping::new();
        let env = seen.get("env").map_or(&none, |env| env.as_mapping().expect("a mapping"));
        // Keys that serde_yaml takes for one number or boolean may be several texts.
        if env.keys().all(Value::is_string) {
            assert_eq!(env.len(), params.env.len());
            for (name, value) in &params.env {
                match value {
                    EnvValue::Text(text) => same(&env[name.as_str()], text),
                    EnvValue::Secret(text) => same(&env[name.as_str()]["secret"], text),
                }
            }
        }
    }
}

fn same(seen: &Value, text: &str) {
    assert!(is(seen, text), "{seen:?} is not {text:?}");
}

/// Whether a decoded value is this text, or what this text decodes to.
fn is(seen: &Value, text: &str) -> bool {
    match seen {
        Value::String(seen) => seen == text,
        Value::Null => false,
        other => serde_yaml::from_str::<Value>(text).is_ok_and(|value| value == *other),
    }
}
