//! From FILE or standard input to a workflow and what its job definition says, or to all that is wrong with it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use workflow_model::{
    Definition, FileCopy, JobDefinition, LoadOptions, Problems, Workflow, WorkflowSource, load, load_workflow,
};

use super::context::Context;
use crate::{
    exit::{Error, Exit},
    text::safe,
};

/// What a file says.
#[derive(Debug)]
pub(super) struct Source {
    /// What is to run.
    pub(super) workflow: Workflow,
    /// The job definition, its workflow taken out; `None` for a workflow alone.
    pub(super) job: Option<Box<JobDefinition>>,
    /// The file's name as given, for messages; `None` = standard input.
    pub(super) file: Option<PathBuf>,
    /// Where relative paths of the file are meant from.
    pub(super) folder: PathBuf,
    /// Warnings, of all files that were read.
    pub(super) warnings: Vec<Problems>,
}

impl Source {
    /// Files that the definition wants copied in, from where they are.
    pub(super) fn files(&self) -> impl Iterator<Item = (PathBuf, Option<String>)> + '_ {
        let files: &[FileCopy] = self.job.as_ref().map_or(&[], |job| &job.files);
        files.iter().map(|copy| (self.folder.join(&copy.source), copy.target.clone()))
    }

    /// Shows the warnings, unless quiet.
    pub(super) fn warn(&self, context: &Context) {
        for warnings in self.warnings.iter().filter(|warnings| !warnings.is_empty()) {
            context.out.note(warnings.render(context.out.color_notes).trim_end());
        }
    }
}

/// Reads and checks a definition; `-` = standard input.
///
/// # Errors
/// Code 3 with everything that is wrong; 4 if there is no such file.
pub(super) fn read(context: &Context, file: &Path) -> Result<Source, Error> {
    let limits = context.limits()?;
    let from_stdin = file == Path::new("-");
    let (path, shown) = match from_stdin {
        true => (None, "standard input".to_owned()),
        false => (Some(context.path(file)), safe(&file.display().to_string()).into_owned()),
    };
    let bytes = match &path {
        None => bounded(io::stdin().lock(), limits.text).map_err(|e| Error::io("cannot read standard input", e))?,
        Some(path) => read_file(path, &shown, limits.text)?,
    };
    let folder = match path.as_deref().and_then(Path::parent) {
        Some(folder) => folder.to_path_buf(),
        None => context.directory.clone(),
    };
    let options = LoadOptions { file: shown, limits };
    let loaded = load(&bytes, &options).map_err(|problems| invalid(context, &problems))?;
    let mut warnings = vec![loaded.warnings];
    let (workflow, job) = match loaded.value {
        Definition::Workflow(workflow) => (workflow, None),
        Definition::Job(mut definition) => {
            let source = std::mem::replace(&mut definition.workflow, WorkflowSource::File(String::new()));
            let workflow = match source {
                WorkflowSource::Inline(workflow) => workflow,
                WorkflowSource::File(name) => {
                    let shown = safe(&name).into_owned();
                    let bytes = read_file(&folder.join(&name), &shown, limits.text)
                        .map_err(|e| e.hint(format!("`workflow: {shown}` of {} names it", options.file)))?;
                    let options = LoadOptions { file: shown, limits };
                    let loaded = load_workflow(&bytes, &options).map_err(|problems| invalid(context, &problems))?;
                    warnings.push(loaded.warnings);
                    loaded.value
                }
            };
            (workflow, Some(definition))
        }
    };
    Ok(Source { workflow, job, file: path, folder, warnings })
}

fn read_file(path: &Path, shown: &str, limit: usize) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(|e| cannot_read(shown, e))?;
    bounded(file, limit).map_err(|e| cannot_read(shown, e))
}

fn cannot_read(shown: &str, error: io::Error) -> Error {
    let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
    Error::new(exit, format!("cannot read {shown}")).because(error)
}

/// One byte more than is accepted, so that the loader can say that it is too much.
fn bounded(reader: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take((limit as u64).saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All that is wrong: shown with the source's lines, or as objects.
fn invalid(context: &Context, problems: &Problems) -> Error {
    let mut error = Error::new(Exit::InvalidWorkflow, problems.render(context.out.color_notes));
    error.verbatim = true;
    error.data = Some(json!({ "file": problems.file(), "problems": views(problems) }));
    error
}

/// Problems for programs.
pub(super) fn views(problems: &Problems) -> Vec<Value> {
    let view = |problem: &workflow_model::Problem| {
        let place = |place: workflow_model::Place| json!({ "line": place.line, "column": place.column });
        let related: Vec<Value> = problem
            .related
            .iter()
            .map(|(at, note)| json!({ "line": at.line, "column": at.column, "note": note }))
            .collect();
        json!({
            "severity": problem.severity.to_string(), "place": place(problem.place), "task": problem.task,
            "message": problem.message, "help": problem.help, "related": related,
        })
    };
    problems.list().iter().map(view).collect()
}
