//! The rules that a single value must keep, with the remedy where it does not; the same for YAML, JSON and stored
//! definitions. Knows nothing of places: the caller adds them.

use std::time::Duration;

use crate::{EnvValue, FileCopy, TaskName, Volume, VolumeSource, units};

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// What is wrong, as a clause about the value: "is empty".
    pub(crate) message: String,
    /// What to write instead.
    pub(crate) help: Option<String>,
}

impl Wrong {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

type Checked<T> = Result<T, Wrong>;

pub(crate) const LONGEST_BACKOFF: Duration = Duration::from_secs(3600);

pub(crate) fn task_name(text: &str) -> Checked<TaskName> {
    TaskName::new(text).map_err(|error| {
        Wrong::new(error.reason).help("a name is 1 to 256 printable characters, without blanks at either end")
    })
}

/// Words for people: `group`, a job's `name` and `key`, labels.
pub(crate) fn words(text: &str) -> Checked<()> {
    TaskName::new(text).map(drop).map_err(|error| Wrong::new(error.reason))
}

/// Any text inside `params`: `${{` is reserved.
pub(crate) fn param_text(text: &str) -> Checked<()> {
    if text.contains("${{") {
        let help = "nothing is substituted in params: pass values as environment, files or stdin";
        return Err(Wrong::new("contains `${{`, which is reserved").help(help));
    }
    Ok(())
}

/// What becomes an argument or an environment value.
pub(crate) fn argument(text: &str) -> Checked<()> {
    param_text(text)?;
    no_nul(text)
}

pub(crate) fn command_line(text: &str) -> Checked<()> {
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty").help("write the command, or leave `params` out for a join"));
    }
    argument(text)
}

pub(crate) fn argv(list: &[String], what: &str) -> Checked<()> {
    match list.first() {
        None => Err(Wrong::new("is an empty list").help(format!("write the {what} and its arguments, one an entry"))),
        Some(first) if first.is_empty() => Err(Wrong::new(format!("has an empty text in place of the {what}"))),
        Some(_) => Ok(()),
    }
}

pub(crate) fn env_name(text: &str) -> Checked<()> {
    if text.is_empty() {
        return Err(Wrong::new("is empty"));
    }
    if text.contains('=') || text.chars().any(char::is_control) {
        return Err(Wrong::new("has a `=` or a control character"));
    }
    if text.starts_with("QM_") {
        return Err(Wrong::new("begins with `QM_`, which is reserved").help("choose another name"));
    }
    Ok(())
}

pub(crate) fn secret_name(text: &str) -> Checked<()> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if text.is_empty() || text.len() > 253 || !text.chars().all(valid) || text.starts_with('.') {
        let help = "letters, digits, `_`, `-` and `.`, at most 253; not beginning with `.`";
        return Err(Wrong::new("is not a secret's name").help(help));
    }
    Ok(())
}

/// `stdout`, `stdin.file`: a job file.
pub(crate) fn file_path(text: &str) -> Checked<()> {
    relative(text)?;
    if text.ends_with('/') || text.ends_with("/.") || text == "." {
        return Err(Wrong::new("names a folder, not a file"));
    }
    Ok(())
}

