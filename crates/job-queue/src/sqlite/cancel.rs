//! A person wants a job to stop.

use workflow_model::{JobId, JobStatus};

use super::{
    codec::{self, Deltas},
    db::{Db, Durability},
    end::{cancel_open_tasks, cancelled, close},
};
use crate::{CancelHow, Error, word::cancel_text};

pub(super) fn cancel(db: &mut Db, job: JobId, how: CancelHow) -> Result<JobStatus, Error> {
    db.write(Durability::Full, |conn, now| {
        let brief = codec::brief(conn, job)?;
        match brief.status {
            JobStatus::Queued => {
                let mut deltas = Deltas::default();
                cancel_open_tasks(conn, brief.seq, &mut deltas)?;
                let end = cancelled("cancelled while it was queued");
                close(conn, brief.seq, now, &end, deltas)?;
                Ok(JobStatus::Cancelled)
            }
            JobStatus::Running | JobStatus::Cancelling => {
                conn.prepare_cached("UPDATE job SET cancel = ?2 WHERE seq = ?1 AND coalesce(cancel, '') <> 'now'")?
                    .execute((brief.seq, cancel_text(how)))?;
                Ok(brief.status)
            }
            JobStatus::Succeeded | JobStatus::Cancelled | JobStatus::Failed => Ok(brief.status),
        }
    })
}
