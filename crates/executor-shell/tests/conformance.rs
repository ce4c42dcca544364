//! The shell executor under the suite that every executor runs, with and without a cgroup for each task; and what only
//! processes can get wrong.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::{Command, ExitCode},
    time::Duration,
};

use executor::{
    Ending, Handle,
    conformance::{Abilities, Bench, Case, Subject, main as run},
};
use executor_shell::ShellExecutor;
use libtest_mimic::Failed;
use rustix::io::FdFlags;

const SHELL: Subject = Subject {
    make: || Box::new(ShellExecutor::new()),
    variants: &[("plain", |spec| spec.cgroup = false), ("cgroup", |spec| spec.cgroup = true)],
    abilities: Abilities {
        tells_signals: true,
        reattaches: false,
        local_processes: true,
        ends_with_its_first_process: false,
        keeps_partial_files: true,
        adds_variables: &[],
    },
};

const CASES: &[(&str, Case)] = &[
    ("f09_a_program_that_is_being_written", busy),
    ("f09_a_program_that_is_replaced", replaced),
    ("f09_an_environment_that_is_too_large", too_large),
    ("a_script_without_first_line_and_one_without_its_interpreter", interpreters),
    ("f16_only_descriptors_0_to_2", descriptors),
    ("f16_closed_descriptors_0_to_2", closed_descriptors),
    ("f16_blocked_and_ignored_signals_are_not_inherited", signals),
    ("a_session_and_a_group_of_its_own", session),
    ("the_callers_umask", umask),
    ("rlimits_hold_for_the_task_alone", rlimits),
    ("no_new_privs", no_new_privs),
    ("run_as", run_as),
    ("a_cgroup_of_its_own_and_nothing_left_of_it", cgroup),
    ("the_program_is_sought_in_the_tasks_path", path),
];

fn main() -> ExitCode {
    run(SHELL, CASES)
}

/// A program of the job files, by its text.
fn program(bench: &Bench, name: &str, text: &str) -> Result<(), Failed> {
    let path = bench.files().join(name);
    fs::write(&path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// The executor, started by a shell that runs `before` first.
#[expect(clippy::disallowed_methods, reason = "the suite starts its task executors itself")]
fn by_shell(bench: &Bench, before: &str) -> Result<Command, Failed> {
    let plain = bench.executor_command()?;
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{before}; exec \"$0\" \"$@\"")).arg(plain.get_program()).args(plain.get_args());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    Ok(command)
}

fn busy(bench: &Bench) -> Result<(), Failed> {
    program(bench, "script", "#!/bin/sh\necho ran\n")?;
    let writer = File::options().append(true).open(bench.files().join("script"))?;
    let ended = bench.run(&bench.task(&["./script"]))?;
    assert_eq!(ended.outcome.ending, Ending::StartFailed { code: 126 });
    assert!(ended.outcome.message.contains("open for writing"), "{:?}", ended.outcome);
    drop(writer);
    assert_eq!(bench.run(&bench.task(&["./script"]))?.text(), "ran\n");
    Ok(())
}

fn replaced(bench: &Bench) -> Result<(), Failed> {
    program(bench, "script", "#!/bin/sh\necho old; while [ ! -e go ]; do sleep 0.01; done; echo old\n")?;
    let running = bench.launch(&bench.task(&["./script"]))?;
    running.says("old")?;
    program(bench, "new", "#!/bin/sh\necho new\n")?;
    fs::rename(bench.files().join("new"), bench.files().join("script"))?;
    fs::write(bench.files().join("go"), "")?;
    assert_eq!(running.end()?.text(), "old\nold\n");
    assert_eq!(bench.run(&bench.task(&["./script"]))?.text(), "new\n");
    Ok(())
}

