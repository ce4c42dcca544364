//! From the bytes of a file to a workflow or a job definition, or to all that is wrong with it.

use crate::{
    JobDefinition, Place, Problems, Workflow, WorkflowSource,
    check::Wrong,
    decode, fast, json, read,
    report::Report,
    tree::{NodeId, Tree},
    yaml,
};

/// How much is accepted. The defaults are roomy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Tasks of a workflow.
    pub tasks: usize,
    /// Bytes of text.
    pub text: usize,
    /// Levels of nesting; at most 127 (beyond, the decoders stop).
    pub levels: usize,
    /// Bytes (values and 32 for each) that aliases and `<<` may add by repetition; in any case 16 times the text.
    pub repeated: usize,
    /// Problems that are kept; the rest is counted.
    pub problems: usize,
}

impl Limits {
    /// Values that a file may have: many times what the tasks can need, so that a huge file that is no workflow is refused
    /// before it fills the memory.
    pub(crate) fn values(&self) -> usize {
        self.tasks.saturating_mul(40).max(1_000_000)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { tasks: 1_000_000, text: 256 << 20, levels: 127, repeated: 8 << 20, problems: 1_000 }
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
    load_by(text, options, fast_definition, read::definition)
}

/// Loads a workflow: a list, YAML or JSON. For a job definition's [`WorkflowSource::File`] too.
///
/// # Errors
/// All that is wrong with it, at least one of them an error; a job definition is one of them.
pub fn load_workflow(text: &[u8], options: &LoadOptions) -> Result<Loaded<Workflow>, Problems> {
    load_by(text, options, fast_workflow, read::workflow)
}

type Slow<T> = fn(&Tree<'_>, NodeId, &Limits, &mut Report) -> Option<T>;

/// JSON without a mistake goes the fast way; all else goes the slow way, which tells places.
fn load_by<T>(
    bytes: &[u8],
    options: &LoadOptions,
    fast: fn(&str, &Limits) -> Option<T>,
    slow: Slow<T>,
) -> Result<Loaded<T>, Problems> {
    let mut report = Report::new(options.limits.problems);
    let text = match decoded(bytes, &options.limits) {
        Ok(text) => text,
        Err((place, wrong)) => {
            report.error(place, wrong);
            return Err(report.finish(&options.file, &String::from_utf8_lossy(excerpt_of(bytes, place))));
        }
    };
    let is_json = looks_like_json(text);
    // The fast way knows no other limit of nesting than the decoder's own.
    let value = (options.limits.levels >= yaml::MOST_LEVELS && is_json).then(|| fast(text, &options.limits)).flatten();
    if let Some(value) = value {
        return Ok(Loaded { value, warnings: Problems { file: options.file.clone(), ..Problems::default() } });
    }
    let value = tree(text, is_json, options, &mut report)
        .and_then(|(tree, root)| slow(&tree, root, &options.limits, &mut report))
        .filter(|_| report.errors() == 0);
    let problems = report.finish(&options.file, text);
    match value {
        Some(value) => Ok(Loaded { value, warnings: problems }),
        None => Err(problems),
    }
}

/// The tree of a text with all values decoded.
fn tree<'a>(text: &'a str, is_json: bool, options: &LoadOptions, report: &mut Report) -> Option<(Tree<'a>, NodeId)> {
    if is_json {
        match json::parse(text) {
            Ok(value) => return json::read(text, value, &options.limits, report),
            Err((place, wrong)) if options.file.ends_with(".json") => {
                report.error(place, wrong);
                return None;
            }
            // YAML may begin with a bracket too.
            Err(_) => {}
        }
    }
    let (mut tree, root) = yaml::read(text, &options.limits, report)?;
    // Decoding costs more than all before it; with a full report there is nothing to gain from it.
    read::check_shape(&tree, root, report);
    if report.is_full() {
        return None;
    }
    decode::fill(text, &mut tree, root, report).then_some((tree, root))
}

fn fast_workflow(text: &str, limits: &Limits) -> Option<Workflow> {
    is_list(text).then(|| fast::workflow(text, limits.tasks).ok()).flatten().filter(is_plain)
}

fn fast_definition(text: &str, limits: &Limits) -> Option<Definition> {
    if is_list(text) {
        return fast_workflow(text, limits).map(Definition::Workflow);
    }
    let job = fast::job(text, limits.tasks).ok()?;
    match &job.workflow {
        WorkflowSource::Inline(workflow) if !is_plain(workflow) => None,
        _ => Some(Definition::Job(Box::new(job))),
    }
}

/// Nothing to warn of.
fn is_plain(workflow: &Workflow) -> bool {
    !workflow.is_empty() && read::unicode_twins(workflow.tasks().iter().map(|task| task.name.as_str())).is_empty()
}

fn looks_like_json(text: &str) -> bool {
    text.trim_ascii_start().starts_with(['[', '{'])
}

fn is_list(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[')
}

/// The bytes as text, if they are text of an acceptable size.
fn decoded<'a>(bytes: &'a [u8], limits: &Limits) -> Result<&'a str, (Place, Wrong)> {
    let start = Place { line: 1, column: 1, width: 1 };
    // Places and node numbers are 32 bits wide.
    let most = limits.text.min(u32::MAX as usize);
    if bytes.len() > most {
        let said = match bytes.len() - most {
            // Whoever reads a file reads no more of it than shows that it is too large.
            1 => format!("more than the {} of text that are allowed", size(most)),
            _ => format!("{} of text, {} are allowed", size(bytes.len()), size(most)),
        };
        let help = "put data into files of their own, or raise `limits.text` in the configuration";
        return Err((start, Wrong::new(said).help(help)));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((start, Wrong::new("the file is UTF-16").help("save it as UTF-8")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let (line, column) = end_of(&before);
        let byte = bytes[error.valid_up_to()];
        (
            Place { line, column, width: 1 },
            Wrong::new(format!("not UTF-8: byte 0x{byte:02X}")).help("save the file as UTF-8"),
        )
    })?;
    if text.starts_with('\u{feff}') {
        let wrong =
            Wrong::new("the file begins with a byte order mark").help("save it as UTF-8 without byte order mark (BOM)");
        return Err((start, wrong));
    }
    if text.trim().is_empty() {
        return Err((
            start,
            Wrong::new("the file is empty").help("a workflow is a list of tasks: begin with `- name: …`"),
        ));
    }
    Ok(text)
}

/// Enough of the bytes to show a place, if the place is not far into a huge file.
fn excerpt_of(bytes: &[u8], place: Place) -> &[u8] {
    if place.line == 1 && place.column == 1 { &bytes[..bytes.len().min(1000)] } else { bytes }
}

fn end_of(text: &str) -> (u32, u32) {
    let line_start = text.rfind('\n').map_or(0, |at| at + 1);
    (text.matches('\n').count() as u32 + 1, text[line_start..].chars().count() as u32 + 1)
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{bytes} bytes"),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
