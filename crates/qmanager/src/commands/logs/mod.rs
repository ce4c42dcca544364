//! `qmanager logs`: what tasks wrote, as it is on disk, once or as it comes.

mod choose;
mod follow;
mod print;

use std::sync::Arc;

use job_queue::{JobQueue, JobRow, TaskRow};
use task_process::JobDir;
use workflow_model::{Attempt, JobId, TaskIx, Workflow};

use self::{
    choose::{Attempts, Choice},
    follow::Follow,
    print::Printer,
};
use super::context::Context;
use crate::{
    cli::LogsArgs,
    cut,
    exit::{Error, Exit},
    text::safe,
};

/// Which of a task's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
        }
    }
}

/// A job whose logs are looked at.
pub(super) struct Job {
    row: JobRow,
    workflow: Workflow,
    folder: JobDir,
}

impl Job {
    async fn of(context: &Context, queue: &dyn JobQueue, row: JobRow) -> Result<Self, Error> {
        let (workflow, _) = context.definition(queue, &row).await?;
        let folder = JobDir::new(context.layout()?.job(row.id), workflow.len());
        Ok(Self { row, workflow, folder })
    }

    fn name(&self, task: TaskIx) -> &str {
        self.workflow.task(task).name.as_str()
    }

    fn path(&self, task: TaskIx, attempt: Attempt, stream: Stream) -> std::path::PathBuf {
        let (out, err) = self.folder.logs(task, &self.workflow.task(task).name, attempt);
        match stream {
            Stream::Out => out,
            Stream::Err => err,
        }
    }
}

pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<Exit, Error> {
    let queue = context.queue_with(&[&args.job])?;
    let row = context.job(&*queue, &args.job).await?;
    context.see_files_of(&row)?;
    let job = Job::of(context, &*queue, row).await?;
    let rows = queue.tasks(job.row.id).await?;
    let choice = Choice::of(context, args, &job, &rows)?;
    let mut printer = Printer::new(context, &choice);
    if args.follow {
        Follow::new(context, &queue, &job, &choice).run(&mut printer).await?;
        return Ok(Exit::Done);
    }
    let shown = print_all(&job, &rows, &choice, &mut printer)?;
    if shown == 0 {
        context.out.note(nothing(&job, &rows, &choice));
    }
    for row in rows.iter().filter(|row| choice.has(row)) {
        if let Some(lacks) = cut::of(row.message.as_deref()) {
            context.out.note(format_args!("{}: {}", safe(job.name(row.task)), safe(lacks)));
        }
    }
    Ok(Exit::Done)
}

/// `submit --follow`: everything that a new job writes, until it has ended; the exit code is the job's.
pub(super) async fn follow_whole_job(context: &Context, queue: &Arc<dyn JobQueue>, id: JobId) -> Result<Exit, Error> {
    let row = queue.get(id).await?;
    let job = Job::of(context, &**queue, row).await?;
    let choice = Choice::everything(&job);
    let mut printer = Printer::new(context, &choice);
    let status = Follow::new(context, queue, &job, &choice).run(&mut printer).await?;
    context.out.note(format_args!("job {} {status}", id.short()));
    Ok(Exit::of_job(status))
}

/// Prints what there is; answers how many streams had something.
fn print_all(job: &Job, rows: &[TaskRow], choice: &Choice, printer: &mut Printer<'_>) -> Result<usize, Error> {
    let mut shown = 0;
    for row in rows.iter().filter(|row| choice.has(row)) {
        for attempt in choice.attempts.of(row) {
            for stream in &choice.streams {
                let path = job.path(row.task, attempt, *stream);
                shown += usize::from(printer.file(&path, row.task, job.name(row.task), attempt, *stream)?);
            }
        }
    }
    Ok(shown)
}

fn nothing(job: &Job, rows: &[TaskRow], choice: &Choice) -> String {
    let id = job.row.id.short();
    if choice.only_failures {
        return format!(
            "no task of this job has failed; name a task, or see them all with `qmanager logs {id} --match '*'`"
        );
    }
    let begun = rows.iter().filter(|row| choice.has(row) && row.attempt > Attempt(0)).count();
    if begun == 0 {
        return format!("nothing has run yet; `qmanager explain {id}` says why");
    }
    if let Attempts::One(attempt) = choice.attempts {
        return format!("there is no output of attempt {attempt}");
    }
    "nothing was written".into()
}
