//! The checker is itself tested: in a run that is in order it finds nothing, and each planted bug is found by the
//! invariant that is meant.

use std::collections::BTreeSet;

use super::{check, forged};
use crate::{
    audit::{Change, Changed, TaskRow},
    clock::SECOND,
    evidence::Evidence,
    history::{Answer, Request, What},
    nemesis::Kind,
    plan::Body,
    snapshot::WrongLog,
    witness::Mark,
};

#[test]
fn a_run_that_is_in_order_holds() {
    let verdict = check(&forged::good());
    assert!(verdict.holds(), "{:?} {:#?}", verdict.invalid, verdict.violations);
    assert_eq!((verdict.figures.jobs, verdict.figures.losses, verdict.figures.retries), (5, 1, 1));
    assert_eq!(verdict.figures.faults[&Kind::KillWorker].times, [400_000]);
    assert_eq!(verdict.figures.faults[&Kind::KillExecutor].times, [100_000]);
}

#[test]
fn a_run_without_effective_faults_is_invalid_and_not_passed() {
    let mut evidence = forged::good();
    evidence.faults.iter_mut().for_each(|fault| fault.effective = false);
    let verdict = check(&evidence);
    assert!(verdict.invalid.is_some() && !verdict.holds());
    evidence = forged::good();
    evidence.witness.clear();
    assert!(check(&evidence).invalid.is_some());
}

#[test]
fn a_run_whose_tasks_left_nothing_behind_is_invalid() {
    let mut evidence = forged::good();
    for plan in &mut evidence.plans {
        plan.tasks.iter_mut().for_each(|task| task.body = Body::Forks { ms: 1 });
    }
    assert!(check(&evidence).invalid.is_some(), "what they should have left was never seen");
    let mut line = evidence.witness[0].clone();
    line.mark = Mark::Grandchild;
    evidence.witness.push(line);
    assert_eq!(check(&evidence).invalid, None);
}

