//! The shape that embedding `dag-scheduler` should have: the caller keeps its own tasks, threads and clock.
#![expect(clippy::disallowed_methods, reason = "the caller owns the clock")]
use dag_scheduler::{Action, Cause, End, Event, JobEnd, Limits, Plan, Policy, Scheduler, Time};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    error::Error,
    mem,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

type Work = fn() -> Result<(), i32>; // your own task type; the scheduler only knows its index

fn run(plan: &Plan, work: &[Work]) -> Result<JobEnd, Box<dyn Error>> {
    let mut scheduler = Scheduler::from_plan(plan, Limits { parallel: 4 });
    let (tx, rx) = mpsc::channel();
    let (start, mut out, mut timers) = (Instant::now(), Vec::new(), BinaryHeap::new());
    let now = || Time::from(start.elapsed());
    let mut event = Event::Opened;
    loop {
        scheduler.apply(event, now(), &mut out)?; // pure: no clock, no IO
        for action in mem::take(&mut out) {
            // persist the event first, then act
            match action {
                Action::Start { task, attempt } => {
                    let (tx, work) = (tx.clone(), work[task.index()]);
                    thread::spawn(move || {
                        let end = work().map_or_else(|rc| End::Failed(Cause::UserExit(rc)), |()| End::Succeeded);
                        let _ = tx.send(Event::Reported { task, attempt, end });
                    });
                }
                Action::Stop { .. } => {} // threads cannot be stopped: the report comes when it comes
                Action::Arm { timer, at } => timers.push(Reverse((at, timer))),
                Action::Finish(end) => return Ok(end),
            }
        }
        let wait = timers.peek().map_or(Duration::MAX, |Reverse((at, _))| at.saturating_since(now()));
        event = rx.recv_timeout(wait).or_else(|e| timers.pop().map(|Reverse((_, t))| Event::Fired(t)).ok_or(e))?;
    }
}

// What follows only tries it out.
use dag_scheduler::Retry;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan::new();
    let left = plan.task(Policy::default(), &[]);
    let right = plan.task(Policy { allow_failure: true, ..Policy::default() }, &[]);
    let retry = Retry { max: 2, backoff: Duration::from_millis(1) };
    plan.task(Policy { retry, ..Policy::default() }, &[left, right]);
    let work: [Work; 3] = [|| Ok(()), || Err(3), flaky];
    let end = run(&plan, &work)?;
    (end == JobEnd::Succeeded).then_some(()).ok_or_else(|| format!("the job ended as {end:?}").into())
}

/// Succeeds when tried again.
fn flaky() -> Result<(), i32> {
    static TRIED: AtomicBool = AtomicBool::new(false);
    if TRIED.swap(true, Ordering::Relaxed) { Ok(()) } else { Err(1) }
}
