//! From the bytes of a file to a workflow or a job definition, or to all that is wrong with it.

use crate::{JobDefinition, Place, Problem, Problems, Severity, Workflow, fast};

/// How much is accepted. The defaults are roomy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks of a workflow.
    pub tasks: usize,
    /// Bytes of text.
    pub text: usize,
    /// Levels of nesting; at most 128.
    pub levels: usize,
    /// Bytes (values and 32 for each) that aliases and `<<` may add by repetition.
    pub repeated: usize,
    /// Problems that are kept; the rest is counted.
    pub problems: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tasks: 1_000_000, text: 256 << 20, levels: 128, repeated: 8 << 20, problems: 1_000 }
    }
}

/// How to load a file.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The file's name, for messages.
    pub file: String,
    /// How much is accepted.
    pub limits: Limits,
}

impl LoadOptions {
    /// The default limits, for a file of this name.
    #[must_use]
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), limits: Limits::default() }
    }
}

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub enum Definition {
    /// A top-level list: always a workflow.
    Workflow(Workflow),
    /// A top-level mapping: always a job definition.
    Job(Box<JobDefinition>),
}

/// What was loaded, and what is worth knowing about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded<T = Definition> {
    /// The definition.
    pub value: T,
    /// Warnings; may be empty.
    pub warnings: Problems,
}

/// Loads a workflow (a list) or a job definition (a mapping), YAML or JSON.
///
/// # Errors
/// All that is wrong with it, at least one of them an error.
pub fn load(text: &[u8], options: &LoadOptions) -> Result<Loaded, Problems> {
    let loaded = load_workflow(text, options)?;
    Ok(Loaded { value: Definition::Workflow(loaded.value), warnings: loaded.warnings })
}

/// Loads a workflow: a list, YAML or JSON. For a job definition's [`WorkflowSource::File`](crate::WorkflowSource::File) too.
///
/// # Errors
/// All that is wrong with it, at least one of them an error; a job definition is one of them.
pub fn load_workflow(text: &[u8], options: &LoadOptions) -> Result<Loaded<Workflow>, Problems> {
    let wrong = |message: String| Problems {
        file: options.file.clone(),
        list: vec![Problem {
            severity: Severity::Error,
            place: Place { line: 1, column: 1, width: 1 },
            task: None,
            message,
            help: None,
            related: Vec::new(),
        }],
        ..Problems::default()
    };
    let text = std::str::from_utf8(text).map_err(|error| wrong(error.to_string()))?;
    let json = match fast::workflow(text, options.limits.tasks) {
        Ok(value) => return Ok(Loaded { value, warnings: Problems::default() }),
        Err(_) => serde_yaml::from_str::<serde_json::Value>(text).map_err(|error| wrong(error.to_string()))?,
    };
    let value = fast::workflow(&json.to_string(), options.limits.tasks).map_err(|error| wrong(error.to_string()))?;
    Ok(Loaded { value, warnings: Problems::default() })
}