type Planted = (u8, &'static str, fn(&mut Evidence));

/// What a bug in the product would leave behind, and the invariant that must catch it.
const PLANTED: &[Planted] = &[
    (1, "an accepted job is not there", |e| e.jobs.retain(|job| job.job != "j5")),
    (1, "a job hangs", |e| job(e, "j5").status = "running".into()),
    (2, "a terminal job goes on", |e| {
        let mut change = last_job(e, "j5").clone();
        set_status(&mut change, "running");
        push(e, change);
    }),
    (2, "a failed task becomes a success in the same round", |e| {
        let mut row = row_of(e, "j1", 1, "failed").clone();
        row.status = "succeeded".into();
        push_row(e, "j1", 2, row);
    }),
    (2, "a new round that nobody asked for", |e| {
        let mut change = last_job(e, "j5").clone();
        change.round = 2;
        set_status(&mut change, "queued");
        push(e, change);
    }),
    (3, "a task starts before its dependency's end is committed", |e| {
        let begin = index_of(e, "j1", 1, "running");
        let end = index_of(e, "j1", 0, "succeeded");
        let (first, second) = (e.audit[end].seq, e.audit[begin].seq);
        (e.audit[begin].seq, e.audit[end].seq) = (first, second);
        e.audit.swap(begin, end);
    }),
    (3, "a task runs below a failure", |e| {
        let row =
            TaskRow { status: "running".into(), attempt: 1, cause: None, ..row_of(e, "j1", 2, "skipped").clone() };
        insert_row(e, "j1", 2, row);
    }),
    (4, "two workers claim one task: it begins twice under one attempt", |e| {
        let again = e.witness.iter().find(|line| line.job == "j2" && line.mark == Mark::Begin).expect("a line").clone();
        e.witness.push(again);
    }),
    (4, "the next attempt begins while the old one lives", |e| {
        let line = e.witness.iter_mut().find(|line| line.job == "j5" && line.attempt == 1).expect("a line");
        let mut late = line.clone();
        (late.mark, late.t) = (Mark::Tick, line.t + 300_000);
        e.witness.push(late);
    }),
    (4, "a task is launched before it is recorded", |e| {
        let at = index_of(e, "j3", 0, "running");
        e.audit[at].t += 60_000;
    }),
    (5, "the epoch check is dropped: a stale worker writes an older attempt", |e| {
        let row = TaskRow { attempt: 1, ..row_of(e, "j1", 1, "failed").clone() };
        push_row(e, "j1", 2, row);
    }),
    (5, "a job is taken without a new epoch", |e| {
        let change = e.audit.iter_mut().find(|change| change.job == "j1" && change.epoch == 2).expect("a claim");
        if let Changed::Job { owner: Some((slot, _)), .. } = &mut change.what {
            *slot = "work01".into();
        }
        e.audit.iter_mut().filter(|change| change.job == "j1").for_each(|change| change.epoch = 1);
    }),
    (5, "a job is taken from a worker that has it", |e| {
        let change = e.audit.iter_mut().find(|change| change.job == "j1" && change.epoch == 2).expect("a claim");
        if let Changed::Job { owner: Some((slot, _)), .. } = &mut change.what {
            *slot = "work01".into();
        }
    }),
    (5, "a released worker goes on writing", |e| {
        let row = TaskRow { status: "running".into(), attempt: 2, ..row_of(e, "j5", 0, "succeeded").clone() };
        let at = e.audit.iter().position(|change| change.job == "j5").expect("the submit");
        let mut change = e.audit[at].clone();
        change.what = Changed::Task(row);
        e.audit.insert(at + 1, change);
    }),
    (6, "a task is run again though nothing happened to it", |e| {
        e.faults.retain(|fault| fault.kind != Kind::KillExecutor);
    }),
    (6, "an attempt is lost on a host that was not cut off", |e| {
        let fault = e.faults.iter_mut().find(|fault| fault.kind == Kind::KillExecutor).expect("a fault");
        (fault.kind, fault.host, fault.attempt) = (Kind::Blackhole, "h9".into(), None);
    }),
    (6, "two attempts succeed", |e| {
        let mut row = row_of(e, "j5", 0, "succeeded").clone();
        row.attempt = 1;
        insert_row(e, "j5", 1, row);
    }),
    (7, "a task is retried beyond its bound", |e| {
        rows(e).for_each(|row| row.retries = if row.cause.as_deref() == Some("user_exit") { 2 } else { 0 });
    }),
    (7, "losses without end", |e| rows(e).for_each(|row| row.losses *= 6)),
    (8, "a success that no task ended with", |e| {
        e.witness.retain(|line| !(line.job == "j5" && line.attempt == 2 && line.mark == Mark::End(0)));
    }),
    (8, "exit 0 of a task executor without a report counts as success", |e| {
        let line = e.witness.iter_mut().find(|line| line.job == "j2" && line.mark == Mark::End(0)).expect("an end");
        line.mark = Mark::End(1);
    }),
    (9, "the report file is dropped: a success is run again", |e| {
        let at = index_of(e, "j3", 0, "succeeded");
        let Changed::Task(row) = &mut e.audit[at].what else { return };
        (row.status, row.cause) = ("retrying".into(), Some("lost_executor".into()));
    }),
    (10, "another exit code is recorded", |e| {
        rows(e).filter(|row| row.code == Some(3)).for_each(|row| row.code = Some(4));
    }),
    (10, "a death by signal is recorded as an exit", |e| {
        let of_j1 = |line: &&mut crate::witness::Line| line.job == "j1" && line.mark == Mark::End(3);
        e.witness.iter_mut().filter(of_j1).for_each(|line| line.mark = Mark::End(137));
    }),
    (10, "a container that was removed was a success", |e| {
        e.about.docker = true;
        let fault = e.faults.iter_mut().find(|fault| fault.kind == Kind::KillExecutor).expect("a fault");
        fault.kind = Kind::RemoveContainer;
        e.audit.iter_mut().for_each(|change| match &mut change.what {
            Changed::Task(row) if row.cause.as_deref() == Some("lost_executor") => {
                (row.status, row.cause, row.code) = ("succeeded".into(), None, Some(0));
            }
            _ => {}
        });
    }),
    (11, "the end of a log is missing", |e| {
        e.snapshot.logs.push(WrongLog { attempt: ("j1".into(), 0, 1), cut: true });
    }),
    (12, "nobody takes over from a killed worker", |e| {
        let at = e.audit.iter().position(|change| change.job == "j1" && change.epoch == 2).expect("a claim");
        e.audit[at..].iter_mut().filter(|change| change.job == "j1").for_each(|change| change.t += 20 * SECOND);
        e.witness
            .iter_mut()
            .filter(|line| line.job == "j1" && line.t > 20_900_000)
            .for_each(|line| line.t += 20 * SECOND);
    }),
    (13, "a stop takes for ever", |e| {
        let mut fault = e.faults[0].clone();
        fault.t = (85 * SECOND, 85 * SECOND);
        (fault.kind, fault.stop) = (Kind::Term, Some(30 * SECOND));
        e.faults.push(fault);
    }),
    (14, "a process is left", |e| e.snapshot.left.push("h0: process 7 sleep".into())),
    (14, "a grandchild outlives its attempt", |e| {
        let mut line = e.witness[0].clone();
        (line.mark, line.t) = (Mark::Grandchild, line.t + 5 * SECOND);
        e.witness.push(line);
    }),
    (15, "a cancelled job goes on starting tasks", |e| {
        let row = TaskRow { status: "running".into(), attempt: 1, ..row_of(e, "j4", 1, "cancelled").clone() };
        insert_row(e, "j4", 1, row);
    }),
    (15, "a job that was cancelled succeeds", |e| {
        let at = e.audit.iter().rposition(|change| change.job == "j4").expect("an end");
        set_status(&mut e.audit[at], "succeeded");
    }),
    (16, "what is below a failure is not skipped", |e| task(e, "j1", 2).status = "succeeded".into()),
    (16, "a job succeeds with a failed task", |e| job(e, "j1").status = "succeeded".into()),
    (16, "a job is cancelled and nobody asked for it", |e| job(e, "j5").status = "cancelled".into()),
    (17, "more tasks than slots", |e| e.about.parallel = 0),
    (17, "slots that went with the run-dir are counted long after", |e| {
        let begin = e.witness.iter().find(|line| line.job == "j1" && line.mark == Mark::Begin).expect("a begin").t;
        let mut fault = e.faults[0].clone();
        (fault.kind, fault.slot, fault.attempt) = (Kind::RemoveRunDir, None, None);
        fault.t = (begin - e.about.lease, begin - e.about.lease);
        e.faults.push(fault);
        e.about.parallel = 0;
    }),
    (18, "an eligible job waits for a notification that does not come", |e| {
        e.witness.iter_mut().filter(|line| line.job == "j3").for_each(|line| line.t += 8 * SECOND);
        e.audit
            .iter_mut()
            .filter(|change| change.job == "j3" && change.epoch > 0)
            .for_each(|change| change.t += 8 * SECOND);
    }),
    (19, "a key has two jobs", |e| {
        let mut change = e.audit[0].clone();
        change.job = "j9".into();
        e.audit.insert(0, change);
    }),
    (19, "a refused submit leaves a job", |e| {
        let refused = |request: &&mut Request| request.what == What::Submit && request.key == "a3";
        e.history.iter_mut().filter(refused).for_each(|request| request.answer = Answer::Fail);
    }),
    (20, "whose task executor was killed counts as succeeded", |e| {
        rows(e).filter(|row| row.cause.as_deref() == Some("lost_executor")).for_each(|row| {
            row.status = "succeeded".into();
        });
    }),
    (21, "a failure without a cause", |e| job(e, "j1").cause = None),
    (21, "a panic is shown to people", |e| task(e, "j1", 1).message = Some("thread 'main' panicked at x.rs".into())),
    (22, "the secret stands in a log", |e| e.snapshot.secrets.push("h0.log".into())),
    (23, "the database is damaged", |e| e.health.problems.push("row 3 missing from index".into())),
    (24, "one job's fault delays the others", |e| {
        e.faults.iter_mut().filter(|fault| fault.kind == Kind::KillExecutor).for_each(|fault| {
            fault.t = (59_500_000, 60 * SECOND);
        });
        e.witness.iter_mut().filter(|line| line.job == "j3").for_each(|line| line.t += 2 * SECOND);
        e.audit
            .iter_mut()
            .filter(|change| change.job == "j3" && change.epoch > 0)
            .for_each(|change| change.t += 2 * SECOND);
    }),
    (25, "what was shown as ended is shown as running", |e| {
        for (t, status) in [(1, "succeeded"), (2, "running")] {
            let answer = Answer::Seen(1, status.into());
            let (job, words) = (Some("j5".into()), String::new());
            e.history.push(Request { t: (t, t), what: What::Status, key: "a3".into(), job, answer, words });
        }
    }),
];

#[test]
fn each_planted_bug_is_caught_by_the_invariant_that_is_meant() {
    for (invariant, what, plant) in PLANTED {
        let mut evidence = forged::good();
        plant(&mut evidence);
        let verdict = check(&evidence);
        let caught = verdict.violations.iter().any(|violation| violation.invariant == *invariant);
        assert!(caught, "I{invariant} misses: {what}; found {:#?}", verdict.violations);
    }
    let invariants: BTreeSet<u8> = PLANTED.iter().map(|(invariant, ..)| *invariant).collect();
    assert_eq!(invariants, (1..=25).collect(), "each invariant has a bug that it catches");
}

fn job<'a>(e: &'a mut Evidence, job: &str) -> &'a mut crate::audit::JobEnd {
    e.jobs.iter_mut().find(|end| end.job == job).expect("a job")
}

