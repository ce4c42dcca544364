//! A summary as people read it.

use std::fmt::Write as _;

use workflow_model::{JobStatus, TaskStatus};

use super::board::reason;
use super::summary::{Failure, Summary, SummaryRow};
use crate::text::{self, Tone, paint, shell_quote};

/// Rows of the table; of larger jobs those that did not simply succeed.
const MOST_ROWS: usize = 40;

/// How a summary is written.
#[derive(Debug, Clone)]
pub struct Look {
    /// Columns.
    pub width: usize,
    /// Colours.
    pub color: bool,
    /// ASCII characters only.
    pub ascii: bool,
    /// Flags that the commands need to find the job (`--state-dir DIR`), as words.
    pub flags: Vec<String>,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 80, color: false, ascii: false, flags: Vec::new() }
    }
}

impl Summary {
    /// For people: the table, the failures, the commands, and the job's line last.
    #[must_use]
    pub fn text(&self, look: &Look) -> String {
        let mut out = self.table(look);
        for failure in &self.failures {
            out.push('\n');
            write_failure(&mut out, failure, look);
        }
        if self.failed > self.failures.len() && !self.failures.is_empty() {
            let more = text::counted(self.failed - self.failures.len(), "more failure");
            let _ = writeln!(out, "\n{}", paint(&format!("… {more}"), Tone::Dim, look.color));
        }
        let commands = self.commands(look);
        if !commands.is_empty() {
            out.push('\n');
            let column = commands.iter().map(|(command, _)| text::width(command)).max().unwrap_or(0);
            let side_by_side = column + 4 + 34 <= look.width;
            for (command, what) in commands {
                if side_by_side {
                    let _ = writeln!(out, "  {}  {}", text::pad(&command, column), paint(what, Tone::Dim, look.color));
                } else {
                    // Never cut: it is meant to be pasted.
                    let _ = writeln!(out, "  {}\n    {command}", paint(what, Tone::Dim, look.color));
                }
            }
        }
        if !out.is_empty() {
            out.push('\n');
        }
        if let Some(message) = self.message.as_deref().filter(|_| self.failures.is_empty()) {
            let _ = writeln!(out, "{}", text::safe(message));
        }
        out.push_str(&paint(&self.headline(), Tone::of_job(self.status), look.color));
        out.push('\n');
        if look.ascii { ascii(&out) } else { out }
    }

    /// `job 3f2a9c1e failed in 12.3 s: 41 succeeded, 2 failed, 7 skipped`
    #[must_use]
    pub fn headline(&self) -> String {
        let mut out = format!("job {} {}", self.job.short(), self.status);
        if let Some(seconds) = self.seconds {
            let _ = write!(out, " {} {}", if self.status.is_terminal() { "in" } else { "for" }, time(Some(seconds)));
        }
        let counts = [
            (self.succeeded, "succeeded"),
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.skipped, "skipped"),
            (self.tasks - self.succeeded - self.failed - self.cancelled - self.skipped, "not ended"),
        ];
        let words: Vec<String> =
            counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", text::count(*n))).collect();
        if !words.is_empty() {
            let _ = write!(out, ": {}", words.join(", "));
        }
        out
    }

    /// Commands to look further, each with what it does; none after success.
    #[must_use]
    pub fn commands(&self, look: &Look) -> Vec<(String, &'static str)> {
        if self.status == JobStatus::Succeeded && self.failures.is_empty() {
            return Vec::new();
        }
        let flags: String = look.flags.iter().map(|word| format!("{} ", shell_quote(word))).collect();
        let job = self.job.short();
        let mut commands = Vec::new();
        if let Some(failure) = self.failures.first() {
            let name = shell_quote(&failure.name);
            // A name may look like a flag.
            let (dashes, glue) = if failure.name.starts_with('-') { ("-- ", "=") } else { ("", " ") };
            commands.push((format!("qmanager {flags}logs {job} {dashes}{name}"), "all it wrote"));
            commands.push((
                format!("task-executor run {flags}--job {job} --task{glue}{name}"),
                "run it alone, on a copy of the files",
            ));
        }
        if self.status != JobStatus::Succeeded {
            if self.failures.is_empty() {
                commands.push((format!("qmanager {flags}explain {job}"), "why"));
            }
            commands.push((format!("qmanager {flags}retry {job}"), "run again what did not succeed"));
        }
        commands
    }

    fn table(&self, look: &Look) -> String {
        let dull = |row: &&SummaryRow| {
            self.rows.len() > MOST_ROWS && row.succeeded == row.tasks && row.attempts <= row.tasks as u64
        };
        let mut rows: Vec<&SummaryRow> = self.rows.iter().filter(|row| !dull(row)).collect();
        // The worst first where not all can be shown; else in the order of the workflow.
        if rows.len() > MOST_ROWS {
            rows.sort_by_key(|row| (std::cmp::Reverse(row.status), row.task));
            rows.truncate(MOST_ROWS);
        }
        let titles: Vec<String> = rows.iter().map(|row| title(row, look)).collect();
        let details: Vec<String> = rows.iter().map(|row| detail(row)).collect();
        let widest = details.iter().map(|text| text::width(text)).max().unwrap_or(0);
        let room = look.width.saturating_sub(16 + widest).max(look.width / 3).max(8);
        let column = titles.iter().map(|text| text::width(text)).max().unwrap_or(0).min(room);
        let mut out = String::new();
        for ((row, title), detail) in rows.iter().zip(titles).zip(details) {
            let tone = Tone::of_task(row.status);
            let _ = write!(
                out,
                "{} {}  {:>10}  {}",
                paint(text::mark(row.status, look.ascii), tone, look.color),
                text::pad(&text::cut_middle(&title, column, look.ascii), column),
                time(row.seconds),
                paint(&text::cut(&detail, look.width.saturating_sub(column + 16)), tone, look.color),
            );
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        let hidden = self.rows.len() - rows.len();
        if hidden > 0 {
            let tasks =
                self.rows.iter().map(|row| row.tasks).sum::<usize>() - rows.iter().map(|row| row.tasks).sum::<usize>();
            let _ =
                writeln!(out, "{}", paint(&format!("… {}", text::counted(tasks, "more task")), Tone::Dim, look.color));
        }
        out
    }
}

