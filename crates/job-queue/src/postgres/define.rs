//! A definition that came from SQL has been checked.

use workflow_model::{Epoch, JobId};

use super::{
    codec::{self, key},
    failure::Failure,
    session::Session,
};
use crate::{Checked, Error};

pub(super) async fn define(session: &Session, job: JobId, epoch: Epoch, checked: &Checked) -> Result<(), Failure> {
    const SQL: &str = "WITH held AS (UPDATE qmanager.job SET hash = $3, tasks = $4 WHERE id = $1 AND epoch = $2 \
         AND status IN ('running', 'cancelling') RETURNING seq) \
         UPDATE qmanager.definition SET definition = $5, settings = $6 FROM held WHERE job = held.seq";
    let Checked { definition, hash, tasks, settings } = checked;
    let tasks = codec::narrow(*tasks)?;
    let changed =
        session.change(SQL, &[&key(job), &codec::epoch_value(epoch)?, hash, &tasks, definition, settings]).await?;
    if changed == 0 { Err(Error::Fenced.into()) } else { Ok(()) }
}
