//! Cancel before, while and after; timeouts; tasks that do not want to end.

use std::time::Duration;

use libtest_mimic::Failed;

use super::{Bench, Case};
use crate::{Ending, Shutdown};

pub(super) const CASES: &[(&str, Case)] = &[
    ("cancel_before_the_task_runs", before),
    ("cancel_while_it_runs", running),
    ("cancel_lets_it_clean_up", clean_up),
    ("cancel_after_its_end_changes_nothing", after),
    ("cancel_twice_kills_now", twice),
    ("f12_term_ignored_is_killed_after_the_grace", term_ignored),
    ("f12_term_ignored_at_timeout", term_ignored_at_timeout),
    ("f15_a_stopped_task_times_out", stopped),
    ("cancel_outranks_the_exit_code", exit_code),
];

fn before(bench: &Bench) -> Result<(), Failed> {
    let ended = bench.launch_stopped(&bench.script("sleep 60"), Shutdown::Once)?.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped);
    let ended = bench.launch_stopped(&bench.script("trap '' TERM; sleep 60"), Shutdown::Twice)?.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped);
    Ok(())
}

fn running(bench: &Bench) -> Result<(), Failed> {
    let running = bench.launch(&bench.script("echo begun; sleep 60; echo never"))?;
    running.says("begun")?;
    running.ask_to_stop()?;
    let ended = running.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped);
    assert_eq!(ended.text(), "begun\n");
    Ok(())
}

fn clean_up(bench: &Bench) -> Result<(), Failed> {
    let script = "trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done";
    let running = bench.launch(&bench.script(script))?;
    running.says("begun")?;
    running.ask_to_stop()?;
    let ended = running.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped, "a task that was stopped has not succeeded");
    assert_eq!(ended.text(), "begun\nbye\n");
    assert!(!ended.outcome.message.contains("killed"), "{:?}", ended.outcome);
    Ok(())
}

fn after(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("exit 3");
    let running = bench.launch(&spec)?;
    let handle = running.handle()?;
    assert_eq!(running.end()?.outcome.ending, Ending::Exited { code: 3 });
    bench.stop(&spec, &handle, Shutdown::Once)?;
    assert!(!bench.describe(&spec, &handle)?);
    Ok(())
}

fn twice(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("trap 'echo heard' TERM; echo begun; while :; do sleep 0.01 || :; done");
    spec.grace = Duration::from_secs(600);
    let running = bench.launch(&spec)?;
    running.says("begun")?;
    running.ask_to_stop()?;
    // Two signals of one kind at once are one.
    running.says("heard")?;
    running.ask_to_stop()?;
    let ended = running.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped);
    assert!(ended.outcome.message.contains("killed"), "{:?}", ended.outcome);
    Ok(())
}

fn term_ignored(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("trap '' TERM; echo begun; while :; do sleep 0.01; done");
    let running = bench.launch(&spec)?;
    running.says("begun")?;
    running.ask_to_stop()?;
    let ended = running.end()?;
    assert_eq!(ended.outcome.ending, Ending::Stopped);
    assert!(ended.outcome.message.contains("ignored SIGTERM"), "{:?}", ended.outcome);
    assert!(ended.took >= spec.grace, "{:?}", ended.took);
    Ok(())
}

fn term_ignored_at_timeout(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("trap '' TERM; echo begun; while :; do sleep 0.01; done");
    spec.timeout = Some(Duration::from_millis(200));
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::TimedOut, "{:?}", ended.outcome);
    assert!(ended.outcome.message.contains("ignored SIGTERM"), "{:?}", ended.outcome);
    Ok(())
}

fn stopped(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("trap 'echo bye; exit 0' TERM; kill -STOP $$; echo on; while :; do sleep 0.01; done");
    spec.timeout = Some(Duration::from_millis(300));
    spec.grace = Duration::from_secs(20);
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::TimedOut, "{:?}", ended.outcome);
    assert!(ended.text().contains("bye"), "it is woken to clean up: {:?}", ended.text());
    assert!(ended.took < spec.grace, "{:?}", ended.took);
    Ok(())
}

fn exit_code(bench: &Bench) -> Result<(), Failed> {
    let running = bench.launch(&bench.script("trap 'exit 7' TERM; echo begun; while :; do sleep 0.01; done"))?;
    running.says("begun")?;
    running.ask_to_stop()?;
    let outcome = running.end()?.outcome;
    assert_eq!(outcome.ending, Ending::Stopped, "{outcome:?}");
    Ok(())
}