fn too_large(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("true");
    spec.env.push(("BIG".into(), "x".repeat(200_000)));
    let outcome = bench.run(&spec)?.outcome;
    assert_eq!(outcome.ending, Ending::Invalid);
    assert!(outcome.message.contains("too large") && outcome.message.contains("stdin"), "{outcome:?}");
    let mut spec = bench.script("true");
    spec.env.push(("NUL".into(), "a\0b".into()));
    let outcome = bench.run(&spec)?.outcome;
    assert!(outcome.ending == Ending::Invalid && outcome.message.contains("NUL"), "{outcome:?}");
    Ok(())
}

fn interpreters(bench: &Bench) -> Result<(), Failed> {
    program(bench, "bare", "echo no first line\n")?;
    let outcome = bench.run(&bench.task(&["./bare"]))?.outcome;
    assert_eq!(outcome.ending, Ending::StartFailed { code: 126 });
    assert!(outcome.message.contains("#!/bin/sh"), "{outcome:?}");
    program(bench, "lost", "#!/no/such/interpreter\n")?;
    let outcome = bench.run(&bench.task(&["./lost"]))?.outcome;
    assert_eq!(outcome.ending, Ending::StartFailed { code: 126 });
    assert!(outcome.message.contains("interpreter"), "{outcome:?}");
    let outcome = bench.run(&bench.task(&["/tmp"]))?.outcome;
    assert_eq!(outcome.ending, Ending::StartFailed { code: 126 });
    assert!(outcome.message.contains("folder"), "{outcome:?}");
    Ok(())
}

fn descriptors(bench: &Bench) -> Result<(), Failed> {
    // As if whoever started us had left it open for everybody.
    let leaked = File::open("/dev/null")?;
    rustix::io::fcntl_setfd(&leaked, FdFlags::empty())?;
    let ended = bench.run(&bench.script("ls /proc/$$/fd; true"))?;
    assert_eq!(ended.text(), "0\n1\n2\n");
    Ok(())
}

fn closed_descriptors(bench: &Bench) -> Result<(), Failed> {
    let mut command = by_shell(bench, "exec 1>&- 2>&-")?;
    let ended = bench.launch_by(&mut command, &bench.script("echo out; echo err >&2"))?.end()?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    assert_eq!((ended.text().as_str(), ended.err.tail.as_str()), ("out\n", "err\n"));
    Ok(())
}

fn signals(bench: &Bench) -> Result<(), Failed> {
    let mut command = by_shell(bench, "trap '' TERM HUP INT QUIT CHLD PIPE USR1")?;
    let script = "grep -E 'Sig(Blk|Ign)' /proc/self/status; (exit 3); echo $?; kill -TERM $$; sleep 60";
    let ended = bench.launch_by(&mut command, &bench.script(script))?.end()?;
    // `set -e` ends the script at `(exit 3)`; its masks are what counts here.
    let mask = |name: &str| {
        let text = ended.text();
        let hex = text.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()));
        hex.and_then(|hex| u64::from_str_radix(&hex, 16).ok()).ok_or_else(|| format!("no {name} in {text:?}"))
    };
    assert_eq!(mask("SigBlk:")?, 0);
    // 32 and 33 are the C library's own, which it ignores in what it starts by posix_spawn.
    assert_eq!(mask("SigIgn:")? & !(0b11 << 31), 0);
    assert_eq!(ended.outcome.ending, Ending::Exited { code: 3 }, "an ignored SIGCHLD would hide it");
    Ok(())
}

fn session(bench: &Bench) -> Result<(), Failed> {
    let running =
        bench.launch(&bench.script("cut -d' ' -f1,5,6 /proc/$$/stat; while [ ! -e go ]; do sleep 0.01; done"))?;
    let Handle::Shell(handle) = running.handle()? else { return Err("no handle of a process".into()) };
    let executor = i32::try_from(running.executor_pid())?;
    fs::write(bench.files().join("go"), "")?;
    let pid = handle.leader.pid;
    assert_eq!(running.end()?.text(), format!("{pid} {pid} {executor}\n"));
    assert_eq!(handle.session, executor);
    Ok(())
}

