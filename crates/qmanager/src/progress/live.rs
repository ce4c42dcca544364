//! A frame that is redrawn in place: what runs, what ended lately, totals.

use std::fmt::Write as _;

use job_queue::Micros;
use workflow_model::TaskStatus;

use super::board::{Board, Line, percent, reason};
use super::show::Options;
use crate::text::{self, Tone, between, paint};

/// Columns of a bar.
const BAR: usize = 12;
/// The frame never takes more rows than this, however high the terminal is.
const MOST_ROWS: usize = 40;

#[derive(Debug, Default)]
pub(super) struct Live {
    /// To be printed above the frame.
    pub(super) notes: Vec<String>,
    /// The frame on the screen.
    shown: Vec<String>,
}

impl Live {
    /// What to write so that the screen shows the present state; `None` if it does already.
    pub(super) fn frame(&mut self, board: &Board, options: &Options, now: Micros) -> Option<String> {
        let rows = rows(board, options, now);
        if rows == self.shown && self.notes.is_empty() {
            return None;
        }
        let mut out = self.home();
        for note in self.notes.drain(..) {
            let _ = write!(out, "{note}\x1b[K\r\n");
        }
        for row in &rows {
            let _ = write!(out, "{row}\x1b[K\r\n");
        }
        // Whatever a longer frame left below.
        out.push_str("\x1b[J");
        self.shown = rows;
        Some(out)
    }

    /// Removes the frame.
    pub(super) fn clear(&mut self) -> String {
        let mut out = self.home();
        out.push_str("\x1b[J");
        for note in self.notes.drain(..) {
            let _ = write!(out, "{note}\r\n");
        }
        self.shown.clear();
        out
    }

    /// To the first line of the frame.
    fn home(&self) -> String {
        match self.shown.len() {
            0 => "\r".to_owned(),
            rows => format!("\r\x1b[{rows}A"),
        }
    }
}

fn rows(board: &Board, options: &Options, now: Micros) -> Vec<String> {
    let shown = choose(board, options.height.saturating_sub(3).clamp(1, MOST_ROWS));
    // The last column stays free: a full line would wrap on some terminals.
    let width = options.width.saturating_sub(1).max(10);
    let column = shown.iter().map(|line| text::width(&title(line, options))).max().unwrap_or(0).min(width / 2);
    let mut rows: Vec<String> = shown.iter().map(|line| row(board, line, (column, width), options, now)).collect();
    let hidden = board.lines.len() - shown.len();
    if hidden > 0 {
        let waiting =
            board.lines.len() - board.lines.iter().filter(|line| line.done() > 0 || line.active() > 0).count();
        let more =
            format!("  {} {} more rows, {} of them waiting", dots(options), text::count(hidden), text::count(waiting));
        rows.push(paint(&clip(&more, width, options), Tone::Dim, options.color).into_owned());
    }
    rows.push(totals(board, options, width, now));
    rows
}

/// All rows if they fit, in the order of the workflow; else what runs (the longest first), then what ended last.
fn choose(board: &Board, room: usize) -> Vec<&Line> {
    if board.lines.len() <= room {
        return board.lines.iter().collect();
    }
    let room = room.saturating_sub(1);
    let mut active: Vec<&Line> = board.active.iter().map(|&line| &board.lines[line as usize]).collect();
    active.sort_by_key(|line| line.started);
    active.truncate(room);
    let recent = board.recent.iter().rev().map(|&line| &board.lines[line as usize]);
    let ended: Vec<&Line> = recent.filter(|line| line.active() == 0).take(room - active.len()).collect();
    active.extend(ended);
    active
}

fn title(line: &Line, options: &Options) -> String {
    match line.members {
        1 => line.name.clone(),
        n => format!("{} {}{}", line.name, if options.ascii { 'x' } else { '×' }, text::count(n as usize)),
    }
}

/// `● train        12.3 s  attempt 2`
fn row(board: &Board, line: &Line, (column, width): (usize, usize), options: &Options, now: Micros) -> String {
    let status = line.status();
    let tone = Tone::of_task(status);
    let name = text::cut_middle(&title(line, options), column, options.ascii).into_owned();
    let name_tone = if matches!(status, TaskStatus::Succeeded | TaskStatus::Running) { Tone::Plain } else { tone };
    let time = match (line.started, line.ended) {
        (Some(started), Some(ended)) if line.done() == line.members => text::duration(between(started, ended)),
        (Some(started), _) if status != TaskStatus::Waiting => elapsed(started, now),
        _ => String::new(),
    };
    let mut out = format!(
        "{} {}",
        paint(text::mark(status, options.ascii), tone, options.color),
        paint(&text::pad(&name, column), name_tone, options.color),
    );
    if width >= column + 14 {
        let _ = write!(out, "  {time:>10}");
    }
    let room = width.saturating_sub(column + 16);
    let detail = match board.single(line) {
        Some(_) => single(board, line, now, options).map(|text| (clip(&text, room, options), tone)),
        None => Some((fan_out(line, room, options), Tone::Plain)),
    };
    if let Some((detail, tone)) = detail.filter(|(detail, _)| !detail.is_empty() && room > 4) {
        out.push_str("  ");
        out.push_str(&paint(&detail, tone, options.color));
    }
    out.trim_end().to_owned()
}

