//! Random workflows: what is submitted, and what the checker knows of it without asking anyone.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dice::Dice;

/// A job that is submitted under its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobPlan {
    /// The idempotency key; unique in a run.
    pub key: String,
    /// The queue.
    pub queue: String,
    /// The tasks; those that a task depends on stand before it.
    pub tasks: Vec<TaskPlan>,
}

/// A task of a [`JobPlan`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskPlan {
    /// The tasks that it depends on.
    pub after: Vec<usize>,
    /// When it starts.
    pub when: When,
    /// Retries after the first attempt.
    pub retry: u32,
    /// Its failure does not count.
    pub allow_failure: bool,
    /// Milliseconds an attempt may take.
    pub timeout: Option<i64>,
    /// What it does.
    pub body: Body,
}

/// When a task starts, given what its ancestors did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// None failed.
    Success,
    /// At least one failed.
    Failure,
    /// In any case.
    Always,
}

/// What a test task does; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// No process at all.
    Join,
    /// Ends with this code after a while.
    Exit {
        /// The return code.
        code: i32,
        /// How long it takes.
        ms: i64,
        /// From this attempt on it ends with 0.
        heals: Option<u32>,
    },
    /// Ends itself by a signal.
    Signal {
        /// Its number.
        number: i32,
        /// How long it takes before.
        ms: i64,
    },
    /// Leaves a grandchild in a session of its own that keeps standard output open, and ends with 0.
    Forks {
        /// How long it takes.
        ms: i64,
    },
    /// Writes bytes that follow from the seed.
    Output {
        /// Of the bytes.
        seed: u64,
        /// How many.
        bytes: usize,
    },
    /// Ends only when it is killed; `stubborn` = not by SIGTERM.
    Hangs {
        /// Whether it blocks SIGTERM.
        stubborn: bool,
    },
    /// Prints the secret that it was given.
    Secret,
}

/// KILL, ABRT, TERM, USR1. Not SEGV, which the standard library's own handler takes for a stack overflow.
const SIGNALS: &[i32] = &[9, 6, 15, 10];

/// The name of the secret that [`Body::Secret`] has in its environment.
pub const SECRET: &str = "CANARY";

impl JobPlan {
    /// A random job.
    #[must_use]
    pub fn random(dice: &mut Dice, key: String, queue: String) -> Self {
        let (layers, width) = (dice.between(1, 5), dice.between(1, 4));
        let mut tasks: Vec<TaskPlan> = Vec::new();
        for layer in 0..layers {
            let above = tasks.len();
            for _ in 0..dice.between(1, width) {
                let mut after: Vec<usize> = Vec::new();
                if layer > 0 {
                    after.extend((0..dice.between(1, 3)).map(|_| dice.below(above)));
                    after.sort_unstable();
                    after.dedup();
                }
                tasks.push(TaskPlan::random(dice, after));
            }
        }
        Self { key, queue, tasks }
    }

    /// One short task: for measuring how long a job waits.
    #[must_use]
    pub fn single(key: String, queue: String) -> Self {
        Self { key, queue, tasks: vec![TaskPlan::plain(Vec::new(), Body::Exit { code: 0, ms: 1, heals: None })] }
    }

    /// Four tasks: one that fails at first, one that leaves a grandchild, one that writes.
    #[must_use]
    pub fn small(key: String, queue: String) -> Self {
        let first = TaskPlan::plain(Vec::new(), Body::Exit { code: 0, ms: 150, heals: None });
        let heals = Body::Exit { code: 7, ms: 100, heals: Some(2) };
        let flaky = TaskPlan { retry: 2, ..TaskPlan::plain(vec![0], heals) };
        let forks = TaskPlan::plain(vec![0], Body::Forks { ms: 200 });
        let last = TaskPlan::plain(vec![1, 2], Body::Output { seed: 7, bytes: 50_000 });
        Self { key, queue, tasks: vec![first, flaky, forks, last] }
    }

    /// Six tasks: two diamonds, one end that fails and is retried.
    #[must_use]
    pub fn six(key: String, queue: String) -> Self {
        let task = |after: &[usize]| TaskPlan::plain(after.to_vec(), Body::Exit { code: 0, ms: 20, heals: None });
        let flaky = TaskPlan { retry: 1, ..TaskPlan::plain(vec![3], Body::Exit { code: 7, ms: 20, heals: Some(2) }) };
        Self { key, queue, tasks: vec![task(&[]), task(&[0]), task(&[0]), task(&[1, 2]), flaky, task(&[3])] }
    }

