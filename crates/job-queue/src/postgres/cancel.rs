//! A person wants a job to stop.

use workflow_model::{JobId, JobStatus};

use super::{
    codec::{get, key, parsed},
    failure::Failure,
    release::close_cancelled,
    session::Session,
};
use crate::{CancelHow, Error, word::cancel_text};

pub(super) async fn cancel(session: &Session, job: JobId, how: CancelHow) -> Result<JobStatus, Failure> {
    const LOCK: &str = "SELECT seq, status FROM qmanager.job WHERE id = $1 FOR NO KEY UPDATE";
    const INTENT: &str = "UPDATE qmanager.job SET cancel = $2 WHERE seq = $1 AND coalesce(cancel, '') <> 'now'";
    session.begin().await?;
    let row = session.row(LOCK, &[&key(job)]).await?.ok_or(Error::NotFound(job))?;
    let (seq, status): (i64, JobStatus) = (get(&row, 0)?, parsed(&row, 1)?);
    let stands = match status {
        JobStatus::Queued => {
            close_cancelled(session, seq, "cancelled while it was queued").await?;
            JobStatus::Cancelled
        }
        JobStatus::Running | JobStatus::Cancelling => {
            session.change(INTENT, &[&seq, &cancel_text(how)]).await?;
            status
        }
        JobStatus::Succeeded | JobStatus::Cancelled | JobStatus::Failed => status,
    };
    session.commit().await?;
    Ok(stands)
}
