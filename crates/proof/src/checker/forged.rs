//! The evidence of a small run in which all invariants hold, made by hand: the tests of the checker change it.

use crate::{
    audit::{Change, Changed, Health, JobEnd, TaskRow},
    clock::SECOND,
    evidence::{About, Evidence},
    history::{Answer, Request, What},
    host::{CONTROL, WORK},
    nemesis::{Fault, Kind},
    plan::{Body, JobPlan, TaskPlan, When},
    snapshot::Snapshot,
    witness::{Line, Mark},
};

/// Faults begin here.
const FAULTS: i64 = 20 * SECOND;

/// The forger's desk.
struct Forge {
    evidence: Evidence,
}

/// A run: `j1` fails and is taken over from a killed worker, `j2` and `j3` are control jobs, `j4` is cancelled, `j5`
/// loses an attempt to a killed task executor.
pub(super) fn good() -> Evidence {
    let about = About {
        run: "r".into(),
        seed: 1,
        db: "sqlite".into(),
        docker: false,
        managers: 1,
        workers: 2,
        parallel: 2,
        lease: 6 * SECOND,
        grace: SECOND,
        poll: SECOND,
        offset: 0,
        phases: [0, FAULTS, 90 * SECOND, 95 * SECOND],
        slack: SECOND,
        faults: true,
    };
    let evidence = Evidence {
        about,
        plans: Vec::new(),
        witness: Vec::new(),
        history: Vec::new(),
        audit: Vec::new(),
        jobs: Vec::new(),
        snapshot: Snapshot::default(),
        faults: Vec::new(),
        health: Health::default(),
    };
    let mut forge = Forge { evidence };
    forge.control("j2", "c0", 2 * SECOND);
    forge.failing();
    forge.control("j3", "c1", 60 * SECOND);
    forge.cancelled();
    forge.lossy();
    forge.finish()
}

/// A task that ends like this.
pub(super) fn task(after: &[usize], when: When, retry: u32, code: i32) -> TaskPlan {
    let body = Body::Exit { code, ms: 100, heals: None };
    TaskPlan { after: after.to_vec(), when, retry, allow_failure: false, timeout: None, body }
}

impl Forge {
    fn submit(&mut self, job: &str, key: &str, queue: &str, tasks: Vec<TaskPlan>, t: i64) {
        self.evidence.plans.push(JobPlan { key: key.into(), queue: queue.into(), tasks });
        self.job(t, (job, key), 0, "queued", None);
        self.ask(What::Submit, job, key, t);
    }

    fn ask(&mut self, what: What, job: &str, key: &str, t: i64) {
        let (t, key, job) = ((t, t + 1_000), key.to_owned(), Some(job.to_owned()));
        self.evidence.history.push(Request { t, what, key, job, answer: Answer::Ok, words: String::new() });
    }

    fn job(&mut self, t: i64, (job, key): (&str, &str), epoch: u64, status: &str, slot: Option<&str>) {
        let owner = slot.map(|slot| (slot.to_owned(), "run".to_owned()));
        let (key, status) = (Some(key.to_owned()), status.to_owned());
        let lease = owner.as_ref().map(|_| t + self.evidence.about.lease);
        self.change(t, job, epoch, Changed::Job { key, status, cancel: None, lease, owner });
    }

    fn change(&mut self, t: i64, job: &str, epoch: u64, what: Changed) {
        let seq = i64::try_from(self.evidence.audit.len()).expect("few");
        self.evidence.audit.push(Change { seq, t, job: job.into(), round: 1, epoch, what });
    }

    fn row(
        &mut self,
        t: i64,
        (job, epoch): (&str, u64),
        (task, attempt): (usize, u32),
        status: &str,
        end: (Option<&str>, Option<i32>),
    ) {
        let (cause, code) = (end.0.map(str::to_owned), end.1);
        let retries = u32::from(cause.as_deref() == Some("user_exit") && attempt > 1);
        let losses = u32::from(cause.as_deref() == Some("lost_executor"));
        let (status, pid) = (status.to_owned(), (status == "running").then_some(100));
        let row = TaskRow { task, status, attempt, retries, losses, cause, message: None, code, stopping: None, pid };
        self.change(t, job, epoch, Changed::Task(row));
    }

    fn say(&mut self, t: i64, job: &str, (task, attempt): (usize, u32), mark: Mark) {
        let (job, host) = (job.to_owned(), "h0".to_owned());
        self.evidence.witness.push(Line { job, task, attempt, pid: 7, host, mark, t });
    }

    /// Recorded, begun, ended with `code`, recorded: 0.1 s.
    fn run(&mut self, t: i64, of: (&str, u64), attempt: (usize, u32), code: i32, then: &str) {
        self.row(t, of, attempt, "running", (None, None));
        self.say(t + 10_000, of.0, attempt, Mark::Begin);
        self.say(t + 80_000, of.0, attempt, Mark::End(code));
        let cause = (code != 0).then_some("user_exit");
        self.row(t + 100_000, of, attempt, then, (cause, Some(code)));
    }

    fn control(&mut self, job: &str, key: &str, t: i64) {
        self.submit(job, key, CONTROL, vec![task(&[], When::Success, 0, 0)], t);
        self.job(t + 20_000, (job, key), 1, "running", Some("control00"));
        self.run(t + 30_000, (job, 1), (0, 1), 0, "succeeded");
        self.job(t + 140_000, (job, key), 1, "succeeded", None);
    }