    /// The workflow as the command line takes it. `program`: the test task's argv up to its body; `volumes`: what it needs
    /// of the host.
    #[must_use]
    pub fn workflow(&self, program: &[String], volumes: &[String]) -> Value {
        Value::Array((0..self.tasks.len()).map(|ix| self.task(ix, program, volumes)).collect())
    }

    fn task(&self, ix: usize, program: &[String], volumes: &[String]) -> Value {
        let task = &self.tasks[ix];
        let after: Vec<String> = task.after.iter().map(|ix| name(*ix)).collect();
        let mut text = json!({ "name": name(ix), "depends": after, "when": task.when });
        if task.retry > 0 {
            text["retry"] = json!({ "max": task.retry, "backoff": "100ms" });
        }
        if task.allow_failure {
            text["allow_failure"] = json!(true);
        }
        if let Some(ms) = task.timeout {
            text["timeout"] = json!(format!("{ms}ms"));
        }
        if task.body != Body::Join {
            let body = serde_json::to_string(&task.body).expect("BUG: a body is always JSON");
            let mut argv = program.to_vec();
            argv.extend([ix.to_string(), body]);
            text["params"] = json!({ "command": argv });
            if !volumes.is_empty() {
                text["params"]["volumes"] = json!(volumes);
            }
            if task.body == Body::Secret {
                text["params"]["env"] = json!({ SECRET: { "secret": SECRET } });
            }
        }
        text
    }
}

impl TaskPlan {
    fn plain(after: Vec<usize>, body: Body) -> Self {
        Self { after, when: When::Success, retry: 0, allow_failure: false, timeout: None, body }
    }

    fn random(dice: &mut Dice, after: Vec<usize>) -> Self {
        let ms = dice.between(5, 250);
        let mut task = Self::plain(after, Body::Exit { code: 0, ms, heals: None });
        match dice.below(100) {
            0..55 => {}
            55..60 => task.body = Body::Join,
            60..67 => {
                task.body = Body::Exit { code: i32::try_from(dice.between(1, 120)).unwrap_or(1), ms, heals: None };
                task.retry = u32::try_from(dice.below(3)).unwrap_or(0);
            }
            67..73 => {
                task.retry = u32::try_from(dice.between(1, 3)).unwrap_or(1);
                task.body = Body::Exit { code: 7, ms, heals: Some(1 + task.retry) };
            }
            73..77 => task.body = Body::Signal { number: SIGNALS[dice.below(SIGNALS.len())], ms },
            77..82 => task.body = Body::Forks { ms },
            82..88 => task.body = Body::Output { seed: dice.number(), bytes: dice.below(200_000) },
            88..92 => {
                task.body = Body::Hangs { stubborn: dice.percent(40) };
                task.timeout = Some(dice.between(200, 600));
            }
            92..95 => task.body = Body::Secret,
            // Long enough to be there when something happens to it.
            _ => task.body = Body::Exit { code: 0, ms: dice.between(1_000, 3_000), heals: None },
        }
        if !task.after.is_empty() {
            task.when = [When::Success, When::Success, When::Success, When::Success, When::Failure, When::Always]
                [dice.below(6)];
        }
        task.allow_failure = dice.percent(15);
        task
    }
}

/// The name of a task.
#[must_use]
pub fn name(ix: usize) -> String {
    format!("t{ix}")
}

/// The bytes of [`Body::Output`]: printable, with line ends, never the same twice.
#[must_use]
pub fn output(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut text = Vec::with_capacity(bytes + 16);
    while text.len() < bytes {
        text.extend(format!("{:016x}", dice.number()).bytes());
        if dice.percent(20) {
            text.push(b'\n');
        }
    }
    text.truncate(bytes);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_stands_after_those_it_depends_on_and_the_seed_decides_all() {
        let plan = |seed| JobPlan::random(&mut Dice::new(seed), "k".into(), "q".into());
        for seed in 0..200 {
            let job = plan(seed);
            assert!(!job.tasks.is_empty());
            for (ix, task) in job.tasks.iter().enumerate() {
                assert!(task.after.iter().all(|parent| *parent < ix));
                assert!(!matches!(task.body, Body::Hangs { .. }) || task.timeout.is_some());
            }
            let argv = ["p".to_owned()];
            assert_eq!(job.workflow(&argv, &[]), plan(seed).workflow(&argv, &[]));
        }
    }

    #[test]
    fn output_has_its_length_and_depends_on_its_seed() {
        assert_eq!(output(1, 1000).len(), 1000);
        assert_ne!(output(1, 1000), output(2, 1000));
    }
}