fn umask(bench: &Bench) -> Result<(), Failed> {
    let mut command = by_shell(bench, "umask 027")?;
    assert_eq!(bench.launch_by(&mut command, &bench.script("umask"))?.end()?.text(), "0027\n");
    Ok(())
}

fn rlimits(bench: &Bench) -> Result<(), Failed> {
    // The soft limits are there from birth, the hard ones a moment later.
    let script = "ulimit -Sn; while [ \"$(ulimit -Hn)\" != 64 ]; do :; done; ulimit -Hn
        head -c 5000 /dev/zero | tr '\\0' x
        head -c 5000 /dev/zero > large || echo cut";
    let mut spec = bench.script(script);
    spec.rlimits = vec![("nofile".into(), 64), ("fsize".into(), 1024), ("core".into(), 0)];
    spec.timeout = Some(Duration::from_secs(20));
    let ended = bench.run(&spec)?;
    let expected = format!("64\n64\n{}cut\n", "x".repeat(5000));
    assert_eq!(ended.text(), expected, "the log is larger than the task's files may be: {:?}", ended.err.tail);
    assert_eq!(fs::metadata(bench.files().join("large"))?.len(), 1024);
    let problems = (SHELL.make)().check(&{
        spec.rlimits = vec![("files".into(), 1)];
        spec
    });
    assert!(problems.is_err_and(|problems| problems[0].contains("\"files\"")));
    Ok(())
}

fn no_new_privs(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("grep NoNewPrivs /proc/self/status | tr -d '\\t'");
    assert_eq!(bench.run(&spec)?.text(), "NoNewPrivs:0\n");
    spec.no_new_privs = true;
    assert_eq!(bench.run(&spec)?.text(), "NoNewPrivs:1\n");
    Ok(())
}

fn run_as(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("id -u; id -g; id -G; sleep 600 & exit 0");
    spec.run_as = Some((65534, 65533));
    let ended = bench.run(&spec)?;
    if rustix::process::geteuid().is_root() {
        assert_eq!(ended.text(), "65534\n65533\n65533\n", "{:?}", ended.outcome);
    } else {
        assert_eq!(ended.outcome.ending, Ending::Invalid);
        assert!(ended.outcome.message.contains("run_as"), "{:?}", ended.outcome);
    }
    Ok(())
}

fn cgroup(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("tail -n 1 /proc/self/cgroup; while [ ! -e go ]; do sleep 0.01; done; sleep 600 &");
    let running = bench.launch(&spec)?;
    let Handle::Shell(handle) = running.handle()? else { return Err("no handle of a process".into()) };
    fs::write(bench.files().join("go"), "")?;
    let ended = running.end()?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    let Some(path) = handle.cgroup else {
        // Asked for, but not to be had here: the promises hold all the same, as the rest of the suite shows.
        return Ok(());
    };
    assert!(spec.cgroup, "not made unless asked for");
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    assert!(!name.is_empty() && ended.text().trim_end().ends_with(name), "{} in {:?}", ended.text(), path);
    assert!(!path.exists());
    Ok(())
}

fn path(bench: &Bench) -> Result<(), Failed> {
    fs::create_dir(bench.files().join("bin"))?;
    program(bench, "bin/tool", "#!/bin/sh\necho \"$0\"\n")?;
    let mut spec = bench.task(&["tool"]);
    let bin = bench.files().join("bin");
    spec.env.push(("PATH".into(), format!("/no/such:{}:/bin", bin.display())));
    assert_eq!(bench.run(&spec)?.text(), format!("{}/tool\n", bin.display()));
    fs::set_permissions(bin.join("tool"), fs::Permissions::from_mode(0o644))?;
    let outcome = bench.run(&spec)?.outcome;
    assert_eq!(outcome.ending, Ending::StartFailed { code: 126 });
    assert!(outcome.message.contains("chmod +x"), "{outcome:?}");
    Ok(())
}
