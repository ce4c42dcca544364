//! Which tasks, attempts and streams `logs` shows.

use std::collections::HashSet;

use job_queue::TaskRow;
use workflow_model::{Attempt, TaskIx, TaskStatus};

use super::{Job, Stream};
use crate::{
    cli::LogsArgs,
    commands::{context::Context, pairs},
    exit::Error,
    select,
    text::safe,
};

/// From this many tasks on, `logs JOB` shows the ends of the failed ones.
const LARGE: usize = 50;
/// How many lines of each.
const TAIL: usize = 20;

/// What is shown.
pub(super) struct Choice {
    /// `None` = all.
    tasks: Option<HashSet<TaskIx>>,
    states: Vec<TaskStatus>,
    pub(super) attempts: Attempts,
    pub(super) streams: Vec<Stream>,
    /// The last so many lines of each.
    pub(super) tail: Option<usize>,
    /// `name|` before each line.
    pub(super) prefix: bool,
    /// Nothing was chosen, and the job is large.
    pub(super) only_failures: bool,
    /// How many tasks the job has.
    count: usize,
    /// The widest name, so that prefixes line up.
    pub(super) widest: usize,
}

/// Which attempts of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempts {
    /// The newest.
    Newest,
    /// All of them, in order.
    All,
    /// This one.
    One(Attempt),
}

impl Attempts {
    /// Those of a task, oldest first.
    pub(super) fn of(self, row: &TaskRow) -> impl Iterator<Item = Attempt> + use<> {
        let last = row.attempt.0;
        let (from, to) = match self {
            Self::Newest => (last.max(1), last),
            Self::All => (1, last),
            Self::One(attempt) => (attempt.0, attempt.0.min(last)),
        };
        (from..=to).map(Attempt)
    }
}

impl Choice {
    pub(super) fn of(context: &Context, args: &LogsArgs, job: &Job, rows: &[TaskRow]) -> Result<Self, Error> {
        let mut choice = Self::everything(job);
        let all: Vec<&str> = TaskStatus::ALL.iter().map(|status| status.as_str()).collect();
        choice.states = pairs::states(&args.state, &all)?;
        choice.attempts = attempts(args.attempt.as_deref())?;
        if args.out || args.err {
            choice.streams = vec![if args.out { Stream::Out } else { Stream::Err }];
        }
        choice.tail = args.tail;
        let named = select::tasks(&job.workflow, &args.task)?;
        if !named.is_empty() || !args.r#match.is_empty() {
            let mut tasks: HashSet<TaskIx> = named.iter().copied().collect();
            let matching = |name: &str| args.r#match.iter().any(|pattern| select::matches(pattern, name));
            tasks.extend(job.workflow.iter().filter(|(_, task)| matching(task.name.as_str())).map(|(ix, _)| ix));
            if tasks.is_empty() {
                let pattern = safe(&args.r#match.join(" ")).into_owned();
                return Err(Error::not_found(format!("no task matches {pattern}")));
            }
            choice.tasks = Some(tasks);
        } else if args.state.is_empty() && !args.follow && rows.len() > LARGE {
            choice.only_failures = true;
            choice.states = vec![TaskStatus::Failed, TaskStatus::Retrying];
            choice.tail = choice.tail.or(Some(TAIL));
            let failed = rows.iter().filter(|row| choice.has(row)).count();
            if failed > 0 {
                context.out.note(format_args!(
                    "the last {} lines of {failed} failed of {} tasks; --match '*' shows all",
                    choice.tail.unwrap_or(TAIL),
                    job.workflow.len()
                ));
            }
        }
        // One task that was named is wanted as it is, to be read by another program.
        let one_named = named.len() == 1 && args.r#match.is_empty();
        choice.prefix = !(args.no_prefix || one_named);
        choice.measure(job);
        Ok(choice)
    }

    /// All that the newest attempts write.
    pub(super) fn everything(job: &Job) -> Self {
        let mut choice = Self {
            tasks: None,
            states: Vec::new(),
            attempts: Attempts::Newest,
            streams: vec![Stream::Out, Stream::Err],
            tail: None,
            prefix: job.workflow.len() > 1,
            only_failures: false,
            count: job.workflow.len(),
            widest: 0,
        };
        choice.measure(job);
        choice
    }

    pub(super) fn has(&self, row: &TaskRow) -> bool {
        self.has_task(row.task) && (self.states.is_empty() || self.states.contains(&row.status))
    }

    pub(super) fn has_task(&self, task: TaskIx) -> bool {
        // A row of no task of the definition (a damaged database) has no name and no logs.
        task.index() < self.count && self.tasks.as_ref().is_none_or(|tasks| tasks.contains(&task))
    }

    fn measure(&mut self, job: &Job) {
        const WIDEST: usize = 24;
        let shown = job.workflow.iter().filter(|(ix, _)| self.has_task(*ix)).take(1000);
        let widths = shown.map(|(_, task)| crate::text::width(&safe(task.name.as_str())));
        self.widest = widths.max().unwrap_or(0).min(WIDEST);
    }
}

fn attempts(text: Option<&str>) -> Result<Attempts, Error> {
    match text {
        None => Ok(Attempts::Newest),
        Some("all") => Ok(Attempts::All),
        Some(number) => match number.parse::<u32>() {
            Ok(number) if number > 0 => Ok(Attempts::One(Attempt(number))),
            _ => Err(Error::usage(format!("--attempt {:?} is neither a number from 1 nor all", safe(number)))),
        },
    }
}
