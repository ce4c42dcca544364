//! When a lease of another host counts as expired.
//!
//! Leases are judged by the database's clock alone. Where that was set forward, all of them have expired by it at once
//! (F80); but whoever lives renews at the next beat. So a lease must also have stood unchanged for longer than a beat by
//! our own monotone clock. A manager that has served for a while has seen that by the time a lease ends: it costs nothing.

use std::{collections::HashMap, time::Duration};

use job_queue::{Micros, Owner};
use tokio::time::Instant;

/// Leases as the polls showed them.
#[derive(Debug, Default)]
pub(super) struct SeenLeases(HashMap<Owner, (Micros, Instant)>);

impl SeenLeases {
    /// What the last poll showed, all of it.
    pub(super) fn see(&mut self, leases: Vec<(Owner, Micros)>, now: Instant) {
        let before = std::mem::take(&mut self.0);
        let since = |owner: &Owner, until| match before.get(owner) {
            Some((same, since)) if *same == until => *since,
            _ => now,
        };
        let seen = leases.into_iter().map(|(owner, until)| {
            let since = since(&owner, until);
            (owner, (until, since))
        });
        self.0 = seen.collect();
    }

    /// From when on it is sure that its owner does not renew it, with this time between two beats.
    pub(super) fn sure_at(&self, owner: &Owner, beat: Duration) -> Option<Instant> {
        self.0.get(owner).map(|(_, since)| *since + beat * 3 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f80_a_lease_that_is_renewed_is_never_sure_to_have_ended() {
        let owner = |slot: &str| Owner { host: "there".into(), run_dir: "r".into(), slot: slot.into() };
        let (lives, gone) = (owner("a00"), owner("a01"));
        let (beat, start) = (Duration::from_secs(20), Instant::now());
        let mut seen = SeenLeases::default();
        for second in 0..100 {
            let now = start + Duration::from_secs(second);
            // Renewed each beat, from the 50th second on by a clock that was set back by an hour.
            let back = if second >= 50 { 3600 } else { 0 };
            let until = 60 + second.cast_signed() / 20 * 20 - back;
            seen.see(vec![(lives.clone(), until), (gone.clone(), 60)], now);
            assert!(seen.sure_at(&lives, beat).unwrap() > now);
            assert_eq!(seen.sure_at(&gone, beat).unwrap() <= now, second >= 30);
        }
        seen.see(Vec::new(), start);
        assert_eq!(seen.sure_at(&gone, beat), None);
    }
}