/// What is to be said of one task besides its time.
fn single(board: &Board, line: &Line, now: Micros, options: &Options) -> Option<String> {
    let task = board.single(line)?;
    match task.status {
        TaskStatus::Running if task.attempt > 1 => Some(format!("attempt {}", task.attempt)),
        TaskStatus::Retrying => {
            let wait = task.retry_at.map(|at| between(now, at)).unwrap_or_default();
            // In whole seconds, so that the frame need not change at each tick.
            let wait = text::duration(std::time::Duration::from_secs(wait.as_secs() + 1)).replace(".0 s", " s");
            Some(format!("{}{}next attempt in {wait}", reason(task.cause, task.code), sep(options)))
        }
        TaskStatus::Failed => Some(reason(task.cause, task.code)),
        TaskStatus::Succeeded if task.attempt > 1 => Some(format!("attempt {}", task.attempt)),
        TaskStatus::Skipped | TaskStatus::Cancelled => Some(task.status.to_string()),
        _ => None,
    }
}

/// `██████░░░░░░  612✓ 3✗ 8●`
fn fan_out(line: &Line, room: usize, options: &Options) -> String {
    let done = line.done() as usize * BAR / (line.members as usize).max(1);
    let (full, empty) = if options.ascii { ("#", ".") } else { ("█", "░") };
    let mut out = format!("{}{} ", full.repeat(done), empty.repeat(BAR - done));
    let mut columns = BAR + 1;
    use TaskStatus::{Cancelled, Failed, Retrying, Running, Skipped, Succeeded};
    for status in [Succeeded, Failed, Cancelled, Skipped, Retrying, Running] {
        let count = line.count(status) as usize;
        if count == 0 {
            continue;
        }
        let word = format!("{}{}", text::count(count), text::mark(status, options.ascii));
        columns += 1 + text::width(&word);
        if columns > room {
            break;
        }
        out.push(' ');
        out.push_str(&paint(&word, Tone::of_task(status), options.color));
    }
    if columns > room && room < BAR + 1 { String::new() } else { out }
}

/// `job 3f2a9c1e · 12 of 41 tasks (29 %) · 3 of 8 running · 12.3 s · 1 failed`
fn totals(board: &Board, options: &Options, width: usize, now: Micros) -> String {
    let (done, all) = (board.done(), board.tasks.len());
    let mut parts = Vec::new();
    if let Some(job) = options.job {
        parts.push((format!("job {}", job.short()), Tone::Bold));
    }
    let tasks = format!("{} of {} ({} %)", text::count(done), text::counted(all, "task"), percent(done, all));
    parts.push((tasks, Tone::Plain));
    let running = board.count(TaskStatus::Running);
    let running = match options.parallel {
        Some(most) => format!("{running} of {most} running"),
        None => format!("{running} running"),
    };
    parts.push((running, Tone::Live));
    parts.push((elapsed(options.started, now), Tone::Plain));
    for status in [TaskStatus::Retrying, TaskStatus::Failed, TaskStatus::Cancelled, TaskStatus::Skipped] {
        if board.count(status) > 0 {
            parts.push((format!("{} {status}", text::count(board.count(status))), Tone::of_task(status)));
        }
    }
    let mut out = String::new();
    let mut columns = 0;
    for (part, tone) in parts {
        let more = text::width(&part) + if columns > 0 { text::width(sep(options)) } else { 0 };
        if columns + more > width {
            break;
        }
        if columns > 0 {
            out.push_str(sep(options));
        }
        columns += more;
        out.push_str(&paint(&part, tone, options.color));
    }
    out
}

/// Time so far; beyond ten seconds in whole seconds, so that a frame need not change at each tick.
fn elapsed(from: Micros, now: Micros) -> String {
    let time = between(from, now);
    match time.as_secs() {
        0..10 => text::duration(time),
        s @ 10..60 => format!("{s} s"),
        s => text::duration(std::time::Duration::from_secs(s)),
    }
}

fn clip(text: &str, width: usize, options: &Options) -> String {
    if options.ascii { text::cut_middle(text, width, true) } else { text::cut(text, width) }.into_owned()
}

fn sep(options: &Options) -> &'static str {
    if options.ascii { ", " } else { " · " }
}

fn dots(options: &Options) -> &'static str {
    if options.ascii { "..." } else { "…" }
}
