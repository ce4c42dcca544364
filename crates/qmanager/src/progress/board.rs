//! What is known of the tasks: the newest state of each, and counts for each row that is shown.

use std::collections::{BTreeSet, VecDeque};

use job_queue::{Micros, TaskRow};
use workflow_model::{Cause, TaskStatus};

use crate::graph::{Graph, folds};
use crate::text;

/// How many rows that ended lately are remembered for a screen that cannot show all.
const RECENT: usize = 64;

/// A task or a fan-out.
#[derive(Debug)]
pub(super) struct Line {
    /// Safe to print.
    pub(super) name: String,
    /// The task, of a fan-out the first.
    pub(super) first: u32,
    pub(super) members: u32,
    /// By status, in the order of [`TaskStatus::ALL`].
    counts: [u32; 7],
    /// When the first attempt began.
    pub(super) started: Option<Micros>,
    /// When the last end was.
    pub(super) ended: Option<Micros>,
}

impl Line {
    pub(super) fn count(&self, status: TaskStatus) -> u32 {
        self.counts[status as usize]
    }

    /// How many tasks are terminal.
    pub(super) fn done(&self) -> u32 {
        TaskStatus::ALL.iter().filter(|status| status.is_terminal()).map(|&status| self.count(status)).sum()
    }

    /// How many attempts are under way or about to begin again.
    pub(super) fn active(&self) -> u32 {
        self.count(TaskStatus::Running) + self.count(TaskStatus::Retrying)
    }

    /// The status that stands for the row.
    pub(super) fn status(&self) -> TaskStatus {
        use TaskStatus::{Cancelled, Failed, Retrying, Running, Skipped, Succeeded, Waiting};
        if self.done() == self.members {
            let worst = [Failed, Cancelled, Succeeded, Skipped].into_iter().find(|&s| self.count(s) > 0);
            return worst.unwrap_or(Succeeded);
        }
        match (self.count(Running), self.count(Retrying), self.done()) {
            (0, 0, 0) => Waiting,
            (0, 1.., _) => Retrying,
            _ => Running,
        }
    }
}

/// The newest state of a task.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) line: u32,
    pub(super) status: TaskStatus,
    pub(super) attempt: u32,
    pub(super) started: Option<Micros>,
    pub(super) ended: Option<Micros>,
    pub(super) retry_at: Option<Micros>,
    pub(super) cause: Option<Cause>,
    pub(super) code: Option<i32>,
}

/// A change that a row of the queue brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) task: u32,
    before: TaskStatus,
}

#[derive(Debug)]
pub(super) struct Board {
    pub(super) lines: Vec<Line>,
    pub(super) tasks: Vec<Task>,
    /// Names of the tasks, safe to print.
    names: Vec<String>,
    counts: [u32; 7],
    /// Rows with attempts under way.
    pub(super) active: BTreeSet<u32>,
    /// Rows that ended, the newest last.
    pub(super) recent: VecDeque<u32>,
}

impl Board {
    pub(super) fn new(graph: &Graph, fold: usize, ascii: bool) -> Self {
        let safe = |name: &str| if ascii { text::safe_ascii(name) } else { text::safe(name) }.into_owned();
        let fresh = Task {
            line: 0,
            status: TaskStatus::Waiting,
            attempt: 0,
            started: None,
            ended: None,
            retry_at: None,
            cause: None,
            code: None,
        };
        let mut tasks = vec![fresh; graph.nodes().len()];
        let mut lines = Vec::new();
        for (line, fold) in (0u32..).zip(folds(graph, fold)) {
            let members = u32::try_from(fold.members.len()).unwrap_or(u32::MAX);
            fold.members.iter().for_each(|&task| tasks[task as usize].line = line);
            let mut counts = [0; 7];
            counts[TaskStatus::Waiting as usize] = members;
            let (name, first) = (safe(&fold.label), fold.members[0]);
            lines.push(Line { name, first, members, counts, started: None, ended: None });
        }
        let mut counts = [0; 7];
        counts[TaskStatus::Waiting as usize] = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let names = graph.nodes().iter().map(|node| safe(&node.label)).collect();
        Self { lines, tasks, names, counts, active: BTreeSet::new(), recent: VecDeque::new() }
    }

    /// Takes in a row; `None` if it is not newer than what was known, or of no task of this job.
    pub(super) fn apply(&mut self, row: &TaskRow) -> Option<Change> {
        let task = self.tasks.get_mut(row.task.index())?;
        let change = Change { task: row.task.0, before: task.status };
        let is_new = (task.status, task.attempt) != (row.status, row.attempt.0);
        task.status = row.status;
        task.attempt = row.attempt.0;
        (task.started, task.ended, task.retry_at) = (row.started, row.ended, row.retry_at);
        (task.cause, task.code) = (row.cause, row.code);

        let at = task.line;
        let line = &mut self.lines[at as usize];
        for counts in [&mut line.counts, &mut self.counts] {
            counts[change.before as usize] -= 1;
            counts[row.status as usize] += 1;
        }
        line.started = line.started.into_iter().chain(row.started).min();
        line.ended = line.ended.max(row.ended);
        if !is_new {
            // Only its times may have become known.
            return None;
        }
        if line.active() > 0 {
            self.active.insert(at);
        } else {
            self.active.remove(&at);
        }
        if row.status.is_terminal() && line.done() == line.members {
            // It may have ended in an earlier round too.
            self.recent.retain(|&line| line != at);
            self.recent.push_back(at);
            if self.recent.len() > RECENT {
                self.recent.pop_front();
            }
        }
        Some(change)
    }

    pub(super) fn count(&self, status: TaskStatus) -> usize {
        self.counts[status as usize] as usize
    }

    /// How many tasks are terminal.
    pub(super) fn done(&self) -> usize {
        TaskStatus::ALL.iter().filter(|status| status.is_terminal()).map(|&status| self.count(status)).sum()
    }

    pub(super) fn name(&self, task: u32) -> &str {
        &self.names[task as usize]
    }

    /// Of a row that stands for one task: the task.
    pub(super) fn single(&self, line: &Line) -> Option<&Task> {
        (line.members == 1).then(|| &self.tasks[line.first as usize])
    }
}

/// Why an attempt did not succeed, in few words: `exit code 2`, `signal 9`, `timeout`.
pub(super) fn reason(cause: Option<Cause>, code: Option<i32>) -> String {
    match (cause, code) {
        (Some(Cause::UserExit), Some(code)) => format!("exit code {code}"),
        (Some(Cause::Signal), Some(code)) if code > 128 => format!("signal {}", code - 128),
        (Some(cause), _) => cause.as_str().replace('_', " "),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown".to_owned(),
    }
}

/// How many of a hundred.
pub(super) fn percent(part: usize, whole: usize) -> usize {
    (part * 100).checked_div(whole).unwrap_or(100)
}
