//! Leases are prolonged, all of a manager's in one statement, in a table that nothing else waits for.

use std::time::Duration;

use uuid::Uuid;
use workflow_model::{Epoch, JobId};

use super::{
    codec::{self, get, key},
    failure::Failure,
    session::Session,
};
use crate::{Error, clock};

pub(super) async fn renew(session: &Session, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Failure> {
    const SQL: &str = "UPDATE qmanager.lease l SET until = qmanager.now_micros() + $3 \
         FROM unnest($1::uuid[], $2::bigint[]) AS held (job, epoch) \
         WHERE l.job = held.job AND l.epoch = held.epoch RETURNING l.job";
    let jobs: Vec<Uuid> = leases.iter().map(|(job, _)| key(*job)).collect();
    let epochs = leases.iter().map(|(_, epoch)| codec::epoch_value(*epoch)).collect::<Result<Vec<i64>, Error>>()?;
    let rows = session.rows(SQL, &[&jobs, &epochs, &clock::micros(ttl)]).await?;
    Ok(rows.iter().map(|row| codec::job_id(get(row, 0)?)).collect::<Result<_, Error>>()?)
}
