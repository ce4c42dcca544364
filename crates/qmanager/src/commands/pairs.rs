//! `K=V` texts, environment files, `SRC[:DST]` and `GLOB:DIR`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use job_queue::Filter;
use workflow_model::{JobStatus, LimitKey, TaskName};

use super::context::Context;
use crate::{cli::FilterArgs, exit::Error, text::safe};

/// `K=V`: a label or the like.
pub(super) fn pair(flag: &str, text: &str) -> Result<(String, String), Error> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.into(), value.into())),
        _ => Err(Error::usage(format!("{flag} {:?} is not of the form K=V", safe(text)))),
    }
}

/// Several of them.
pub(super) fn pairs(flag: &str, texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    texts.iter().map(|text| pair(flag, text)).collect()
}

/// Labels: what a job definition may say, and nothing else, on the command line too.
pub(super) fn labels(texts: &[String]) -> Result<Vec<(String, String)>, Error> {
    let all = pairs("--label", texts)?;
    for (key, value) in &all {
        words("--label", key)?;
        if !value.is_empty() {
            words("--label", value)?;
        }
    }
    Ok(all)
}

/// Words for people (a name, a key, a label): the rules of a task's name.
pub(super) fn words(flag: &str, text: &str) -> Result<(), Error> {
    TaskName::new(text).map(drop).map_err(|wrong| {
        // Debug's form shows what a terminal must not get.
        Error::usage(format!("{flag}: {:?} {}", wrong.text, wrong.reason))
            .hint("write 1 to 256 printable characters, without blanks at either end")
    })
}

/// A limit key, as a job definition may have it.
pub(super) fn limit_key(flag: &str, text: &str) -> Result<LimitKey, Error> {
    words(flag, text)?;
    LimitKey::new(text).map_err(|wrong| Error::usage(format!("{flag}: {wrong}")))
}

/// A variable for tasks: a name that every program can read, and none of ours.
pub(super) fn variable(place: &str, text: &str) -> Result<(String, String), Error> {
    let (name, value) = pair(place, text)?;
    if name.contains(char::is_whitespace) || name.chars().any(char::is_control) {
        return Err(Error::usage(format!("{place}: {:?} is not the name of a variable", safe(&name))));
    }
    if name.starts_with("QM_") {
        return Err(Error::usage(format!("{place}: {name} is reserved: names beginning with QM_ are set by qmanager")));
    }
    if value.contains('\0') {
        return Err(Error::usage(format!("{place}: the value of {name} holds a NUL character, which no variable can")));
    }
    Ok((name, value))
}

/// `--env-file` before `--env`; of equal names the last one counts.
pub(super) fn environment(
    context: &Context,
    files: &[PathBuf],
    texts: &[String],
) -> Result<Vec<(String, String)>, Error> {
    let mut all = Vec::new();
    for file in files {
        let shown = file.display();
        let text =
            std::fs::read_to_string(context.path(file)).map_err(|e| Error::io(format!("cannot read {shown}"), e))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                all.push(variable(
                    &format!("{shown}:{}", number + 1),
                    unquote(line.strip_prefix("export ").unwrap_or(line)).as_ref(),
                )?);
            }
        }
    }
    for text in texts {
        all.push(variable("--env", text)?);
    }
    Ok(all)
}

/// `K="V"` and `K='V'` mean `K=V`, as in the environment files of docker compose and systemd. Nothing is expanded.
fn unquote(line: &str) -> std::borrow::Cow<'_, str> {
    let Some((key, value)) = line.split_once('=') else { return line.into() };
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    match inner {
        Some(inner) => format!("{key}={inner}").into(),
        None => line.into(),
    }
}

/// States as typed.
pub(super) fn states<S: std::str::FromStr>(texts: &[String], all: &[&str]) -> Result<Vec<S>, Error> {
    let parse = |text: &String| {
        text.parse().map_err(|_| {
            Error::usage(format!("{:?} is not a state", safe(text))).hint(format!("states: {}", all.join(", ")))
        })
    };
    texts.iter().map(parse).collect()
}

/// The filter of `list` and `cancel`.
pub(super) fn filter(context: &Context, args: &FilterArgs) -> Result<Filter, Error> {
    if let Some(name) = &args.name {
        words("--name", name)?;
    }
    let all: Vec<&str> = JobStatus::ALL.iter().map(|status| status.as_str()).collect();
    Ok(Filter {
        queue: context.qname()?,
        name: args.name.clone(),
        limit_key: args
            .limit_key
            .as_deref()
            .map(|text| limit_key("--limit-key", text))
            .transpose()?
            .map(|key| key.to_string()),
        labels: labels(&args.label)?,
        states: states(&args.state, &all)?,
        ..Filter::default()
    })
}

/// `NAME=env:VAR` or `NAME=file:PATH`; paths become absolute, since the worker is elsewhere.
pub(super) fn secrets(context: &Context, texts: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let parse = |text: &String| {
        let (name, source) = pair("--secret", text)?;
        let source = match source.split_once(':') {
            Some(("env", variable)) if !variable.is_empty() => {
                if !context.environment.vars.contains_key(std::ffi::OsStr::new(variable)) {
                    return Err(Error::usage(format!("--secret {name}: the variable {:?} is not set", safe(variable))));
                }
                source
            }
            Some(("file", path)) if !path.is_empty() => format!("file:{}", context.path(Path::new(path)).display()),
            _ => {
                return Err(Error::usage(format!("--secret {:?} names no source", safe(&name)))
                    .hint("write NAME=env:VARIABLE or NAME=file:PATH"));
            }
        };
        Ok((name, source))
    };
    texts.iter().map(parse).collect()
}

/// `SRC[:DST]`. A source whose own name has a colon is taken whole if it exists.
pub(super) fn source(context: &Context, text: &str) -> Result<(PathBuf, Option<String>), Error> {
    let whole = context.path(Path::new(text));
    match text.rsplit_once(':') {
        Some((source, target)) if !source.is_empty() && !target.is_empty() && !whole.exists() => {
            Ok((context.path(Path::new(source)), Some(target.into())))
        }
        _ if text.is_empty() => Err(Error::usage("--file needs SRC or SRC:DST")),
        _ => Ok((whole, None)),
    }
}

/// `GLOB:DIR`; without DIR the current folder.
pub(super) fn get(context: &Context, text: &str) -> (String, PathBuf) {
    match text.rsplit_once(':') {
        Some((glob, folder)) if !glob.is_empty() && !folder.is_empty() => {
            (glob.into(), context.path(Path::new(folder)))
        }
        _ => (text.trim_end_matches(':').into(), context.directory.clone()),
    }
}

/// A duration as typed.
pub(super) fn duration(flag: &str, text: &str) -> Result<std::time::Duration, Error> {
    workflow_model::parse_duration(text).map_err(|e| Error::usage(format!("{flag}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_checked() {
        assert_eq!(variable("--env", "A=b=c").unwrap(), ("A".into(), "b=c".into()));
        assert_eq!(variable("--env", "A=").unwrap(), ("A".into(), String::new()));
        for wrong in ["A", "=x", "QM_JOB_ID=1", "a b=1", "A=x\0y"] {
            assert_eq!(variable("--env", wrong).unwrap_err().exit, crate::exit::Exit::Usage, "{wrong:?}");
        }
    }

    #[test]
    fn quotes_of_environment_files_are_dropped() {
        assert_eq!(unquote("A=\"b c\""), "A=b c");
        assert_eq!(unquote("A='$X'"), "A=$X");
        assert_eq!(unquote("A=\"b"), "A=\"b");
        assert_eq!(unquote("A"), "A");
    }
}
