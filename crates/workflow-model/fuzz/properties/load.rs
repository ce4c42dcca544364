//! No bytes make loading or showing panic, and what is accepted survives the way to the queue and back.
//!
//! Called by the fuzz target of this name, and by `tests/replay.rs` with every input that is kept.

use workflow_model::{Definition, LoadOptions, Workflow, WorkflowSource, load, load_workflow};

/// Panics where it does not hold.
pub(crate) fn holds(bytes: &[u8]) {
    let options = LoadOptions::new("fuzz.yaml");
    match load(bytes, &options) {
        Err(problems) => {
            assert!(problems.has_errors());
            let shown = format!("{}{problems}", problems.render(false));
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            assert!(load_workflow(bytes, &options).is_err());
        }
        Ok(loaded) => {
            assert!(!loaded.warnings.has_errors());
            let workflow = match loaded.value {
                Definition::Workflow(workflow) => workflow,
                Definition::Job(job) => match job.workflow {
                    WorkflowSource::Inline(workflow) => workflow,
                    WorkflowSource::File(_) => return,
                },
            };
            let canonical = workflow.to_canonical_json();
            let again = Workflow::from_canonical_json(&canonical).expect("the canonical form is valid");
            assert_eq!(again, workflow);
            assert_eq!(again.hash(), workflow.hash());
            assert_eq!(load_workflow(canonical.as_bytes(), &options).expect("so it is for load").value, workflow);
        }
    }
}