fn task<'a>(e: &'a mut Evidence, of: &str, task: usize) -> &'a mut TaskRow {
    job(e, of).tasks.iter_mut().find(|row| row.task == task).expect("a task")
}

fn rows(e: &mut Evidence) -> impl Iterator<Item = &mut TaskRow> {
    e.audit.iter_mut().filter_map(|change| if let Changed::Task(row) = &mut change.what { Some(row) } else { None })
}

fn index_of(e: &Evidence, job: &str, task: usize, status: &str) -> usize {
    let is = |change: &Change| {
        change.job == job && matches!(&change.what, Changed::Task(row) if row.task == task && row.status == status)
    };
    e.audit.iter().position(is).expect("a change")
}

fn row_of<'a>(e: &'a Evidence, job: &str, task: usize, status: &str) -> &'a TaskRow {
    let Changed::Task(row) = &e.audit[index_of(e, job, task, status)].what else { unreachable!("a task's change") };
    row
}

fn last_job<'a>(e: &'a Evidence, job: &str) -> &'a Change {
    e.audit.iter().rfind(|change| change.job == job && matches!(change.what, Changed::Job { .. })).expect("a change")
}

fn set_status(change: &mut Change, to: &str) {
    if let Changed::Job { status, .. } = &mut change.what {
        *status = to.into();
    }
}

/// As the last change of all.
fn push(e: &mut Evidence, mut change: Change) {
    let last = e.audit.last().expect("changes");
    (change.seq, change.t) = (last.seq + 1, last.t + 1_000);
    e.audit.push(change);
}

fn push_row(e: &mut Evidence, job: &str, epoch: u64, row: TaskRow) {
    push(e, Change { seq: 0, t: 0, job: job.into(), round: 1, epoch, what: Changed::Task(row) });
}

/// Just before the job's end.
fn insert_row(e: &mut Evidence, job: &str, epoch: u64, row: TaskRow) {
    let at = e.audit.iter().rposition(|change| change.job == job).expect("an end");
    let (seq, t) = (e.audit[at].seq, e.audit[at].t - 1_000);
    e.audit[at..].iter_mut().for_each(|change| change.seq += 1);
    e.audit.insert(at, Change { seq, t, job: job.into(), round: 1, epoch, what: Changed::Task(row) });
}
