//! Definitions that came by SQL: the text of a workflow file, checked by whoever reads it first.

use workflow_model::{Definition, LoadOptions, Problems, Severity, Workflow, WorkflowSource, load};

use crate::settings::JobSettings;

/// A job's message is kept under 1 kB.
const MESSAGE: usize = 1000;

/// Reads the text: a workflow, or a job definition with its workflow in it.
///
/// # Errors
/// All that is wrong with it, in words, under 1 kB.
pub(crate) fn read(text: &str) -> Result<(Workflow, JobSettings), String> {
    let loaded = load(text.as_bytes(), &LoadOptions::new("definition")).map_err(|problems| told(&problems))?;
    match loaded.value {
        Definition::Workflow(workflow) => Ok((workflow, JobSettings::default())),
        Definition::Job(job) => {
            let has_more = job.name.is_some()
                || job.key.is_some()
                || job.run_at.is_some()
                || job.priority != 0
                || job.limit_key.is_some()
                || !job.labels.is_empty();
            if has_more {
                return Err(
                    "name, labels, priority, run_at, key and limit_key are arguments of qmanager.submit, not part of the text"
                        .into(),
                );
            }
            if !job.files.is_empty() {
                return Err(
                    "files cannot come by SQL: use `qmanager submit --file`, or a task that fetches them".into()
                );
            }
            let WorkflowSource::Inline(workflow) = job.workflow else {
                return Err("the workflow must be in the text, not in a file that it names".into());
            };
            Ok((workflow, JobSettings { env: job.env, timeout: job.timeout, ..JobSettings::default() }))
        }
    }
}

fn told(problems: &Problems) -> String {
    let mut text = String::from("the definition is wrong");
    let errors = problems.list().iter().filter(|problem| problem.severity == Severity::Error);
    for problem in errors {
        let help = problem.help.as_deref().map_or_else(String::new, |help| format!(" ({help})"));
        let line = format!("; line {}, column {}: {}{help}", problem.place.line, problem.place.column, problem.message);
        if text.len() + line.len() > MESSAGE {
            text.push_str("; and more");
            break;
        }
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_or_a_job_with_its_workflow_in_it() {
        let (workflow, _) = read("- name: a\n  params: {command: 'true'}\n").unwrap();
        assert_eq!(workflow.len(), 1);
        let (workflow, settings) = read("{workflow: [{name: a}, {name: b}], env: {X: 1}, timeout: 5m}").unwrap();
        assert_eq!((workflow.len(), settings.env.len(), settings.timeout.unwrap().as_secs()), (2, 1, 300));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_in_bounds() {
        let wrong = |text: &str| read(text).unwrap_err();
        let text = wrong("- name: a\n  depends: [b]\n- name: a\n");
        assert!(text.contains("line 2") && text.contains("line 3") && text.contains('b'), "{text}");
        assert!(wrong("{workflow: other.yaml}").contains("must be in the text"));
        assert!(wrong("{workflow: [{name: a}], priority: 3}").contains("arguments of qmanager.submit"));
        assert!(wrong("{workflow: [{name: a}], files: [data.csv]}").contains("files cannot come by SQL"));
        let many: String = (0..500).map(|n| format!("- name: t{n}\n  depends: [nothing]\n")).collect();
        let text = wrong(&many);
        assert!(text.len() < 1024 && text.ends_with("and more"), "{text}");
    }
}
