//! The task executor is killed: its task is found again by the handle, and either goes on or is ended. Never is it taken
//! for a success.

use libtest_mimic::Failed;

use super::{
    Bench, Case,
    bench::runs,
    tree::{all_dead, escaped, escaping},
};
use crate::{Ending, Handle, ShellHandle, Shutdown};

pub(super) const CASES: &[(&str, Case)] = &[
    ("f02_executor_killed_task_is_found_and_ended", found_and_ended),
    ("f02_executor_killed_escaped_grandchildren_are_ended", escaped_are_ended),
    ("executor_killed_task_ends_by_itself", ends_by_itself),
    ("executor_killed_reattach", reattach),
    ("f08_a_handle_of_an_earlier_boot_or_process_hits_nobody", foreign_process),
];

fn found_and_ended(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("trap '' TERM; echo begun; while :; do sleep 0.01; done");
    let mut running = bench.launch(&spec)?;
    running.says("begun")?;
    let handle = running.handle()?;
    assert!(bench.describe(&spec, &handle)?);
    running.kill_executor()?;
    assert!(bench.describe(&spec, &handle)?, "the task lives on");
    bench.stop(&spec, &handle, Shutdown::Once)?;
    assert!(!bench.describe(&spec, &handle)?);
    bench.stop(&spec, &handle, Shutdown::Once)
}

fn escaped_are_ended(bench: &Bench) -> Result<(), Failed> {
    let spec = escaping(bench, "sleep 600");
    let mut running = bench.launch(&spec)?;
    running.says("escaped")?;
    let handle = running.handle()?;
    let cgroup = cgroup(&handle);
    running.kill_executor()?;
    bench.stop(&spec, &handle, Shutdown::Twice)?;
    assert!(!bench.describe(&spec, &handle)?);
    if !bench.abilities().local_processes {
        return Ok(());
    }
    // The last one has cleared its environment, left the session and the folder: only a cgroup holds it.
    if cgroup.is_some() {
        return all_dead(bench);
    }
    let pids = escaped(bench)?;
    let (bare, others) = pids.split_last().ok_or("nothing has escaped")?;
    assert!(others.iter().all(|pid| !runs(*pid)), "{others:?}");
    if let Some(pid) = rustix::process::Pid::from_raw(*bare) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
    }
    Ok(())
}

fn ends_by_itself(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("echo begun; while [ ! -e go ]; do sleep 0.01; done; printf done > result");
    let mut running = bench.launch(&spec)?;
    running.says("begun")?;
    let handle = running.handle()?;
    running.kill_executor()?;
    std::fs::write(bench.files().join("go"), "")?;
    super::until("the task has ended", || !bench.describe(&spec, &handle).unwrap_or(true))?;
    assert_eq!(std::fs::read_to_string(bench.files().join("result"))?, "done");
    // As a worker does after every lost executor: takes away what is no process.
    bench.stop(&spec, &handle, Shutdown::Once)?;
    let cgroup = cgroup(&handle);
    assert!(cgroup.is_none_or(|path| !path.exists()), "{cgroup:?} is left");
    Ok(())
}

fn reattach(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("echo begun; while [ ! -e go ]; do sleep 0.01; done; exit 6");
    let mut running = bench.launch(&spec)?;
    running.says("begun")?;
    let handle = running.handle()?;
    running.kill_executor()?;
    if bench.abilities().reattaches {
        std::fs::write(bench.files().join("go"), "")?;
        assert_eq!(bench.attach(&spec, &handle)?.outcome.ending, Ending::Exited { code: 6 });
    } else {
        let ended = bench.attach(&spec, &handle)?;
        assert_eq!(ended.outcome.ending, Ending::Lost, "unknown is never success");
        assert!(bench.describe(&spec, &handle)?, "nothing was touched");
        bench.stop(&spec, &handle, Shutdown::Twice)?;
    }
    Ok(())
}

fn foreign_process(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("echo begun; while [ ! -e go ]; do sleep 0.01; done; exit 6");
    let running = bench.launch(&spec)?;
    running.says("begun")?;
    let real = match running.handle()? {
        Handle::Shell(real) => real,
        Handle::Docker(real) => {
            let mut foreign = real;
            foreign.marker = "QM_MARK=of-another-attempt".into();
            let handle = Handle::Docker(foreign);
            bench.stop(&spec, &handle, Shutdown::Twice)?;
            assert!(!bench.describe(&spec, &handle)?);
            std::fs::write(bench.files().join("go"), "")?;
            assert_eq!(running.end()?.outcome.ending, Ending::Exited { code: 6 }, "it was not touched");
            return Ok(());
        }
    };
    let mut earlier = real.clone();
    earlier.leader.start_time -= 1;
    earlier.marker = "QM_MARK=of-another-attempt".into();
    earlier.session = 0;
    earlier.cgroup = None;
    let mut other_boot = real;
    other_boot.leader.boot_id = "00000000-0000-0000-0000-000000000000".into();
    // Its folder is another, too: an attempt's processes work in its own job files.
    let mut elsewhere = spec;
    elsewhere.job_files = "/proc/self".into();
    for handle in [Handle::Shell(earlier), Handle::Shell(other_boot)] {
        bench.stop(&elsewhere, &handle, Shutdown::Twice)?;
        assert!(!bench.describe(&elsewhere, &handle)?);
    }
    std::fs::write(bench.files().join("go"), "")?;
    assert_eq!(running.end()?.outcome.ending, Ending::Exited { code: 6 }, "it was not touched");
    Ok(())
}

fn cgroup(handle: &Handle) -> Option<&std::path::PathBuf> {
    match handle {
        Handle::Shell(ShellHandle { cgroup, .. }) => cgroup.as_ref(),
        Handle::Docker(_) => None,
    }
}
