//! `tests/workflows/{valid,invalid}/*`: each file with what is expected of it in `<file>.expect`: the problems as they are
//! shown, and for valid files what was read. `UPDATE_EXPECT=1 cargo test -p workflow-model` writes the expectations anew.

#![cfg(test)]

use std::{fmt::Write as _, fs, path::Path};

use workflow_model::{Definition, LoadOptions, Workflow, WorkflowSource, load};

#[test]
fn invalid_files_are_refused_with_all_their_problems() {
    check("invalid", |loaded| match loaded {
        Ok(_) => panic!("accepted"),
        Err(problems) => {
            assert!(problems.has_errors());
            format!("{}\n{problems}", problems.render(false))
        }
    });
}

#[test]
fn valid_files_are_accepted() {
    check("valid", |loaded| {
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        assert!(!loaded.warnings.has_errors());
        let mut text = match &loaded.value {
            Definition::Workflow(workflow) => described(workflow),
            Definition::Job(job) => {
                let mut text = format!("{:?} {:?} {:?} ", job.name, job.labels, job.files);
                writeln!(text, "{} {:?} {:?} {:?}", job.priority, job.run_at, job.key, job.timeout).unwrap();
                if let Some(key) = &job.limit_key {
                    writeln!(text, "limit key {key}").unwrap();
                }
                writeln!(text, "{:?}", job.env).unwrap();
                match &job.workflow {
                    WorkflowSource::Inline(workflow) => text += &described(workflow),
                    WorkflowSource::File(path) => writeln!(text, "in {path}").unwrap(),
                }
                text
            }
        };
        if !loaded.warnings.is_empty() {
            write!(text, "\n{}", loaded.warnings.render(false)).unwrap();
        }
        text
    });
}

fn described(workflow: &Workflow) -> String {
    let again = Workflow::from_canonical_json(&workflow.to_canonical_json()).unwrap();
    assert_eq!(again, *workflow);
    format!(
        "{} tasks, {} dependencies, {}\n{}",
        workflow.len(),
        workflow.edge_count(),
        workflow.hash(),
        workflow.to_canonical_json()
    )
}

fn check(folder: &str, describe: impl Fn(Result<workflow_model::Loaded, workflow_model::Problems>) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/workflows").join(folder);
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let (mut seen, mut differing) = (0, Vec::new());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.ends_with(".expect") {
            continue;
        }
        seen += 1;
        let got = describe(load(&fs::read(&path).unwrap(), &LoadOptions::new(name.as_str())));
        let expect = folder.join(format!("{name}.expect"));
        if update {
            fs::write(expect, got).unwrap();
        } else if fs::read_to_string(&expect).unwrap_or_default() != got {
            differing.push(format!("=== {name}\n{got}"));
        }
    }
    assert!(seen > 5, "no files in {}", folder.display());
    assert!(differing.is_empty(), "not as expected:\n{}", differing.join("\n"));
}
