//! How people name jobs and tasks: `id`, its last 8 characters, `@last`, `@last:NAME`, `@key:KEY`; a task's exact name,
//! else `#INDEX`; patterns.

use std::str::FromStr;

use job_queue::{Filter, JobQueue, JobRow};
use workflow_model::{JobId, QueueName, TaskIx, Workflow};

use crate::{exit::Error, output::local, text::safe};

/// A job as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSelector {
    /// The whole id.
    Id(JobId),
    /// Its end.
    Suffix(String),
    /// The newest that this user submitted from this state-dir.
    Last,
    /// The newest of them with this name.
    LastNamed(String),
    /// The one with this idempotency key.
    Key(String),
}

/// Where to look for jobs.
#[derive(Debug, Clone)]
pub struct Scope {
    /// Only this queue (`--qname`).
    pub queue: Option<QueueName>,
    /// Whose `@last` it is.
    pub submitter: String,
}

impl JobSelector {
    /// How many characters of an id's end name a job.
    pub const SUFFIX: usize = 8;

    /// The one job that is meant.
    ///
    /// # Errors
    /// Code 4: there is none, or there are several.
    pub async fn resolve(&self, queue: &dyn JobQueue, scope: &Scope) -> Result<JobRow, Error> {
        let base = Filter { queue: scope.queue.clone(), limit: Some(1), ..Filter::default() };
        let filter = match self {
            Self::Id(id) => return Ok(queue.get(*id).await?),
            Self::Suffix(end) => Filter { id_suffix: Some(end.clone()), limit: Some(10), queue: None, ..base },
            Self::Last => Filter { submitter: Some(scope.submitter.clone()), ..base },
            Self::LastNamed(name) => {
                Filter { submitter: Some(scope.submitter.clone()), name: Some(name.clone()), ..base }
            }
            // A key is unique within its queue: without --qname two queues may both have it.
            Self::Key(key) => Filter { key: Some(key.clone()), limit: Some(10), ..base },
        };
        let mut found = queue.list(&filter).await?;
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(self.nothing(scope)),
            _ => Err(self.several(&found)),
        }
    }

    fn nothing(&self, scope: &Scope) -> Error {
        let within = scope.queue.as_ref().map_or_else(String::new, |queue| format!(" in queue {queue}"));
        let list = "`qmanager list` shows the jobs there are";
        match self {
            Self::Id(id) => Error::not_found(format!("there is no job {id}")).hint(list),
            Self::Suffix(end) => Error::not_found(format!("there is no job whose id ends in {end}")).hint(list),
            Self::Last => Error::not_found(format!("you have submitted no job from this state-dir{within}"))
                .hint("`qmanager list` shows everyone's; --state-dir and --db name another place"),
            Self::LastNamed(name) => {
                Error::not_found(format!("you have submitted no job of the name {:?}{within}", safe(name))).hint(list)
            }
            Self::Key(key) => {
                Error::not_found(format!("there is no job with the key {:?}{within}", safe(key))).hint(list)
            }
        }
    }

    fn several(&self, found: &[JobRow]) -> Error {
        let what = match self {
            Self::Key(key) => format!("several queues have a job with the key {:?}", safe(key)),
            _ => "several jobs are meant".into(),
        };
        found.iter().fold(Error::not_found(what), |error, job| {
            let name = job.name.as_deref().map_or_else(String::new, |name| format!(" {}", safe(name)));
            error.hint(format!("{} (queue {}, {}){name}", job.id, job.queue, local(job.created)))
        })
    }
}

impl FromStr for JobSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(special) = text.strip_prefix('@') {
            return match special.split_once(':') {
                None if special == "last" => Ok(Self::Last),
                Some(("last", name)) if !name.is_empty() => Ok(Self::LastNamed(name.into())),
                Some(("key", key)) if !key.is_empty() => Ok(Self::Key(key.into())),
                _ => {
                    Err(Error::usage(format!("{:?} names no job", safe(text)))
                        .hint("write @last, @last:NAME or @key:KEY"))
                }
            };
        }
        let lower = text.to_ascii_lowercase();
        if let Ok(id) = lower.parse() {
            return Ok(Self::Id(id));
        }
        let of_id = lower.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        if of_id && (Self::SUFFIX..36).contains(&lower.len()) {
            return Ok(Self::Suffix(lower));
        }
        let error = Error::not_found(format!("{:?} is not the id of a job", safe(text)));
        if of_id && !lower.is_empty() {
            return Err(error.hint("write the whole id, or the last 8 characters of it"));
        }
        Err(error.hint("a job is named by its id, the last 8 characters of it, @last, @last:NAME or @key:KEY"))
    }
}

