//! `qmanager doctor`: what of this host is as it should be, and what to do where it is not.

mod checks;
mod elf;

use serde::Serialize;

use super::context::Context;
use crate::{
    cli::DoctorArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    text::{Tone, paint},
};

/// How a check went. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    v: u16,
    check: &'static str,
    level: Level,
    what: String,
    help: Option<String>,
}

impl Finding {
    fn new(check: &'static str, level: Level, what: impl Into<String>) -> Self {
        Self { v: JSON_VERSION, check, level, what: what.into(), help: None }
    }

    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, what)
    }

    fn warn(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(check, Level::Warn, what) }
    }

    fn fail(check: &'static str, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..Self::new(check, Level::Fail, what) }
    }
}

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Error> {
    let findings = checks::all(context, args).await?;
    let out = &context.out;
    for finding in &findings {
        if out.json {
            out.object(finding)?;
            continue;
        }
        let (word, tone) = match finding.level {
            Level::Ok => ("ok  ", Tone::Good),
            Level::Warn => ("warn", Tone::Warn),
            Level::Fail => ("fail", Tone::Bad),
        };
        out.line(format_args!("{}  {:<14} {}", paint(word, tone, out.color), finding.check, finding.what))?;
        if let Some(help) = &finding.help {
            out.line(format_args!("      {:<14} {help}", ""))?;
        }
    }
    let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    Ok(match worst {
        Level::Ok | Level::Warn => Exit::Done,
        Level::Fail if findings.iter().any(|finding| finding.level == Level::Fail && finding.check == "queue") => {
            Exit::QueueUnavailable
        }
        Level::Fail => Exit::ExecutorUnusable,
    })
}
