//! What a manager asks once a second and after each wake-up.

use std::time::Duration;

use workflow_model::{Epoch, QueueName};

use super::{
    codec::{parsed, queue_name},
    db::Db,
};
use crate::{Error, Owner, Poll, clock, word::cancel_how};

/// Of each queue asked for: its name, whether it has a job to claim now, and when the next one's time comes.
pub(super) const READY: &str = "SELECT asked.value, \
     coalesce(NOT queue.paused AND (queue.job_limit IS NULL OR queue.job_limit > \
       (SELECT count(*) FROM job WHERE owner_slot IS NOT NULL AND queue = asked.value)), TRUE) AND \
     (EXISTS (SELECT 1 FROM job WHERE queue = asked.value AND status = 'queued' AND later IS NULL) OR \
      EXISTS (SELECT 1 FROM key_look WHERE queue = asked.value) OR \
      EXISTS (SELECT 1 FROM job WHERE queue = asked.value AND later IS NOT NULL AND later <= ?2)), \
     (SELECT min(later) FROM job WHERE queue = asked.value AND later IS NOT NULL AND later > ?2 \
       AND later < 9223372036854775807) \
     FROM json_each(?1) AS asked LEFT JOIN queue ON queue.name = asked.value";

/// Jobs under way: owner, queue, and the cancel asked for.
pub(super) const UNDER_WAY: &str = "SELECT id, epoch, cancel, owner_host, owner_run_dir, owner_slot, queue FROM job \
     WHERE owner_slot IS NOT NULL ORDER BY owner_slot, owner_run_dir, owner_host";

pub(super) fn poll(db: &mut Db, queues: &[QueueName], host: &str) -> Result<Poll, Error> {
    let asked = serde_json::to_string(queues).expect("BUG: names are always JSON");
    let now = clock::now();
    db.read(|conn| {
        let mut poll = Poll::default();
        let mut statement = conn.prepare_cached(READY)?;
        let mut rows = statement.query((&asked, now))?;
        while let Some(row) = rows.next()? {
            if row.get(1)? {
                poll.ready.push(parsed(row, 0)?);
            }
            let next: Option<i64> = row.get(2)?;
            if let Some(next) = next.filter(|next| poll.next.is_none_or(|first| *next < first)) {
                let wait = next.saturating_sub(now).max(0).unsigned_abs();
                (poll.next, poll.next_in) = (Some(next), Some(Duration::from_micros(wait)));
            }
        }
        let mut statement = conn.prepare_cached(UNDER_WAY)?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let owner = Owner { host: row.get(3)?, run_dir: row.get(4)?, slot: row.get(5)? };
            let cancel = row.get_ref(2)?.as_str_or_null().map_err(rusqlite::Error::from)?;
            if let Some(cancel) = cancel
                && owner.host == host
            {
                poll.cancels.push((parsed(row, 0)?, Epoch(row.get(1)?), cancel_how(cancel)?));
            }
            let queue = queue_name(row.get_ref(6)?.as_str().map_err(rusqlite::Error::from)?)?;
            if queues.contains(&queue) && poll.owners.last() != Some(&owner) {
                poll.owners.push(owner);
            }
        }
        Ok(poll)
    })
}
