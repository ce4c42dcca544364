//! The clients of a run: they submit, cancel, retry and look, by the command line, and write down what was answered.

use std::{
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Result;

use crate::{
    clock::{self, SECOND},
    dice::Dice,
    evidence::Folder,
    history::{Answer, Request, What},
    host::{CONTROL, Setting, WORK},
    plan::JobPlan,
};

/// As many jobs of queue `work` may be open at once: more would only wait.
const OPEN: u64 = 12;
/// A request that has not been answered by then is given up: its outcome is unknown.
const PATIENCE: i64 = 60 * SECOND;

/// What the clients share.
#[derive(Debug)]
pub struct Clients {
    setting: Arc<Setting>,
    evidence: Folder,
    hosts: usize,
    known: Mutex<Vec<(String, String)>>,
    /// Process numbers of submits under way.
    pub submitting: Arc<Mutex<Vec<i32>>>,
    /// Set when no more is to be asked for.
    pub over: AtomicBool,
}

impl Clients {
    /// Clients of so many hosts.
    #[must_use]
    pub fn new(setting: Arc<Setting>, evidence: Folder, hosts: usize) -> Self {
        Self {
            setting,
            evidence,
            hosts,
            known: Mutex::default(),
            submitting: Arc::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Submits random jobs, not more at once than are good for anything.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn submit_random(&self, name: &str, mut dice: Dice) -> Result<()> {
        for n in 0.. {
            while !self.is_over() && self.setting.db.open_jobs().is_ok_and(|open| open >= OPEN) {
                clock::pass(50_000);
            }
            if self.is_over() {
                break;
            }
            let plan = JobPlan::random(&mut dice, format!("{name}{n}"), WORK.into());
            self.submit(&plan, &mut dice)?;
            clock::pass(dice.between(20_000, 400_000));
        }
        Ok(())
    }

    /// Submits one short job a second to a queue of its own.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn submit_control(&self, mut dice: Dice) -> Result<()> {
        for n in 0.. {
            if self.is_over() {
                break;
            }
            self.submit(&JobPlan::single(format!("c{n}"), CONTROL.into()), &mut dice)?;
            clock::pass(SECOND);
        }
        Ok(())
    }

    /// Cancels and retries jobs at random; `at_most`: microseconds between two of these.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn change(&self, mut dice: Dice, at_most: i64) -> Result<()> {
        while !self.is_over() {
            clock::pass(dice.between(at_most / 6, at_most));
            let recent: Vec<_> = self.known().iter().rev().take(12).cloned().collect();
            let Some((key, job)) = dice.pick(&recent).cloned() else { continue };
            let what = [What::Cancel, What::CancelNow, What::Retry, What::Retry][dice.below(4)];
            let args: &[&str] = match what {
                What::Cancel => &["cancel", &job],
                What::CancelNow => &["cancel", "--now", &job],
                _ => &["retry", &job],
            };
            self.request(what, &key, Some(&job), args, &mut dice)?;
        }
        Ok(())
    }

    /// Looks at jobs all the time: what a person sees must not go back.
    ///
    /// # Errors
    /// The record cannot be written.
    pub fn look(&self, mut dice: Dice) -> Result<()> {
        while !self.is_over() {
            clock::pass(100_000);
            let recent: Vec<_> = self.known().iter().rev().take(6).cloned().collect();
            let Some((key, job)) = dice.pick(&recent).cloned() else { continue };
            self.request(What::Status, &key, Some(&job), &["status", &job, "--json"], &mut dice)?;
        }
        Ok(())
    }

    /// Submits a job, again and again until the answer is known, as a careful client does.
    fn submit(&self, plan: &JobPlan, dice: &mut Dice) -> Result<()> {
        self.evidence.append("plans.jsonl", plan)?;
        let file = self.setting.folder.join("work").join(format!("{}.json", plan.key));
        std::fs::create_dir_all(self.setting.folder.join("work"))?;
        std::fs::write(&file, plan.workflow(&self.setting.task(), &self.setting.volumes()).to_string())?;
        let file = file.to_string_lossy().into_owned();
        let priority = dice.between(-1, 1).to_string();
        let args = ["submit", &file, "--qname", &plan.queue, "--key", &plan.key, "--priority", &priority];
        while !self.is_over() {
            let (answer, job) = self.request(What::Submit, &plan.key, None, &args, dice)?;
            match (answer, job) {
                (Answer::Ok, Some(job)) => {
                    // Control jobs measure; nobody meddles with them.
                    if plan.queue == WORK {
                        self.known().push((plan.key.clone(), job));
                    }
                    break;
                }
                (Answer::Info, _) => clock::pass(200_000),
                _ => break,
            }
        }
        Ok(())
    }

    fn request(
        &self,
        what: What,
        key: &str,
        job: Option<&str>,
        args: &[&str],
        dice: &mut Dice,
    ) -> Result<(Answer, Option<String>)> {
        let host = format!("h{}", dice.below(self.hosts));
        let begin = clock::mono();
        let (code, out, err) = self.run(&host, what, args)?;
        let job = match what {
            What::Submit if code == Some(0) => Some(out.trim().to_owned()),
            _ => job.map(str::to_owned),
        };
        let answer = match (what, code) {
            (What::Status, Some(0)) => seen(&out).unwrap_or(Answer::Fail),
            (_, Some(0)) => Answer::Ok,
            // Usage, an invalid workflow, not found, refused by the job's state: told before anything was done.
            (_, Some(2..=4 | 8)) => Answer::Fail,
            _ => Answer::Info,
        };
        let words = if code == Some(0) { String::new() } else { format!("{code:?} {err}") };
        let request = Request {
            t: (begin, clock::mono()),
            what,
            key: key.into(),
            job: job.clone(),
            answer: answer.clone(),
            words,
        };
        self.evidence.append("history.jsonl", &request)?;
        Ok((answer, job))
    }

    fn run(&self, host: &str, what: What, args: &[&str]) -> Result<(Option<i32>, String, String)> {
        let mut command = self.setting.qmanager(host, args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = i32::try_from(child.id())?;
        if what == What::Submit {
            lock(&self.submitting).push(pid);
        }
        // What it says fits into a pipe, so it is never held up by us.
        clock::until(PATIENCE, || child.try_wait().is_ok_and(|status| status.is_some()));
        lock(&self.submitting).retain(|other| *other != pid);
        // It has ended, or has had its time.
        let _gone = child.kill();
        let output = child.wait_with_output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.code(), text(&output.stdout), text(&output.stderr)))
    }

    fn known(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        lock(&self.known)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn seen(out: &str) -> Option<Answer> {
    let value: serde_json::Value = serde_json::from_str(out.lines().next()?).ok()?;
    let round = u32::try_from(value["round"].as_u64()?).ok()?;
    Some(Answer::Seen(round, value["status"].as_str()?.to_owned()))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
