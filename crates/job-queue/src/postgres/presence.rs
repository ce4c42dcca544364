//! Who serves a queue. The session on which a manager listens holds a shared advisory lock for each of its queues: it is
//! there as long as the manager is connected, goes by itself when it is gone, and needs no row, no beat and no right.

use workflow_model::QueueName;

use super::{failure::Failure, session::Session};

/// The locks' first number, ours alone in the database ("QMGP"); the second is the queue's.
const SPACE: i32 = 0x514d_4750;

/// Says once a session that its manager serves these queues. Shared locks wait for nobody.
pub(super) async fn say(session: &Session, queues: &[QueueName]) -> Result<(), Failure> {
    const SQL: &str = "SELECT pg_try_advisory_lock_shared($1, queue) FROM unnest($2::integer[]) AS queue";
    if session.is_present() {
        return Ok(());
    }
    let keys: Vec<i32> = queues.iter().map(key).collect();
    session.rows_once(SQL, &[&SPACE, &keys]).await?;
    session.set_present();
    Ok(())
}

/// Whether a manager that serves the queue is connected to this database.
pub(super) async fn is_served(session: &Session, queue: &QueueName) -> Result<bool, Failure> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_database d ON d.oid = database \
         WHERE locktype = 'advisory' AND datname = current_database() AND classid::bigint = $1 \
           AND objid::bigint = $2 AND objsubid = 2 AND granted)";
    let (space, queue) = (i64::from(SPACE), i64::from(key(queue).cast_unsigned()));
    let row = session.row(SQL, &[&space, &queue]).await?;
    Ok(row.map_or(Ok(false), |row| row.try_get(0))?)
}

/// A queue's number (FNV-1a): the same in every version. Two queues with one number would only hide a warning.
fn key(queue: &QueueName) -> i32 {
    let hash =
        queue.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}