fn write_failure(out: &mut String, failure: &Failure, look: &Look) {
    let name = text::safe(&failure.name);
    let why = reason(failure.cause, failure.code);
    let mut head = format!("{} {name} failed: {why}", text::mark(TaskStatus::Failed, look.ascii));
    if failure.attempt.0 > 1 {
        let _ = write!(head, " (attempt {})", failure.attempt);
    }
    let _ = writeln!(out, "{}", paint(&text::cut(&head, look.width), Tone::Bad, look.color));
    if let Some(message) = failure.message.as_ref().filter(|message| **message != why) {
        let _ = writeln!(out, "  {}", text::safe(message));
    }
    let bar = if look.ascii { "|" } else { "│" };
    for line in &failure.tail {
        let line = text::cut(line, look.width.saturating_sub(4));
        let _ = writeln!(out, "  {} {line}", paint(bar, Tone::Dim, look.color));
    }
}

fn title(row: &SummaryRow, look: &Look) -> String {
    let name = if look.ascii { text::safe_ascii(&row.name) } else { text::safe(&row.name) };
    match row.tasks {
        1 => name.into_owned(),
        n => format!("{name} {}{}", if look.ascii { 'x' } else { '×' }, text::count(n)),
    }
}

/// What is to be said besides mark, name and time.
fn detail(row: &SummaryRow) -> String {
    let mut parts = Vec::new();
    if row.tasks == 1 {
        if row.status != TaskStatus::Succeeded {
            parts.push(row.status.to_string());
        }
    } else {
        let counts = [
            (row.succeeded, "succeeded"),
            (row.failed, "failed"),
            (row.cancelled, "cancelled"),
            (row.skipped, "skipped"),
            (row.tasks - row.succeeded - row.failed - row.cancelled - row.skipped, "not ended"),
        ];
        parts.extend(counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{} {word}", text::count(*n))));
    }
    if row.attempts > row.tasks as u64 {
        parts.push(format!("{} attempts", row.attempts));
    }
    parts.join(", ")
}

fn time(seconds: Option<f64>) -> String {
    seconds.map_or(String::new(), |seconds| text::duration(std::time::Duration::from_secs_f64(seconds)))
}

/// Each character beyond ASCII as an escape, but for line ends and colours.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '…' => out.push_str("..."),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&text::safe_ascii(c.encode_utf8(&mut [0; 4]))),
        }
    }
    out
}
