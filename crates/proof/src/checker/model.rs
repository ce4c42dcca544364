//! The reference model: what a job's tasks must have come to, by the table of states and nothing else.

use std::collections::BTreeMap;

use crate::plan::{JobPlan, When};

/// The status of each task, `waiting` where it has no row.
pub(super) type States<'a> = BTreeMap<usize, &'a str>;

/// What does not fit in a job that was not cancelled; `again` = it had more than one round.
pub(super) fn misfits(plan: &JobPlan, states: &States<'_>, again: bool) -> Vec<String> {
    let mut failure_above = Vec::with_capacity(plan.tasks.len());
    let mut wrong = Vec::new();
    for (ix, task) in plan.tasks.iter().enumerate() {
        let status = states.get(&ix).copied().unwrap_or("waiting");
        let above = task.after.iter().any(|parent| {
            let failed = states.get(parent) == Some(&"failed") && !plan.tasks[*parent].allow_failure;
            failed || failure_above[*parent]
        });
        failure_above.push(above);
        let starts = match task.when {
            When::Success => !above,
            When::Failure => above,
            When::Always => true,
        };
        let ran = matches!(status, "succeeded" | "failed");
        // A task that ran in an earlier round stays as it is when its reason has gone.
        let fits = if starts { ran } else { status == "skipped" || again && ran };
        if !fits {
            wrong.push(format!(
                "task {ix} ({:?}, {}a failure above) is {status}",
                task.when,
                if above { "" } else { "not " }
            ));
        }
    }
    wrong
}

/// What the job must be, given its tasks.
pub(super) fn job_status(plan: &JobPlan, states: &States<'_>) -> &'static str {
    let failed = |(ix, status): (&usize, &&str)| *status == "failed" && !plan.tasks[*ix].allow_failure;
    if states.iter().any(failed) { "failed" } else { "succeeded" }
}
