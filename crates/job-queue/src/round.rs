//! What a new round of a job begins with, whichever database it is.

use std::collections::{HashMap, HashSet};

use workflow_model::{Attempt, JobId, JobStatus, TaskIx};

use crate::{Error, NewRound, TaskRow};

impl NewRound {
    /// Refuses a job that has not ended, or has been retried by another.
    pub(crate) fn fits(&self, job: JobId, status: JobStatus, round: u32) -> Result<(), Error> {
        if !status.is_terminal() {
            return Err(Error::Refused(format!("job {job} is {status}; only a job that has ended can be retried")));
        }
        if round != self.seen {
            return Err(Error::Refused(format!(
                "job {job} has been retried meanwhile (round {round}, not {}); look at it again",
                self.seen
            )));
        }
        Ok(())
    }

    /// The rows of the new round, from those of the old.
    pub(crate) fn rows(&self, old: Vec<TaskRow>) -> Vec<TaskRow> {
        let attempts: HashMap<TaskIx, Attempt> = old.iter().map(|row| (row.task, row.attempt)).collect();
        let rows = match &self.definition {
            None => old,
            Some((.., kept)) => TaskRow::moved(&old, kept),
        };
        let reset: HashSet<TaskIx> = self.reset.iter().copied().collect();
        let begun = rows.into_iter().map(|row| {
            if !reset.contains(&row.task) && row.status.is_terminal() {
                return row;
            }
            // Reports and logs are named by index and attempt: neither this task's nor another's may come again.
            let last = attempts.get(&row.task).copied().unwrap_or_default().max(row.attempt);
            TaskRow::waiting(row.task, last)
        });
        begun.collect()
    }
}
