//! A task is a tree: nothing of it outlives the attempt, wherever it has gone.

use std::time::Duration;

use libtest_mimic::Failed;

use super::{
    Bench, Case,
    bench::{number_in, runs},
};
use crate::{Ending, TaskSpec};

pub(super) const CASES: &[(&str, Case)] = &[
    ("f13_escaped_grandchildren_die_on_cancel", on_cancel),
    ("f13_escaped_grandchildren_die_on_timeout", on_timeout),
    ("f13_escaped_grandchildren_die_at_the_end", at_the_end),
    ("f13_a_tree_that_keeps_forking_dies", forking),
    ("f49_a_grandchild_that_keeps_stdout_open_does_not_hold_the_attempt", keeps_stdout),
    ("f49_a_grandchild_that_goes_on_writing_is_heard", goes_on_writing),
    ("orphans_that_end_are_reaped_while_the_task_runs", orphans),
];

/// Starts sleepers that try to escape in four ways; each writes its number to a job file.
const ESCAPE: &str = "
    (sh -c 'echo $$ > child; exec sleep 600' &)
    (setsid sh -c 'trap \"\" TERM HUP; echo $$ > session; exec sleep 600' > /dev/null 2>&1 &)
    (setsid sh -c '(echo; exec sleep 600) & echo $! > double; exit 0' > /dev/null 2>&1 &)
    (env -i PATH=\"$PATH\" setsid sh -c 'trap \"\" HUP; cd /; echo $$ > '\"$PWD\"'/bare; exec sleep 600' > /dev/null 2>&1 &)
    while [ ! -s child ] || [ ! -s session ] || [ ! -s double ] || [ ! -s bare ]; do sleep 0.01; done
";

const ESCAPED: [&str; 4] = ["child", "session", "double", "bare"];

/// A task that lets sleepers escape, then goes on with `then`.
pub(super) fn escaping(bench: &Bench, then: &str) -> TaskSpec {
    bench.script(&format!("{ESCAPE}\necho escaped\n{then}"))
}

/// The numbers of those that have escaped.
pub(super) fn escaped(bench: &Bench) -> Result<Vec<i32>, Failed> {
    ESCAPED.iter().map(|name| number_in(&bench.files().join(name))).collect()
}

/// None of those that have escaped is left.
pub(super) fn all_dead(bench: &Bench) -> Result<(), Failed> {
    if bench.abilities().local_processes {
        for (name, pid) in ESCAPED.iter().zip(escaped(bench)?) {
            assert!(!runs(pid), "{name} ({pid}) is left");
        }
    }
    Ok(())
}

fn on_cancel(bench: &Bench) -> Result<(), Failed> {
    let running = bench.launch(&escaping(bench, "sleep 600"))?;
    running.says("escaped")?;
    let pids = escaped(bench)?;
    assert!(!bench.abilities().local_processes || pids.into_iter().all(runs), "they run before");
    running.ask_to_stop()?;
    let outcome = running.end()?.outcome;
    assert_eq!(outcome.ending, Ending::Stopped, "{outcome:?}");
    all_dead(bench)
}

fn on_timeout(bench: &Bench) -> Result<(), Failed> {
    let mut spec = escaping(bench, "sleep 600");
    spec.timeout = Some(Duration::from_secs(2));
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::TimedOut, "{:?}", ended.outcome);
    assert_eq!(ended.text(), "escaped\n");
    all_dead(bench)
}

fn at_the_end(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&escaping(bench, "exit 4"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 4 }, "the end is the first process's");
    all_dead(bench)
}

fn forking(bench: &Bench) -> Result<(), Failed> {
    // Each generation lives a moment, starts the next in a session of its own, and is gone.
    let script = "
        cat > next <<'END'
        echo $$ > now; sleep 0.02; setsid sh ./next > /dev/null 2>&1 &
END
        setsid sh ./next > /dev/null 2>&1 & setsid sh ./next > /dev/null 2>&1 &
        sleep 0.2; echo forking; exit 0";
    let ended = bench.run(&bench.script(script))?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    if bench.abilities().local_processes {
        std::fs::remove_file(bench.files().join("now"))?;
        // As long as several generations take: whatever was left would have written again.
        std::thread::sleep(Duration::from_millis(150));
        assert!(!bench.files().join("now").exists(), "a generation is left");
    }
    Ok(())
}

fn keeps_stdout(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("sleep 600 & echo $! > child; echo ok"))?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    assert_eq!(ended.text(), "ok\n");
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
    assert!(!bench.abilities().local_processes || !runs(number_in(&bench.files().join("child"))?));
    Ok(())
}

fn goes_on_writing(bench: &Bench) -> Result<(), Failed> {
    if bench.abilities().ends_with_its_first_process {
        // It is heard as long as it lives, which is as long as the first process does: then all end in the same moment.
        let script =
            "(i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; : > wrote; while :; do echo x; done) &
            while [ ! -e wrote ]; do sleep 0.01; done; exit 0";
        let mut spec = bench.script(script);
        spec.log_limit = 1 << 30;
        let ended = bench.run(&spec)?;
        assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
        let (text, expected) = (ended.text(), (0..20_000).map(|number| format!("{number}\n")).collect::<String>());
        let rest = text.strip_prefix(&expected).ok_or("what it wrote first is not all there")?;
        assert!(rest.bytes().all(|byte| matches!(byte, b'x' | b'\n')), "{} bytes besides", rest.len());
        return Ok(());
    }
    // Without pauses of its own: on a busy machine a pause may be longer than the idle time that ends the drain.
    let script = "(i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; sleep 600) & exit 0";
    let ended = bench.run(&bench.script(script))?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    let expected: String = (0..20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(ended.text(), expected);
    let mut spec = bench.script("(while :; do echo x; done) & exit 0");
    spec.log_limit = 1 << 20;
    let endless = bench.run(&spec)?;
    assert!(endless.outcome.is_success(), "{:?}", endless.outcome);
    assert!(endless.took >= Duration::from_secs(5) && endless.took < Duration::from_secs(15), "{:?}", endless.took);
    Ok(())
}

fn orphans(bench: &Bench) -> Result<(), Failed> {
    let script = "for i in $(seq 50); do (sh -c 'exit 0' &) ; done; echo begun; while [ ! -e go ]; do sleep 0.01; done";
    let running = bench.launch(&bench.script(script))?;
    running.says("begun")?;
    if bench.abilities().local_processes {
        let executor = running.executor_pid();
        super::until("no orphan waits to be reaped", || zombies_of(executor) == 0)?;
    }
    std::fs::write(bench.files().join("go"), "")?;
    assert!(running.end()?.outcome.is_success());
    Ok(())
}

fn zombies_of(parent: u32) -> usize {
    let Ok(entries) = std::fs::read_dir("/proc") else { return 0 };
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(&format!("Z {parent} "))))
        .count()
}