/// `workdir` and the like: relative to the job files, staying inside them.
pub(crate) fn relative(text: &str) -> Checked<()> {
    param_text(text)?;
    if text.is_empty() {
        return Err(Wrong::new("is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("has a control character"));
    }
    if text.starts_with('/') {
        return Err(Wrong::new("is an absolute path").help("write it relative to the job files"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Wrong::new("leaves the job files by `..`").help("write a path inside the job files"));
    }
    Ok(())
}

pub(crate) fn image(text: &str) -> Checked<()> {
    param_text(text)?;
    if text.is_empty() || text.starts_with('-') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(
            Wrong::new("is not an image's name").help("like python:3.12 or registry.example.org/team/tool@sha256:…")
        );
    }
    Ok(())
}

/// `SRC:DST[:ro]`.
pub(crate) fn volume(text: &str) -> Checked<Volume> {
    const FORM: &str = "write SRC:DST or SRC:DST:ro, like datasets:/datasets:ro";
    argument(text)?;
    let mut parts = text.split(':');
    let (source, target, mode) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let Some(target) = target.filter(|_| parts.next().is_none()) else {
        return Err(Wrong::new("is not of the form SRC:DST[:ro]").help(FORM));
    };
    let read_only = match mode {
        None => false,
        Some("ro") => true,
        Some(_) => return Err(Wrong::new("ends in something other than `ro`").help(FORM)),
    };
    if !target.starts_with('/') || target.trim_matches('/').is_empty() {
        return Err(Wrong::new("has a target that is not an absolute path below `/`").help(FORM));
    }
    if [source, target]
        .iter()
        .any(|path| path.split('/').any(|part| part == "..") || path.chars().any(char::is_control))
    {
        return Err(Wrong::new("has `..` or a control character in a path").help(FORM));
    }
    let source = if source.starts_with('/') {
        VolumeSource::Path(source.to_owned())
    } else {
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !source.starts_with(|c: char| c.is_ascii_alphanumeric()) || !source.chars().all(valid) {
            let help =
                "a volume's name of the host's configuration (letters, digits, `_`, `-`, `.`), or an absolute path";
            return Err(Wrong::new("has a source that is neither a name nor an absolute path").help(help));
        }
        VolumeSource::Name(source.to_owned())
    };
    Ok(Volume { source, target: target.to_owned(), read_only })
}

pub(crate) fn cpus(value: f64) -> Checked<f64> {
    if value.is_finite() && value > 0.0 && value <= 100_000.0 {
        return Ok(value);
    }
    Err(Wrong::new("is not a number of CPUs").help("write a number over 0, like 2 or 0.5"))
}

pub(crate) fn memory(text: &str) -> Checked<u64> {
    let bytes = units::parse_size(text).map_err(|error| Wrong::new(error.reason))?;
    if bytes == 0 { Err(Wrong::new("is nothing").help("write a size like 500M or 4Gi")) } else { Ok(bytes) }
}

/// `timeout`: over 0.
pub(crate) fn timeout(text: &str) -> Checked<Duration> {
    let duration = units::parse_duration(text).map_err(|error| Wrong::new(error.reason))?;
    if duration.is_zero() {
        return Err(Wrong::new("is no time at all").help("leave the key out for no timeout"));
    }
    Ok(duration)
}

pub(crate) fn backoff(text: &str) -> Checked<Duration> {
    let duration = units::parse_duration(text).map_err(|error| Wrong::new(error.reason))?;
    if duration > LONGEST_BACKOFF {
        return Err(Wrong::new("is over 1h").help("a backoff doubles with each retry, to at most 1h"));
    }
    Ok(duration)
}

pub(crate) fn retry_max(max: u32) -> Checked<()> {
    if max > 1_000_000 { Err(Wrong::new("is over 1,000,000")) } else { Ok(()) }
}

pub(crate) fn endpoint(text: &str) -> Checked<()> {
    argument(text)?;
    if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Wrong::new("is empty or has blanks"));
    }
    match text.split_once("://") {
        Some(("http" | "https", rest)) if !rest.is_empty() => Ok(()),
        Some(_) => Err(Wrong::new("is not an http or https URL")),
        None => Ok(()),
    }
}

pub(crate) fn method(text: &str) -> Checked<()> {
    param_text(text)?;
    if !text.is_empty() && text.len() <= 20 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(Wrong::new("is not an HTTP method").help("in upper case, like POST"))
}

pub(crate) fn header_name(text: &str) -> Checked<()> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.is_empty() || !text.bytes().all(token) {
        return Err(Wrong::new("is not an HTTP header's name"));
    }
    Ok(())
}

pub(crate) fn header_value(text: &str) -> Checked<()> {
    argument(text)?;
    if text.contains(['\r', '\n']) {
        return Err(Wrong::new("has a line break, which a header cannot have"));
    }
    Ok(())
}

/// Header names are one name in upper and lower case.
pub(crate) fn headers_differ(headers: &[(String, EnvValue)]) -> Checked<()> {
    let mut names: Vec<String> = headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => Err(Wrong::new(format!("names the header `{}` twice", pair[0]))),
    }
}

/// A label's name: `K` of `--label K=V`.
pub(crate) fn label_name(text: &str) -> Checked<()> {
    if text.contains('=') {
        return Err(Wrong::new("has a `=`"));
    }
    words(text)
}

pub(crate) fn label_value(text: &str) -> Checked<()> {
    if text.is_empty() { Ok(()) } else { words(text) }
}

/// A path of this host.
pub(crate) fn local_path(text: &str) -> Checked<()> {
    if text.is_empty() {
        return Err(Wrong::new("is empty"));
    }
    no_nul(text)
}

/// `SRC[:DST]` of a job definition.
pub(crate) fn file_copy(text: &str) -> Checked<FileCopy> {
    no_nul(text)?;
    let (source, target) = text.split_once(':').map_or((text, None), |(source, target)| (source, Some(target)));
    if source.is_empty() {
        return Err(Wrong::new("has no source").help("write SRC or SRC:DST"));
    }
    if let Some(target) = target {
        relative(target).map_err(|wrong| Wrong { message: format!("has a target that {}", wrong.message), ..wrong })?;
    } else if source.split('/').next_back().is_none_or(|name| matches!(name, "" | "." | "..")) {
        return Err(Wrong::new("does not end in a name").help("write SRC:DST, where DST is its place in the job files"));
    }
    Ok(FileCopy { source: source.to_owned(), target: target.map(str::to_owned) })
}

/// A moment in microseconds since 1970.
pub(crate) fn moment(text: &str) -> Checked<i64> {
    let moment: jiff::Timestamp = text.parse().map_err(|_| {
        Wrong::new("is not a moment").help("write date, time and offset, like 2026-01-31T18:00:00Z or …T18:00:00+01:00")
    })?;
    Ok(moment.as_microsecond())
}

fn no_nul(text: &str) -> Checked<()> {
    if text.contains('\0') { Err(Wrong::new("has a NUL character")) } else { Ok(()) }
}
