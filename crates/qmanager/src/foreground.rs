//! `qmanager run`: a manager with one worker, a run-dir of its own and a reserved queue that no daemon claims.

use std::{sync::Arc, time::Duration};

use job_queue::{JobQueue, NewJob, OpenOptions};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use workflow_model::{JobId, QueueName};

use crate::manager::{Ended, Error, Manager, Notice, Options, Watch};

/// How often a live view is drawn anew.
const FRAME: Duration = Duration::from_millis(100);

/// The job that a foreground run is about.
#[derive(Debug)]
pub enum Job {
    /// To be submitted.
    New(Box<NewJob>),
    /// An interrupted one, or a new round: it is in its reserved queue already.
    Old(JobId),
}

/// Who shows what happens.
pub trait Observer {
    /// Something happened.
    fn notice(&mut self, notice: Notice);
    /// Time has passed: draw.
    fn frame(&mut self);
}

/// A reserved queue's name, `run-` and 8 letters: a queue's name does not end in a digit.
#[must_use]
pub fn reserved_queue(job: JobId) -> QueueName {
    // The digits 0-9a-f become the letters a-p.
    let letter = |digit: char| digit.to_digit(16).and_then(|value| char::from_digit(value + 10, 26)).unwrap_or('a');
    let name = format!("run-{}", job.short().chars().map(letter).collect::<String>());
    QueueName::new(&name).expect("BUG: letters after run-")
}

/// Whether a queue is a foreground run's.
#[must_use]
pub fn is_reserved(queue: &QueueName) -> bool {
    queue
        .as_str()
        .strip_prefix("run-")
        .is_some_and(|id| id.len() == 8 && id.bytes().all(|b| (b'a'..=b'p').contains(&b)))
}

/// Runs one job to its end, or until a signal stops it. The options' pool is the reserved queue's. Answers the queue too:
/// what it says of the job is told next, and to open it once more takes a millisecond.
///
/// # Errors
/// The worker cannot be started, or the queue not be used.
pub async fn run(options: Options, job: Job, observer: &mut dyn Observer) -> Result<(Ended, Arc<dyn JobQueue>), Error> {
    let (db, password_file) = (options.db.clone(), options.password_file.clone());
    // The worker starts while the queue is opened and the job submitted: both take a millisecond or two.
    let manager = Manager::start(options, true)?;
    // The next daemon, or the WAL's own limit, writes it back: a short run does not wait for the disk at its end.
    let options = OpenOptions { checkpoint_on_close: false, on_caller: true, password_file, ..OpenOptions::default() };
    let (queue, job) = match begin(&db, &options, job).await {
        Ok(begun) => begun,
        Err(error) => {
            manager.give_up().await;
            return Err(error.into());
        }
    };
    let (notices, mut heard) = mpsc::unbounded_channel();
    let serving = manager.serve(Arc::clone(&queue), Some(Watch { job, notices }));
    tokio::pin!(serving);
    let mut frames = tokio::time::interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut serving => break ended,
            Some(notice) = heard.recv() => observer.notice(notice),
            _ = frames.tick() => observer.frame(),
        }
    };
    while let Ok(notice) = heard.try_recv() {
        observer.notice(notice);
    }
    Ok((ended?, queue))
}

/// Opens the queue, and submits the job if it is new.
async fn begin(db: &str, options: &OpenOptions, job: Job) -> Result<(Arc<dyn JobQueue>, JobId), job_queue::Error> {
    let queue = job_queue::open(db, options)?;
    let job = match job {
        Job::New(job) => queue.submit(vec![*job]).await?.remove(0).id,
        Job::Old(job) => job,
    };
    Ok((queue, job))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_queues_are_told_from_others() {
        let queue = reserved_queue(JobId::generate());
        assert!(is_reserved(&queue), "{queue}");
        assert!(!is_reserved(&QueueName::new("run-nightly-x").unwrap()));
        assert!(!is_reserved(&QueueName::default()));
    }
}
