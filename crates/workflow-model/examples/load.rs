//! Loads workflow files and says what is in them, or all that is wrong with them: `cargo run --example load -- FILE…`

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example for the terminal")]

use std::{env, fs, process::ExitCode};

use workflow_model::{Definition, LoadOptions, WorkflowSource, load};

fn main() -> ExitCode {
    let mut worst = ExitCode::SUCCESS;
    for file in env::args().skip(1) {
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{file}: {error}");
                return ExitCode::from(2);
            }
        };
        match load(&text, &LoadOptions::new(file.as_str())) {
            Ok(loaded) => {
                eprint!("{}", loaded.warnings.render(false));
                match loaded.value {
                    Definition::Workflow(workflow) => {
                        println!("{file}: {} tasks, {} dependencies", workflow.len(), workflow.edge_count());
                    }
                    Definition::Job(job) => match job.workflow {
                        WorkflowSource::Inline(workflow) => println!("{file}: a job of {} tasks", workflow.len()),
                        WorkflowSource::File(path) => println!("{file}: a job of the workflow in {path}"),
                    },
                }
            }
            Err(problems) => {
                eprint!("{}", problems.render(false));
                worst = ExitCode::from(3);
            }
        }
    }
    worst
}
