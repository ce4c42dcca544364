//! Leases are prolonged, all of a manager's in one statement.

use std::time::Duration;

use workflow_model::{Epoch, JobId};

use super::{
    codec::parsed,
    db::{Db, Durability},
};
use crate::{Error, clock};

pub(super) const RENEW: &str = "UPDATE job SET lease_until = ?2 \
     FROM (SELECT value ->> 0 AS id, value ->> 1 AS epoch FROM json_each(?1)) AS held \
     WHERE job.id = held.id AND job.epoch = held.epoch AND job.status IN ('running', 'cancelling') RETURNING job.id";

pub(super) fn renew(db: &mut Db, leases: &[(JobId, Epoch)], ttl: Duration) -> Result<Vec<JobId>, Error> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = serde_json::to_string(leases).expect("BUG: ids and numbers are always JSON");
    db.write(Durability::Normal, |conn, now| {
        let mut statement = conn.prepare_cached(RENEW)?;
        let until = now.saturating_add(clock::micros(ttl));
        statement.query_and_then((&wanted, until), |row| parsed(row, 0))?.collect()
    })
}
