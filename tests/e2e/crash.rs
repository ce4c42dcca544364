//! kill -9 of qworker, task-executor and qmanager at random moments: nothing is lost, what lived is not run again,
//! nothing is left behind. Judged by what the tasks wrote themselves.

use std::collections::BTreeMap;

use rustix::process::{Pid, Signal};

use crate::{
    harness::{Host, Running, until},
    witness::Witness,
};

/// Small, seeded, and the same on every machine: a failing seed replays the same choices.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("below n")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Worker,
    Executor,
    Manager,
}

/// What was killed, and whose task it may have cost.
#[derive(Debug, Default)]
struct Toll {
    kills: BTreeMap<Victim, u32>,
    /// Executors that were seen with this task.
    tasks: BTreeMap<String, u32>,
    /// Executors whose task was not to be seen: just spawned, or about to end.
    unseen: u32,
}

const DAEMON: &[&str] = &["--workers", "2", "--parallel", "4"];

fn host() -> Host {
    Host::new()
        .with_env("QMANAGER__TIMES__BACKOFF", "10ms")
        .with_env("QMANAGER__TIMES__BACKOFF_MAX", "100ms")
        .with_env("QMANAGER__TASKS__GRACE", "2s")
}

/// A job of `tasks` short tasks in a loose graph, `kills` kills while it runs.
fn storm(seed: u64, tasks: usize, kills: u32) {
    let mut dice = Dice(seed);
    let host = host();
    let witness = Witness::new(host.dir());
    let mut depends = BTreeMap::new();
    let mut text = String::new();
    for n in 0..tasks {
        let name = format!("t{n}");
        let mut needs = Vec::new();
        for _ in 0..2 {
            if n > 8 && dice.below(3) > 0 {
                needs.push(format!("t{}", dice.below(n)));
            }
        }
        text += &witness.task(&name, &needs, &format!("sleep 0.0{}", 1 + dice.below(6)));
        depends.insert(name, needs);
    }
    let file = host.write("storm.yaml", text);
    let mut daemon = host.start(DAEMON);
    let job = host.submit(&[file.to_str().expect("text")]);

    let mut toll = Toll::default();
    for _ in 0..kills {
        // The moments are spread over the job's own progress, not over time.
        let next = witness.len() + 1 + dice.below(2 * tasks / kills as usize);
        until("the job goes on", || witness.len() >= next || is_over(&host, &job));
        if is_over(&host, &job) {
            break;
        }
        let victim = [Victim::Worker, Victim::Executor, Victim::Manager][dice.below(3)];
        strike(&host, &mut daemon, victim, &mut dice, &mut toll);
    }
    let done = host.qmanager(["wait", &job, "--timeout", "120s"]);
    // A storm is not easily replayed: say what became of the job.
    let why = host.qmanager(["explain", &job]).stdout;
    assert_eq!(done.status.code(), Some(0), "seed {seed}, {toll:?}: {why}");

    let status = host.qmanager(["status", &job, "--tasks", "--json"]).success().json().remove(0);
    let rows = status["task_list"].as_array().expect("tasks");
    assert_eq!(rows.len(), tasks);
    for row in rows {
        assert_eq!(row["status"], "succeeded", "seed {seed}, {toll:?}: {row}");
    }
    let testimony = witness.read();
    testimony.assert_order(&depends);
    testimony.assert_attempts_distinct();
    assert_eq!(testimony.ended().len(), tasks, "I8: every success has an end that its task wrote");
    let mut unexplained = 0;
    for (task, begins) in testimony.begins() {
        unexplained += (begins - 1).saturating_sub(toll.tasks.get(task).copied().unwrap_or(0));
    }
    assert!(
        unexplained <= toll.unseen,
        "seed {seed}: {unexplained} runs again of tasks whose executor lived: {toll:?}"
    );
    assert!(toll.kills.len() == 3, "seed {seed}: a run without each kind of fault proves nothing: {toll:?}");

    host.qmanager(["stop"]).success();
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

fn is_over(host: &Host, job: &str) -> bool {
    let done = host.qmanager(["status", job, "--json"]);
    done.code() == 0 && matches!(done.json()[0]["status"].as_str(), Some("succeeded" | "failed" | "cancelled"))
}

fn strike(host: &Host, daemon: &mut Running, victim: Victim, dice: &mut Dice, toll: &mut Toll) {
    if victim == Victim::Manager {
        daemon.end(Signal::KILL);
        *daemon = host.start(DAEMON);
    } else {
        let title = if victim == Victim::Worker { "qworker: " } else { "task-executor: " };
        let found: Vec<i32> = host.titled(title).into_iter().filter(|&pid| !is_unborn_task(pid)).collect();
        if found.is_empty() {
            return;
        }
        let pid = found[dice.below(found.len())];
        if victim == Victim::Executor {
            match task_of(pid) {
                Some(task) => *toll.tasks.entry(task).or_default() += 1,
                None => toll.unseen += 1,
            }
        }
        // It may have ended by itself in between: then nothing was cost.
        let _gone = rustix::process::kill_process(Pid::from_raw(pid).expect("a pid"), Signal::KILL);
    }
    *toll.kills.entry(victim).or_default() += 1;
}

/// Whether this is a task's own process that is spawned but not yet executed: until then it bears its executor's command
/// line, and killing it is a death of the task by a signal, which is the task's failure and no fault of ours.
fn is_unborn_task(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name is in parentheses and may hold any character; the parent is the second field after it.
    let Some(parent) = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)) else { return true };
    std::fs::read_to_string(format!("/proc/{parent}/comm")).is_ok_and(|name| name.trim_end() == "task-executor")
}

/// The task that an executor's child has in its environment.
fn task_of(executor: i32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{executor}/task/{executor}/children")).ok()?;
    let child = children.split_whitespace().next()?;
    let environment = std::fs::read(format!("/proc/{child}/environ")).ok()?;
    let mut lines = environment.split(|byte| *byte == 0).filter_map(|line| std::str::from_utf8(line).ok());
    lines.find_map(|line| line.strip_prefix("QM_TASK=")).map(str::to_owned)
}

/// `QMANAGER_STORM=SEEDS,TASKS,KILLS` makes it longer: the acceptance run is `10,500,100`.
#[test]
fn f01_f02_f03_kill_9_at_random_moments() {
    let wanted = std::env::var("QMANAGER_STORM").unwrap_or_else(|_| "1,200,40".into());
    let numbers: Vec<u32> = wanted.split(',').map(|n| n.parse().expect("QMANAGER_STORM=SEEDS,TASKS,KILLS")).collect();
    let &[seeds, tasks, kills] = numbers.as_slice() else { panic!("QMANAGER_STORM=SEEDS,TASKS,KILLS") };
    for seed in 1..=u64::from(seeds) {
        storm(seed, tasks as usize, kills);
    }
}
