//! Plain lines, for logs and pipes: one for each thing that happened, few for large fan-outs.

use job_queue::Micros;
use workflow_model::TaskStatus;

use super::board::{Board, Change, percent, reason};
use super::show::Options;
use crate::text::{self, Tone, between, paint};

/// Of larger fan-outs only failures are told, and each tenth.
const LARGE_FAN_OUT: u32 = 50;
/// Of jobs with more rows than this, likewise.
const LARGE_JOB: usize = 1000;
/// More tasks than this that were skipped or cancelled at once become one line.
const MANY: usize = 5;

#[derive(Debug)]
pub(super) struct Plain {
    /// To be written.
    pub(super) lines: Vec<String>,
    /// Tasks that began since the last time: told only if they have not ended by then.
    begun: Vec<u32>,
    /// Tasks that ended without having run since the last time.
    dropped: Vec<u32>,
    /// The last tenth that was told, of each row, and of the whole of a large job.
    tenths: Vec<u8>,
    tenth: u8,
    large: bool,
}

impl Plain {
    pub(super) fn new(board: &Board) -> Self {
        let large = board.lines.len() > LARGE_JOB;
        let tenths = vec![0; board.lines.len()];
        Self { lines: Vec::new(), begun: Vec::new(), dropped: Vec::new(), tenths, tenth: 0, large }
    }

    /// Something became known of a task.
    pub(super) fn changed(
        &mut self,
        board: &Board,
        change: Change,
        message: Option<&str>,
        (options, now): (&Options, Micros),
    ) {
        let task = &board.tasks[change.task as usize];
        let line = &board.lines[task.line as usize];
        let many = self.large || line.members > LARGE_FAN_OUT;
        match task.status {
            TaskStatus::Waiting => {}
            TaskStatus::Running if many => {}
            TaskStatus::Running => self.begun.push(change.task),
            TaskStatus::Succeeded if many => {}
            TaskStatus::Skipped | TaskStatus::Cancelled if task.started.is_none() => {
                if !many {
                    self.dropped.push(change.task);
                }
            }
            TaskStatus::Retrying => {
                let wait = task.retry_at.map(|at| between(now, at)).unwrap_or_default();
                let why = reason(task.cause, task.code);
                let what = format!("attempt {}: {why}, the next in {}", task.attempt, text::duration(wait));
                self.say(board, change.task, &what, (options, now));
            }
            TaskStatus::Succeeded | TaskStatus::Failed | TaskStatus::Skipped | TaskStatus::Cancelled => {
                let mut what = task.status.to_string();
                if let (Some(started), Some(ended)) = (task.started, task.ended) {
                    what = format!("{what} after {}", text::duration(between(started, ended)));
                }
                if task.status == TaskStatus::Failed {
                    let why = message.map_or_else(|| reason(task.cause, task.code), |m| text::safe(m).into_owned());
                    what = format!("{what}: {why}");
                }
                if task.attempt > 1 {
                    what = format!("{what} (attempt {})", task.attempt);
                }
                self.say(board, change.task, &what, (options, now));
            }
        }
        if task.status.is_terminal() && many {
            self.tell_tenth(board, task.line, (options, now));
        }
    }

    /// The lines so far.
    pub(super) fn take(&mut self, board: &Board, options: &Options, now: Micros) -> Option<String> {
        for task in std::mem::take(&mut self.begun) {
            let state = &board.tasks[task as usize];
            if state.status == TaskStatus::Running {
                let attempt = if state.attempt > 1 { format!(" (attempt {})", state.attempt) } else { String::new() };
                self.say(board, task, &format!("started{attempt}"), (options, now));
            }
        }
        self.tell_dropped(board, options, now);
        if self.lines.is_empty() {
            return None;
        }
        let mut out = self.lines.join("\n");
        out.push('\n');
        self.lines.clear();
        Some(out)
    }

    /// `[  12.3 s] ✗ train failed after 4.0 s: exit code 1`
    fn say(&mut self, board: &Board, task: u32, what: &str, (options, now): (&Options, Micros)) {
        let status = board.tasks[task as usize].status;
        let what = if options.ascii { text::safe_ascii(what) } else { what.into() };
        let tone = Tone::of_task(status);
        let name = board.name(task);
        let mark = paint(text::mark(status, options.ascii), tone, options.color);
        let name = paint(name, Tone::Bold, options.color);
        self.lines.push(format!("{} {mark} {name} {what}", stamp(options, now)));
    }

    fn tell_dropped(&mut self, board: &Board, options: &Options, now: Micros) {
        let dropped = std::mem::take(&mut self.dropped);
        for status in [TaskStatus::Skipped, TaskStatus::Cancelled] {
            let of: Vec<u32> = dropped.iter().copied().filter(|&t| board.tasks[t as usize].status == status).collect();
            if of.len() <= MANY {
                of.iter().for_each(|&task| self.say(board, task, status.as_str(), (options, now)));
                continue;
            }
            let mark = paint(text::mark(status, options.ascii), Tone::of_task(status), options.color);
            let names: Vec<&str> = of.iter().take(MANY).map(|&task| board.name(task)).collect();
            let dots = if options.ascii { "..." } else { "…" };
            let what = format!("{} {status}: {}, {dots}", text::counted(of.len(), "task"), names.join(", "));
            self.lines.push(format!("{} {mark} {what}", stamp(options, now)));
        }
    }

    /// `[  12.3 s] resize ×1,000: 60 %, 600 of 1,000, 3 failed`
    fn tell_tenth(&mut self, board: &Board, at: u32, (options, now): (&Options, Micros)) {
        let line = &board.lines[at as usize];
        let (name, done, all, failed, told) = if self.large {
            let failed = board.count(TaskStatus::Failed);
            ("all tasks".to_owned(), board.done(), board.tasks.len(), failed, &mut self.tenth)
        } else {
            let times = if options.ascii { 'x' } else { '×' };
            let name = format!("{} {times}{}", line.name, text::count(line.members as usize));
            let failed = line.count(TaskStatus::Failed) as usize;
            (name, line.done() as usize, line.members as usize, failed, &mut self.tenths[at as usize])
        };
        let tenth = u8::try_from(percent(done, all) / 10).unwrap_or(10);
        if tenth <= *told {
            return;
        }
        *told = tenth;
        let failed = if failed > 0 { format!(", {} failed", text::count(failed)) } else { String::new() };
        let stamp = stamp(options, now);
        self.lines.push(format!(
            "{stamp} {name}: {} %, {} of {}{failed}",
            tenth * 10,
            text::count(done),
            text::count(all)
        ));
    }
}

fn stamp(options: &Options, now: Micros) -> String {
    let time = text::duration(between(options.started, now));
    paint(&format!("[{time:>8}]"), Tone::Dim, options.color).into_owned()
}
