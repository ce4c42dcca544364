//! What every [`JobQueue`] must do, run by each store behind it (feature `conformance`).
//!
//! A store's test file says how a fresh, empty store is made (`None` where it cannot be), and calls [`conformance!`](crate::conformance!), which
//! makes one test of each case:
//!
//! ```text
//! job_queue::conformance!(|| Some(Fixture::new()));
//! ```

#![expect(clippy::unwrap_used, reason = "a suite of tests: a panic is how a case fails")]

use std::{sync::Arc, time::Duration};

use crate::JobQueue;

mod make;

pub mod cancel;
pub mod claim;
pub mod keys;
pub mod lease;
pub mod list;
pub mod next;
pub mod poll;
pub mod prune;
pub mod queues;
pub mod races;
pub mod record;
pub mod retry;
pub mod submit;

pub mod own;
pub mod proxy;
pub mod server;

pub use make::{claim_by, ending, job, owner, process, queue_name, row};

/// A fresh store, shared by the handles that are opened on it.
pub trait Store: Send + Sync {
    /// Opens the store once more, as another process would.
    fn open(&self) -> Arc<dyn JobQueue>;
}

/// Runs one case to its end; a case that hangs fails.
pub fn run<F: Future<Output = ()>>(case: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), case).await.expect("the case hangs");
    });
}

/// Makes a test of each case of the suite; takes a closure that makes a fresh store.
#[macro_export]
macro_rules! conformance {
    ($store:expr) => {
        $crate::conformance!(@cases $store;
            submit: is_kept_whole, repeated_by_id, repeated_by_key, all_or_none, of_a_thousand;
            claim: highest_priority_then_oldest, not_before_its_time, of_its_own_queue_only, nothing_twice,
                from_dead_owners_first, never_from_a_living_owner_when_the_lease_expired, wants_no_fresh_job,
                executor_and_store_are_written_down, epochs_grow;
            lease: renewal_names_what_is_held, fenced_writes_change_nothing, fenced_even_by_the_same_owner,
                f86_a_late_end_after_a_takeover, f38_an_end_and_a_release_may_be_repeated;
            next: ends_one_and_takes_the_next, counts_the_end_for_the_limit, ends_even_if_nothing_is_given,
                fenced_takes_nothing, ends_as_cancelled_and_goes_on, f85_workers_go_from_job_to_job;
            record: rows_are_kept_whole, counts_follow, terminal_tasks_are_absorbing, refusal_changes_nothing,
                a_large_job, defines_what_came_unchecked;
            cancel: of_a_queued_job, of_a_running_job_is_seen, escalates_and_never_back, of_a_terminal_job,
                twice, wins_over_a_later_end, of_a_released_job, of_no_job;
            retry: opens_a_round, only_of_a_terminal_job, only_of_the_round_seen, keeps_attempt_numbers,
                with_a_new_definition, into_another_queue, delete_of_a_running_job_is_refused;
            list: newest_first, by_each_condition, by_id_suffix, in_pages;
            queues: pause_holds_back_fresh_jobs, limit_counts_jobs_under_way, are_listed;
            keys: one_at_a_time_and_others_pass, limits_of_one_key_and_of_all, are_shown, follow_every_way_of_a_job,
                an_expired_lease_keeps_the_place, count_the_end_for_the_next, beside_run_at_pause_and_limit,
                a_priority_overtakes_one_that_was_let_in, many_keys_and_a_wide_one,
                i17_eight_workers_never_above_the_limit;
            poll: says_what_is_ready, names_the_next_moment, names_cancels_of_the_host, names_owners;
            prune: by_age, by_number, keeps_failed_longer, never_takes_what_has_not_ended, only_says_which,
                abandoned_ones_by_their_epoch;
            races: f85_sixteen_claimers, f86_takeover_against_end, f88_cancel_against_claim,
                f88_cancel_against_end, f88_retry_against_retry, same_key_from_many;
        );
    };
    (@cases $store:expr; $($group:ident: $($case:ident),+;)+) => {$(
        mod $group {
            use super::*;
            $(#[test]
            fn $case() {
                // `None`: this machine has not what the store needs; it has said so.
                let Some(store) = ($store)() else { return };
                $crate::conformance::run($crate::conformance::$group::$case(&store));
            })+
        }
    )+};
}