    fn failing(&mut self) {
        let (job, key, t) = ("j1", "a1", FAULTS);
        let tasks = vec![
            task(&[], When::Success, 0, 0),
            task(&[0], When::Success, 1, 3),
            task(&[1], When::Success, 0, 0),
            task(&[1], When::Always, 0, 0),
        ];
        self.submit(job, key, WORK, tasks, t);
        self.job(t + 20_000, (job, key), 1, "running", Some("work00"));
        self.run(t + 30_000, (job, 1), (0, 1), 0, "succeeded");
        self.run(t + 200_000, (job, 1), (1, 1), 3, "retrying");
        self.fault(t + 400_000, Kind::KillWorker, Some("work00"), None);
        self.job(t + 800_000, (job, key), 2, "running", Some("work00"));
        self.run(t + 900_000, (job, 2), (1, 2), 3, "failed");
        self.row(t + 1_100_000, (job, 2), (2, 0), "skipped", (Some("upstream"), None));
        self.run(t + 1_200_000, (job, 2), (3, 1), 0, "succeeded");
        self.job(t + 1_400_000, (job, key), 2, "failed", None);
    }

    fn cancelled(&mut self) {
        let (job, key, t) = ("j4", "a2", FAULTS + 50 * SECOND);
        let tasks =
            vec![task(&[], When::Success, 0, 0), task(&[0], When::Success, 0, 0), task(&[0], When::Always, 0, 0)];
        self.submit(job, key, WORK, tasks, t);
        self.job(t + 20_000, (job, key), 1, "running", Some("work01"));
        self.row(t + 30_000, (job, 1), (0, 1), "running", (None, None));
        self.say(t + 40_000, job, (0, 1), Mark::Begin);
        self.ask(What::Cancel, job, key, t + 200_000);
        let cancel = |status: &str, owned: bool| Changed::Job {
            key: Some(key.into()),
            status: status.into(),
            cancel: Some("cancel".into()),
            owner: owned.then(|| ("work01".into(), "run".into())),
            lease: None,
        };
        self.change(t + 200_500, job, 1, cancel("running", true));
        self.change(t + 300_000, job, 1, cancel("cancelling", true));
        self.row(t + 310_000, (job, 1), (0, 1), "running", (None, None));
        let Some(Changed::Task(row)) = self.evidence.audit.last_mut().map(|change| &mut change.what) else { return };
        row.stopping = Some("cancel".into());
        self.say(t + 320_000, job, (0, 1), Mark::Tick);
        self.row(t + 400_000, (job, 1), (0, 1), "cancelled", (Some("cancelled"), None));
        self.row(t + 410_000, (job, 1), (1, 0), "cancelled", (Some("cancelled"), None));
        self.run(t + 420_000, (job, 1), (2, 1), 0, "succeeded");
        self.change(t + 700_000, job, 1, cancel("cancelled", false));
    }

    fn lossy(&mut self) {
        let (job, key, t) = ("j5", "a3", FAULTS + 60 * SECOND);
        self.submit(job, key, WORK, vec![task(&[], When::Success, 0, 0)], t);
        self.job(t + 20_000, (job, key), 1, "running", Some("work01"));
        self.row(t + 30_000, (job, 1), (0, 1), "running", (None, None));
        self.say(t + 40_000, job, (0, 1), Mark::Begin);
        self.fault(t + 100_000, Kind::KillExecutor, None, Some((job.into(), 0, 1)));
        self.row(t + 200_000, (job, 1), (0, 1), "retrying", (Some("lost_executor"), None));
        self.run(t + 300_000, (job, 1), (0, 2), 0, "succeeded");
        self.job(t + 500_000, (job, key), 1, "succeeded", None);
    }

    fn fault(&mut self, t: i64, kind: Kind, slot: Option<&str>, attempt: Option<(String, usize, u32)>) {
        let (host, slot, note) = ("h0".to_owned(), slot.map(str::to_owned), String::new());
        self.evidence.faults.push(Fault { t: (t, t), kind, host, effective: true, slot, attempt, stop: None, note });
    }

    /// The last state follows from the audit trail.
    fn finish(mut self) -> Evidence {
        for (job, key) in [("j1", "a1"), ("j2", "c0"), ("j3", "c1"), ("j4", "a2"), ("j5", "a3")] {
            let mut end = JobEnd {
                job: job.into(),
                key: Some(key.into()),
                status: String::new(),
                round: 1,
                cause: None,
                message: None,
                tasks: Vec::new(),
            };
            for change in self.evidence.audit.iter().filter(|change| change.job == job) {
                match &change.what {
                    Changed::Job { status, .. } => end.status.clone_from(status),
                    Changed::Task(row) => {
                        end.tasks.retain(|old| old.task != row.task);
                        end.tasks.push(row.clone());
                    }
                    Changed::TaskGone { .. } => {}
                }
            }
            end.cause = match end.status.as_str() {
                "failed" => Some("user_exit".into()),
                "cancelled" => Some("cancelled".into()),
                _ => None,
            };
            self.evidence.jobs.push(end);
        }
        self.evidence
    }
}
