//! The same as `embed`, for a service that runs on tokio: tasks are futures, and a stop aborts them.
use std::{
    cmp::Reverse, collections::BTreeMap, collections::BinaryHeap, error::Error, future, mem, pin::Pin, time::Duration,
};

use dag_scheduler::{Action, Cause, End, Event, JobEnd, Limits, Plan, Policy, Scheduler, Time, When};
use tokio::{sync::mpsc, task::AbortHandle, time};

type Work = fn() -> Pin<Box<dyn Future<Output = Result<(), i32>> + Send>>; // your own task type

async fn run(plan: &Plan, work: &[Work], cancel: impl Future<Output = ()>) -> Result<JobEnd, Box<dyn Error>> {
    let mut scheduler = Scheduler::from_plan(plan, Limits { parallel: 4 });
    let (tx, mut rx) = mpsc::channel(64);
    let (start, mut out, mut timers) = (time::Instant::now(), Vec::new(), BinaryHeap::new());
    let mut running: BTreeMap<_, AbortHandle> = BTreeMap::new();
    let now = || Time::from(start.elapsed());
    let mut cancel = std::pin::pin!(cancel);
    let mut cancelled = false;
    let mut event = Event::Opened;
    loop {
        scheduler.apply(event, now(), &mut out)?; // pure: no clock, no IO
        for action in mem::take(&mut out) {
            match action {
                Action::Start { task, attempt } => {
                    let work = tokio::spawn(work[task.index()]());
                    running.insert(task, work.abort_handle());
                    let tx = tx.clone();
                    tokio::spawn(async move {
                        let end = match work.await {
                            Ok(Ok(())) => End::Succeeded,
                            Ok(Err(rc)) => End::Failed(Cause::UserExit(rc)),
                            Err(error) if error.is_cancelled() => End::Failed(Cause::Cancelled),
                            Err(_panic) => End::Failed(Cause::Invalid),
                        };
                        let _ = tx.send(Event::Reported { task, attempt, end }).await;
                    });
                }
                Action::Stop { task, .. } => running[&task].abort(),
                Action::Arm { timer, at } => timers.push(Reverse((at, timer))),
                Action::Finish(end) => return Ok(end),
            }
        }
        let next = timers.peek().map(|Reverse((at, _))| at.saturating_since(now()));
        let timer = async { if let Some(wait) = next { time::sleep(wait).await } else { future::pending().await } };
        event = tokio::select! {
            Some(event) = rx.recv() => event,
            () = timer => timers.pop().map(|Reverse((_, timer))| Event::Fired(timer)).ok_or("no timer")?,
            () = &mut cancel, if !cancelled => { cancelled = true; Event::CancelRequested { now: false } }
        };
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let mut plan = Plan::new();
    let quick = plan.task(Policy::default(), &[]);
    let endless = plan.task(Policy::default(), &[quick]);
    plan.task(Policy { when: When::Always, ..Policy::default() }, &[endless]);
    let (reached, mut endless_runs) = mpsc::channel(1);
    REACHED.set(reached).map_err(|_| "main runs once")?;
    let work: [Work; 3] = [
        || Box::pin(async { Ok(()) }),
        || {
            Box::pin(async {
                let _ = REACHED.get().expect("BUG: set in main").send(()).await;
                future::pending().await
            })
        },
        || Box::pin(async { Ok(()) }),
    ];
    // A person cancels as soon as the endless task runs; the cleanup still does.
    let end = run(&plan, &work, async move { endless_runs.recv().await.unwrap_or(()) });
    let end = time::timeout(Duration::from_secs(60), end).await??;
    (end == JobEnd::Cancelled).then_some(()).ok_or_else(|| format!("the job ended as {end:?}").into())
}

static REACHED: std::sync::OnceLock<mpsc::Sender<()>> = std::sync::OnceLock::new();
