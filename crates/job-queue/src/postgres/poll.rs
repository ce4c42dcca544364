//! What a manager asks every few seconds and after each wake-up.

use std::time::Duration;

use workflow_model::QueueName;

use super::{
    codec::{self, get, parsed},
    failure::Failure,
    session::Session,
};
use crate::{Owner, Poll, word::cancel_how};

/// Of each queue asked for: its name, whether it has a job to claim now, when the next one's time comes, and the time now.
pub(super) const READY: &str = "SELECT asked.name, \
     coalesce(NOT q.paused AND (q.job_limit IS NULL OR q.job_limit > \
       (SELECT count(*) FROM qmanager.job WHERE owner_slot IS NOT NULL AND queue = asked.name)), true) AND \
     (EXISTS (SELECT FROM qmanager.job WHERE queue = asked.name AND status = 'queued' AND later IS NULL) OR \
      EXISTS (SELECT FROM qmanager.key_look WHERE queue = asked.name) OR \
      EXISTS (SELECT FROM qmanager.job WHERE queue = asked.name AND later IS NOT NULL AND later <= m.now)), \
     (SELECT min(later) FROM qmanager.job WHERE queue = asked.name AND later IS NOT NULL AND later > m.now \
       AND later < 9223372036854775807), m.now \
     FROM (SELECT qmanager.now_micros() AS now OFFSET 0) AS m \
     CROSS JOIN unnest($1::text[]) WITH ORDINALITY AS asked (name, place) \
     LEFT JOIN qmanager.queue q ON q.name = asked.name ORDER BY asked.place";

/// Jobs under way: owner, queue, the cancel asked for, whether the lease has expired, and its end.
pub(super) const UNDER_WAY: &str = "SELECT j.id, j.epoch, j.cancel, j.owner_host, j.owner_run_dir, j.owner_slot, j.queue, \
     coalesce(l.until < (SELECT qmanager.now_micros()), true), coalesce(l.until, 0) FROM qmanager.job j \
     LEFT JOIN qmanager.lease l ON l.job = j.id \
     WHERE j.owner_slot IS NOT NULL ORDER BY j.owner_slot, j.owner_run_dir, j.owner_host";

pub(super) async fn poll(session: &Session, queues: &[QueueName], host: &str) -> Result<Poll, Failure> {
    let asked: Vec<&str> = queues.iter().map(QueueName::as_str).collect();
    let values: [super::session::Param<'_>; 1] = [&asked];
    let (ready, under_way) = tokio::join!(session.rows(READY, &values), session.rows(UNDER_WAY, &[]));
    let mut poll = Poll::default();
    for row in ready? {
        if get(&row, 1)? {
            poll.ready.push(parsed(&row, 0)?);
        }
        let next: Option<i64> = get(&row, 2)?;
        if let Some(next) = next.filter(|next| poll.next.is_none_or(|first| *next < first)) {
            let wait = next.saturating_sub(get(&row, 3)?);
            (poll.next, poll.next_in) = (Some(next), Some(Duration::from_micros(wait.max(0).unsigned_abs())));
        }
    }
    for row in under_way? {
        let owner = Owner { host: get(&row, 3)?, run_dir: get(&row, 4)?, slot: get(&row, 5)? };
        if let Some(cancel) = get::<Option<&str>>(&row, 2)?
            && owner.host == host
        {
            poll.cancels.push((codec::job_id(get(&row, 0)?)?, codec::epoch(&row, 1)?, cancel_how(cancel)?));
        }
        if !asked.contains(&get::<&str>(&row, 6)?) {
            continue;
        }
        if get(&row, 7)? && poll.expired.last() != Some(&owner) {
            poll.expired.push(owner.clone());
        }
        let until: i64 = get(&row, 8)?;
        match poll.leases.last_mut().filter(|(last, _)| *last == owner) {
            Some((_, first)) => *first = until.min(*first),
            None => poll.leases.push((owner.clone(), until)),
        }
        if poll.owners.last() != Some(&owner) {
            poll.owners.push(owner);
        }
    }
    Ok(poll)
}