/// The task of an exact name, else of `#INDEX`.
///
/// # Errors
/// Code 4, with the nearest name.
pub fn task(workflow: &Workflow, text: &str) -> Result<TaskIx, Error> {
    if let Some(task) = workflow.find(text) {
        return Ok(task);
    }
    if let Some(index) = text.strip_prefix('#').and_then(|index| index.parse::<u32>().ok()) {
        if workflow.get(TaskIx(index)).is_some() {
            return Ok(TaskIx(index));
        }
        let last = workflow.len().saturating_sub(1);
        return Err(Error::not_found(format!("there is no task #{index}")).hint(format!("the last one is #{last}")));
    }
    let error = Error::not_found(format!("there is no task {:?}", safe(text)));
    let names = workflow.tasks().iter().map(|task| task.name.as_str());
    Err(match nearest(text, names) {
        Some(name) => error.hint(format!("did you mean {:?}?", safe(name))),
        None => error.hint("`qmanager graph FILE|JOB` shows them all"),
    })
}

/// Several tasks, each once, in the order of the workflow.
///
/// # Errors
/// As [`task`].
pub fn tasks(workflow: &Workflow, texts: &[String]) -> Result<Vec<TaskIx>, Error> {
    let mut found = texts.iter().map(|text| task(workflow, text)).collect::<Result<Vec<_>, _>>()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Whether a name matches a pattern: `*` any text, `?` one character, `[a-z]`, `{a,b}`. Names are no paths: `*` goes
/// over slashes too.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    // The matcher's `*` stops at a slash; a character that no name has takes its place.
    fast_glob::glob_match(pattern.replace('/', "\u{1}"), name.replace('/', "\u{1}"))
}

/// The most similar of some names, if it is similar at all.
#[must_use]
pub fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A look at every name of a graph of a million would take longer than the verb.
    let best =
        names.take(50_000).map(|name| (strsim::jaro_winkler(text, name), name)).max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(score, _)| *score > 0.8).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_named_in_five_ways() {
        let id = JobId::generate();
        let parse = |text: &str| text.parse::<JobSelector>();
        assert_eq!(parse(&id.to_string()).unwrap(), JobSelector::Id(id));
        assert_eq!(parse(&id.to_string().to_uppercase()).unwrap(), JobSelector::Id(id));
        assert_eq!(parse(&id.short()).unwrap(), JobSelector::Suffix(id.short()));
        assert_eq!(parse("@last").unwrap(), JobSelector::Last);
        assert_eq!(parse("@last:a:b c").unwrap(), JobSelector::LastNamed("a:b c".into()));
        assert_eq!(parse("@key:order-42").unwrap(), JobSelector::Key("order-42".into()));
    }

    #[test]
    fn what_names_no_job_says_what_does() {
        for text in ["@first", "@last:", "@key:", "@", "abc", "", "-rf", "x\u{1b}[31m", "0123456"] {
            let error = text.parse::<JobSelector>().unwrap_err();
            assert!(!error.hints.is_empty(), "{text:?}");
            assert!(!error.what.chars().any(char::is_control), "{:?}", error.what);
        }
    }

    #[test]
    fn tasks_are_named_exactly_else_by_index() {
        let text = b"- name: fetch\n- name: '#0'\n- name: -rf\n";
        let options = workflow_model::LoadOptions::new("w.yaml");
        let workflow = workflow_model::load_workflow(text, &options).unwrap().value;
        assert_eq!(task(&workflow, "fetch").unwrap(), TaskIx(0));
        assert_eq!(task(&workflow, "#0").unwrap(), TaskIx(1), "the exact name comes first");
        assert_eq!(task(&workflow, "#2").unwrap(), TaskIx(2));
        assert_eq!(tasks(&workflow, &["-rf".into(), "fetch".into(), "#2".into()]).unwrap(), [TaskIx(0), TaskIx(2)]);
        for (text, hint) in
            [("fecth", "did you mean \"fetch\"?"), ("#3", "the last one is #2"), ("zzz", "qmanager graph")]
        {
            let error = task(&workflow, text).unwrap_err();
            assert_eq!(error.exit, crate::exit::Exit::NotFound);
            assert!(error.hints[0].contains(hint), "{text}: {:?}", error.hints);
        }
    }

    #[test]
    fn patterns_go_over_slashes() {
        assert!(matches("lib*", "lib/x.o"));
        assert!(matches("part-??", "part-07"));
        assert!(matches("{a,b}*", "b c"));
        assert!(!matches("part-?", "part-07"));
        assert!(matches("*", "--all"));
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("fecth", ["train", "fetch"].into_iter()), Some("fetch"));
        assert_eq!(nearest("zzz", ["train", "fetch"].into_iter()), None);
    }
}
