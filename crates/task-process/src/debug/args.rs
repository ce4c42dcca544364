//! The words after `task-executor run`. By hand-sized parser, not clap: this program is exec'ed once per task and is
//! kept small.

use std::{ffi::OsString, path::PathBuf};

use lexopt::prelude::*;

pub(super) const USAGE: &str = "\
Usage: task-executor run FILE --task NAME [OPTIONS]
       task-executor run --job JOB --task NAME [OPTIONS]

Runs one task exactly as its job would: same executor, environment, working directory and limits. Shows what it writes
and ends with its exit code; 124 = timeout, 125 = we failed, 126 = cannot run, 127 = not found, 128+n = signal n.

  --task NAME      the task: its exact name, else #INDEX
  --jobfiles DIR   the folder of the job files [default: the folder of FILE]
  --env K=V        set a variable; beats what the file says
  --secret NAME=SOURCE   where a secret's value is: env:VAR or file:PATH
  --executor E     shell or docker [default: the configuration's]
  --job JOB        a job of the queue: id, its last 8 characters, @last, @key:KEY; on a copy of its job files
  --attempt N      with --job: as this attempt (QM_ATTEMPT) [default: the next one]
  --in-place       with --job: on the job files themselves
  --shell          a shell in the task's environment and folder instead of the task
  --json           the outcome as JSON after the end, on standard output
  -q, --quiet      nothing of our own on standard error
  --state-dir DIR, --config FILE, --db URL, --qname Q   as for qmanager
";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    pub(super) shell: bool,
    pub(super) json: bool,
    pub(super) quiet: bool,
    pub(super) in_place: bool,
    /// The request, asked for already by another program of ours.
    pub(super) answer: Option<PathBuf>,
    /// Passed on to `qmanager request` as they are.
    pub(super) for_qmanager: Vec<OsString>,
}

impl Args {
    /// `None`: help was asked for.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Self>, String> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut args = Self::default();
        let (mut file, mut job, mut task) = (false, false, false);
        while let Some(word) = parser.next().map_err(|e| e.to_string())? {
            match word {
                Long("shell") => args.shell = true,
                Long("json") => args.json = true,
                Long("in-place") => args.in_place = true,
                Short('q') | Long("quiet") => args.quiet = true,
                Long("answer") => args.answer = Some(parser.value().map_err(|e| e.to_string())?.into()),
                Short('h') | Long("help") => return Ok(None),
                Long(
                    name @ ("task" | "job" | "jobfiles" | "env" | "secret" | "executor" | "attempt" | "state-dir"
                    | "config" | "db" | "qname"),
                ) => {
                    let flag = format!("--{name}");
                    job |= name == "job";
                    task |= name == "task";
                    let value = parser.value().map_err(|e| e.to_string())?;
                    // One word, so that a value that begins with a dash stays a value.
                    let mut word = OsString::from(flag + "=");
                    word.push(value);
                    args.for_qmanager.push(word);
                }
                Value(value) if !file => {
                    file = true;
                    // `-` is standard input; a file that begins with a dash was given after `--`.
                    if value.as_encoded_bytes().starts_with(b"-") && value != "-" {
                        args.for_qmanager.push("--".into());
                    }
                    args.for_qmanager.push(value);
                }
                other => return Err(other.unexpected().to_string()),
            }
        }
        if !task {
            return Err("which task? --task NAME".into());
        }
        if file == job {
            return Err("a FILE or --job JOB, one of them".into());
        }
        if args.in_place && !job {
            return Err("--in-place goes with --job: a FILE's task runs in the folder of FILE anyway".into());
        }
        // A `--` and what follows it must come last.
        args.for_qmanager.sort_by_key(|word| !word.as_encoded_bytes().starts_with(b"--"));
        Ok(Some(args))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Args>, String> {
        Args::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn values_stay_values() {
        let args = parse(&["a b.yaml", "--task", "-rf x", "--env", "A=--shell", "--shell"]).unwrap().unwrap();
        assert!(args.shell && !args.json);
        assert_eq!(args.for_qmanager, ["--task=-rf x", "--env=A=--shell", "a b.yaml"]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        assert!(parse(&["f.yaml"]).unwrap_err().contains("--task"));
        assert!(parse(&["--task", "x"]).unwrap_err().contains("FILE or --job"));
        assert!(parse(&["f", "--job", "@last", "--task", "x"]).unwrap_err().contains("one of them"));
        assert!(parse(&["f", "g", "--task", "x"]).is_err());
        assert!(parse(&["f", "--frobnicate", "--task", "x"]).unwrap_err().contains("frobnicate"));
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }
}
