//! Each way to end is told from all others.

use std::time::Duration;

use libtest_mimic::Failed;

use super::{Bench, Case};
use crate::Ending;

pub(super) const CASES: &[(&str, Case)] = &[
    ("exit_code_0_is_success", exit_code_0),
    ("exit_code_1_is_the_users", exit_code_1),
    ("exit_code_137_is_no_signal", exit_code_137),
    ("death_by_signal_is_never_success", death_by_signal),
    ("a_missing_program_is_127_and_says_where_it_was_sought", missing_program),
    ("a_file_that_cannot_be_executed_is_126", not_executable),
    ("a_failing_line_fails_the_task", failing_line),
    ("timeout_ends_the_task", timeout),
    ("timeout_does_not_touch_a_task_that_is_in_time", in_time),
    ("no_command_is_refused_before_anything_starts", no_command),
];

fn exit_code_0(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("true"))?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    assert_eq!(ended.outcome.message, "");
    assert_eq!((ended.out.bytes, ended.err.bytes), (0, 0));
    Ok(())
}

fn exit_code_1(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("exit 1"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 1 });
    assert!(ended.outcome.message.contains("exit code 1"), "{:?}", ended.outcome);
    Ok(())
}

fn exit_code_137(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("exit 137"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 137 });
    Ok(())
}

fn death_by_signal(bench: &Bench) -> Result<(), Failed> {
    for (name, number) in [("TERM", 15), ("KILL", 9), ("USR1", 10)] {
        let ended = bench.run(&bench.script(&format!("kill -{name} $$")))?;
        assert!(!ended.outcome.is_success());
        if bench.abilities().tells_signals {
            assert_eq!(ended.outcome.ending, Ending::Signaled { signal: number });
            assert!(ended.outcome.message.contains(&format!("SIG{name}")), "{:?}", ended.outcome);
        }
    }
    Ok(())
}

fn missing_program(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.task(&["no-such-program-here", "x"]))?;
    assert_eq!(ended.outcome.ending, Ending::StartFailed { code: 127 });
    let message = &ended.outcome.message;
    assert!(message.contains("no-such-program-here") && message.contains("/usr/bin"), "{message}");
    let ended = bench.run(&bench.script("no-such-program-here"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 127 });
    assert!(ended.outcome.message.contains("PATH"), "{:?}", ended.outcome);
    let ended = bench.run(&bench.task(&["./no-such-file"]))?;
    assert_eq!(ended.outcome.ending, Ending::StartFailed { code: 127 });
    Ok(())
}

fn not_executable(bench: &Bench) -> Result<(), Failed> {
    std::fs::write(bench.files().join("data.txt"), "no program")?;
    let ended = bench.run(&bench.task(&["./data.txt"]))?;
    assert_eq!(ended.outcome.ending, Ending::StartFailed { code: 126 });
    assert!(ended.outcome.message.contains("chmod +x"), "{:?}", ended.outcome);
    Ok(())
}

fn failing_line(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.run(&bench.script("echo one\nfalse\necho two"))?;
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 1 });
    assert_eq!(ended.text(), "one\n");
    Ok(())
}

fn timeout(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("echo begun; sleep 60; echo never");
    spec.timeout = Some(Duration::from_millis(300));
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::TimedOut, "{:?}", ended.outcome);
    assert!(ended.outcome.message.contains("300ms"), "{:?}", ended.outcome);
    assert_eq!(ended.text(), "begun\n");
    assert!(ended.took >= Duration::from_millis(300), "{:?}", ended.took);
    Ok(())
}

fn in_time(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("exit 5");
    spec.timeout = Some(Duration::from_secs(60));
    assert_eq!(bench.run(&spec)?.outcome.ending, Ending::Exited { code: 5 });
    Ok(())
}

fn no_command(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("true");
    spec.argv = None;
    let executor = (bench.subject().make)();
    let problems = executor.check(&spec).err().unwrap_or_default();
    if executor.kind() == workflow_model::ExecutorKind::Shell {
        assert!(problems.iter().any(|problem| problem.contains("`command`")), "{problems:?}");
        assert_eq!(bench.run(&spec)?.outcome.ending, Ending::Invalid);
    }
    Ok(())
}
