//! The rules of design §4, one by one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod decisions;
mod room;
mod stops;
mod trouble;

use std::time::Duration;

use dag_scheduler::{
    Action, Attempt, Cause, End, Event, JobEnd, Limits, Plan, Policy, Retry, Row, Rules, Scheduler, StopHow, StopWhy,
    TaskIx, TaskState, Time, Timer, When, Why,
};

const OK: End = End::Succeeded;
const EXIT: End = End::Failed(Cause::UserExit(1));
const GRACE: StopHow = StopHow::Grace;
const KILL: StopHow = StopHow::Kill;

/// A job, its clock in seconds, and what it last asked for.
struct Job {
    scheduler: Scheduler,
    seconds: u64,
    out: Vec<Action>,
}

impl Job {
    fn of(plan: &Plan, parallel: u32) -> Self {
        let mut job = Self { scheduler: Scheduler::from_plan(plan, Limits { parallel }), seconds: 0, out: Vec::new() };
        job.apply(Event::Opened);
        job
    }

    fn apply(&mut self, event: Event) {
        self.out.clear();
        self.scheduler.apply(event, Time::from(Duration::from_secs(self.seconds)), &mut self.out).unwrap();
        self.scheduler.sanity_check().unwrap();
    }

    fn end(&mut self, task: TaskIx, end: End) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Reported { task, attempt, end });
    }

    fn lose(&mut self, task: TaskIx, cause: Cause) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Lost { task, attempt, cause });
    }

    fn launch(&mut self, task: TaskIx) {
        let attempt = self.scheduler.row(task).attempt;
        self.apply(Event::Started { task, attempt });
    }

    fn starts(&self) -> Vec<u32> {
        let start = |action: &Action| match action {
            Action::Start { task, .. } => Some(task.0),
            Action::Stop { .. } | Action::Arm { .. } | Action::Finish(_) => None,
        };
        self.out.iter().filter_map(start).collect()
    }

    fn stops(&self) -> Vec<(u32, StopWhy, StopHow)> {
        let stop = |action: &Action| match *action {
            Action::Stop { task, why, how, .. } => Some((task.0, why, how)),
            Action::Start { .. } | Action::Arm { .. } | Action::Finish(_) => None,
        };
        self.out.iter().filter_map(stop).collect()
    }

    fn armed(&self) -> Option<(Timer, u64)> {
        self.out.iter().find_map(|action| match *action {
            Action::Arm { timer, at } => Some((timer, at.as_micros())),
            Action::Start { .. } | Action::Stop { .. } | Action::Finish(_) => None,
        })
    }

    /// Lets the armed timer go off when it is due.
    fn fire(&mut self) {
        let (timer, at) = self.armed().unwrap();
        self.seconds = at.div_ceil(1_000_000);
        self.apply(Event::Fired(timer));
    }

    fn finish(&self) -> Option<JobEnd> {
        self.scheduler.finished()
    }

    fn state(&self, task: TaskIx) -> TaskState {
        self.scheduler.state(task)
    }
}

fn when(when: When) -> Policy {
    Policy { when, ..Policy::default() }
}

fn retry(max: u32, seconds: u64) -> Policy {
    Policy { retry: Retry { max, backoff: Duration::from_secs(seconds) }, ..Policy::default() }
}

fn one(policy: Policy) -> (Plan, TaskIx) {
    let mut plan = Plan::new();
    let task = plan.task(policy, &[]);
    (plan, task)
}
