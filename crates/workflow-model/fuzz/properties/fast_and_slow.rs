//! JSON read the fast way, the slow way and as YAML is one workflow.
//!
//! Called by the fuzz target of this name, and by `tests/replay.rs` with every input that is kept.

use serde_json::Value;
use workflow_model::{LoadOptions, Workflow, load_workflow};

/// Panics where it does not hold.
pub(crate) fn holds(text: &str) {
    let options = LoadOptions::new("fuzz.json");
    let read = |text: &str| load_workflow(text.as_bytes(), &options).map(|loaded| loaded.value);
    let fast = Workflow::from_canonical_json(text);
    let loaded = read(text);
    if let Ok(fast) = &fast {
        assert_eq!(loaded.as_ref().expect("what the fast way accepts is accepted"), fast);
    }
    let (Ok(loaded), Ok(Value::Array(mut tasks))) = (loaded, serde_json::from_str(text)) else { return };
    // An annotation is not part of the model, but of no interest to the fast way. (Writing the value anew may change how
    // numbers are written, so only what has none is compared.)
    if text.contains(|c: char| c.is_ascii_digit()) {
        return;
    }
    if let Some(Value::Object(task)) = tasks.first_mut() {
        task.insert("x-note".into(), Value::Null);
    }
    assert_eq!(read(&Value::Array(tasks).to_string()).expect("the slow way accepts it"), loaded);
    // A comment makes it YAML, which allows less in its texts.
    if let Ok(yaml) = load_workflow(format!("#\n{text}").as_bytes(), &LoadOptions::new("fuzz.yaml")) {
        assert_eq!(yaml.value, loaded);
    }
}
