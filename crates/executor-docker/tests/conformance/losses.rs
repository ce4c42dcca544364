//! The engine is killed, shut down or stopped while its containers run.

use std::time::Duration;

use executor::{
    Ending, Handle,
    conformance::{Bench, Case},
};
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process};

use super::{engine, set};

pub(super) const CASES: &[(&str, Case)] = &[
    ("f52_an_engine_that_was_killed_leaves_no_success_that_nobody_saw", engine_killed),
    ("f52_an_engine_that_shuts_down_leaves_no_success", engine_shut_down),
    ("f52_a_killed_shim_is_no_end_of_the_tasks_own", shim_killed),
    ("f53_an_engine_that_hangs_holds_up_no_timeout_for_ever", engine_hangs),
];

fn signal(pid: i32, signal: Signal) -> Result<(), Failed> {
    Ok(kill_process(Pid::from_raw(pid).ok_or("no process")?, signal)?)
}

/// The tasks of an engine of the case's own, which is lost to them.
fn lost_engine(bench: &Bench, loss: Signal) -> Result<(), Failed> {
    let own = engine::Own::start()?;
    let task = |text: &str| {
        let mut spec = bench.script(text);
        set(&mut spec, |container| container.host = own.host());
        spec
    };
    // One that makes a success of the engine's own SIGTERM, and one that ends by itself while nobody looks.
    let mut polite = task("trap 'exit 0' TERM; echo begun; while :; do sleep 0.01; done");
    polite.marker.push_str("/polite");
    let polite = bench.launch(&polite)?;
    polite.says("begun")?;
    let by_itself = bench.launch(&task("echo begun; while [ ! -e go ]; do sleep 0.01; done; exit 3"))?;
    by_itself.says("begun")?;
    signal(own.pid(), loss)?;
    std::fs::write(bench.files().join("go"), "")?;
    own.restart();
    let ended = polite.end()?;
    assert_eq!(ended.outcome.ending, Ending::Lost, "unknown is never success: {:?}", ended.outcome);
    let ended = by_itself.end()?;
    assert!(matches!(ended.outcome.ending, Ending::Exited { code: 3 } | Ending::Lost), "{:?}", ended.outcome);
    assert_eq!(engine::docker(&own.host(), &["ps", "-aq"]), "", "no container is left");
    Ok(())
}

fn engine_killed(bench: &Bench) -> Result<(), Failed> {
    lost_engine(bench, Signal::KILL)
}

fn engine_shut_down(bench: &Bench) -> Result<(), Failed> {
    lost_engine(bench, Signal::TERM)
}

fn engine_hangs(bench: &Bench) -> Result<(), Failed> {
    let own = engine::Own::start()?;
    let mut spec = bench.script("echo begun; sleep 600");
    set(&mut spec, |container| container.host = own.host());
    spec.timeout = Some(Duration::from_secs(2));
    let running = bench.launch(&spec)?;
    running.says("begun")?;
    signal(own.pid(), Signal::STOP)?;
    // Longer than its time: only then it is sure that the end was asked for while nobody answered.
    std::thread::sleep(Duration::from_secs(3));
    signal(own.pid(), Signal::CONT)?;
    assert_eq!(running.end()?.outcome.ending, Ending::TimedOut);
    Ok(())
}

/// A container's shim is killed, and in comparison its task itself.
fn shim_killed(bench: &Bench) -> Result<(), Failed> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    for init in [true, false] {
        let mut spec = bench.script("trap '' TERM; echo begun; while :; do sleep 0.01; done");
        set(&mut spec, |container| container.init = init);
        let running = bench.launch(&spec)?;
        running.says("begun")?;
        let Handle::Docker(handle) = running.handle()? else { return Err("no container".into()) };
        let id = engine::docker(&handle.host, &["inspect", "--format", "{{.Id}}", &handle.name]);
        let shims = engine::shims(&id);
        assert!(!shims.is_empty(), "there is a shim");
        shims.into_iter().try_for_each(|pid| signal(pid, Signal::KILL))?;
        let outcome = running.end()?.outcome;
        assert_eq!(outcome.ending, Ending::Lost, "init {init}: {outcome:?}");
        assert!(outcome.message.contains("shim"), "{outcome:?}");
        let mut spec = bench.script("echo begun; kill -9 $$; sleep 600");
        set(&mut spec, |container| container.init = init);
        // Without init it is the first process of its namespace, which cannot kill itself: then it ends by itself so.
        spec.argv = Some(["/bin/sh", "-c", if init { "kill -9 $$" } else { "exit 137" }].map(str::to_owned).to_vec());
        let outcome = bench.run(&spec)?.outcome;
        assert_eq!(outcome.ending, Ending::Exited { code: 137 }, "init {init}: {outcome:?}");
    }
    Ok(())
}
