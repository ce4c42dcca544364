//! The JSON Schema of the two kinds of file, generated from the types that decode them, for editors.

use schemars::{JsonSchema, Schema, generate::SchemaSettings};

use crate::wire::{RawJob, RawTask};

/// The JSON Schema (draft 2020-12) of a workflow file: a list of task definitions.
#[must_use]
pub fn workflow_schema() -> String {
    text::<Vec<RawTask<'_>>>("Workflow", "A workflow of qmanager: a list of task definitions, as YAML or JSON.")
}

/// The JSON Schema (draft 2020-12) of a job definition: a mapping with a workflow in it, or the path of one.
#[must_use]
pub fn job_schema() -> String {
    text::<RawJob<'_>>(
        "Job definition",
        "A job of qmanager: a workflow with what one run of it needs, as YAML or JSON.",
    )
}

fn text<T: JsonSchema>(title: &str, description: &str) -> String {
    let mut schema: Schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".into(), title.into());
    schema.insert("description".into(), description.into());
    let mut text = serde_json::to_string_pretty(&schema).expect("BUG: a schema is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::read::{JOB_KEYS, PARAMS_KEYS, RESOURCES_KEYS, RETRY_KEYS, TASK_KEYS};

    /// `docs/schema/*.json` are what the types say. `UPDATE_SCHEMA=1 cargo test -p workflow-model` writes them anew.
    #[test]
    fn the_published_schemas_are_those_of_the_types() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema");
        for (file, schema) in [("workflow.json", workflow_schema()), ("job.json", job_schema())] {
            let path = folder.join(file);
            if std::env::var_os("UPDATE_SCHEMA").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &schema).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), schema, "{file} is stale: run with UPDATE_SCHEMA=1");
        }
    }

    /// Both ways of reading know the same keys.
    #[test]
    fn the_keys_of_the_slow_way_are_those_of_the_schema() {
        let schema: Value = serde_json::from_str(&job_schema()).unwrap();
        let keys = |pointer: &str| {
            let mut keys: Vec<String> =
                schema.pointer(pointer).unwrap()["properties"].as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        for (pointer, known) in [
            ("", JOB_KEYS),
            ("/$defs/Task", TASK_KEYS),
            ("/$defs/Params", PARAMS_KEYS),
            ("/$defs/Resources", RESOURCES_KEYS),
            ("/$defs/RetryPolicy", RETRY_KEYS),
        ] {
            let mut known = known.to_vec();
            known.sort_unstable();
            assert_eq!(keys(pointer), known, "{pointer}");
        }
    }
}
