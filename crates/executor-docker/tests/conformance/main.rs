//! The docker executor on a real engine, under the suite that every executor runs; and what only an engine can get wrong.

#[path = "../../../../tests/engine.rs"]
mod engine;
mod images;
mod losses;
mod lossy;
#[path = "../../../../tests/registry.rs"]
mod registry;
#[path = "../../../../tests/script.rs"]
mod script;

use std::{io::Write as _, os::unix::fs::MetadataExt as _, process::ExitCode, time::Duration};

use executor::{
    Container, Ending, Handle, Pull, TaskSpec,
    conformance::{Abilities, Bench, Case, Subject, main_with as run, until},
};
use executor_docker::DockerExecutor;
use libtest_mimic::Failed;

const DOCKER: Subject = Subject {
    make: || Box::new(DockerExecutor::new()),
    variants: &[("", |spec| {
        spec.image = Some("busybox:local".into());
        spec.container = Some(Box::new(container()));
    })],
    abilities: Abilities {
        tells_signals: false,
        reattaches: true,
        local_processes: false,
        ends_with_its_first_process: true,
        keeps_partial_files: true,
        adds_variables: &["HOME", "HOSTNAME"],
    },
};

fn container() -> Container {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Container {
        host: engine::host().expect("an engine"),
        pull: Pull::Never,
        pull_timeout: Duration::from_secs(30),
        credentials: None,
        pulls: None,
        user: Some(own),
        network: "none".into(),
        capabilities: Vec::new(),
        host_namespaces: Vec::new(),
        privileged: false,
        no_new_privileges: true,
        pids: 500,
        init: true,
        log_driver: "local".into(),
        labels: Vec::new(),
    }
}

const CASES: &[(&str, Case)] = &[
    ("f51_every_exit_code_is_the_containers", exit_codes),
    ("f55_output_is_the_same_when_another_executor_goes_on", output_after_attach),
    ("f55_a_log_that_cannot_be_read_is_no_failure", no_log),
    ("f57_out_of_memory", out_of_memory),
    ("f58_a_container_that_was_made_already_is_taken", made_already),
    ("f58_a_container_of_another_origin_is_not_touched", made_by_others),
    ("a_container_may_do_nothing_by_default", rights),
    ("files_belong_to_whoever_it_runs_as", owner),
];

fn main() -> ExitCode {
    run(DOCKER, &[CASES, losses::CASES, lossy::CASES, images::CASES].concat(), || match engine::shared() {
        engine::Found::Engine(held) => Ok(held),
        engine::Found::None(why) => Err(skipped(&why)),
    })
}

/// In continuous integration a missing engine is a failure.
fn skipped(why: &str) -> ExitCode {
    // If nobody reads it, the exit code says it too.
    writeln!(std::io::stderr(), "skipped: no Docker engine: {why}").ok();
    if script::in_ci() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn set(spec: &mut TaskSpec, change: impl FnOnce(&mut Container)) {
    change(spec.container.as_mut().expect("BUG: a container"));
}

fn exit_codes(bench: &Bench) -> Result<(), Failed> {
    for code in [2, 3, 125, 128, 255] {
        let ended = bench.run(&bench.script(&format!("exit {code}")))?;
        assert_eq!(ended.outcome.ending, Ending::Exited { code });
    }
    Ok(())
}

fn output_after_attach(bench: &Bench) -> Result<(), Failed> {
    let script = r"printf 'a\377\376\0b\r'; echo; head -c 40000 /dev/zero | tr '\0' z; echo; echo begun
        while [ ! -e go ]; do sleep 0.01; done; head -c 70000 /dev/zero | tr '\0' y; echo; printf end";
    let mut spec = bench.script(script);
    spec.stdout = Some("published".into());
    let mut running = bench.launch(&spec)?;
    running.says("begun")?;
    let handle = running.handle()?;
    running.kill_executor()?;
    std::fs::write(bench.files().join("go"), "")?;
    let ended = bench.attach(&spec, &handle)?;
    assert!(ended.outcome.is_success(), "{:?}", ended.outcome);
    let mut expected = b"a\xff\xfe\0b\r\n".to_vec();
    expected.extend([b'z'; 40_000]);
    expected.extend(b"\nbegun\n");
    expected.extend([b'y'; 70_000]);
    expected.extend(b"\nend");
    assert!(ended.out_log == expected, "{} bytes of {}", ended.out_log.len(), expected.len());
    assert!(std::fs::read(bench.files().join("published"))? == expected);
    Ok(())
}

fn no_log(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("while [ ! -e go ]; do sleep 0.01; done; echo lost; exit 5");
    set(&mut spec, |container| container.log_driver = "none".into());
    let mut running = bench.launch(&spec)?;
    let handle = running.handle()?;
    until("it runs", || bench.describe(&spec, &handle).unwrap_or(false))?;
    running.kill_executor()?;
    std::fs::write(bench.files().join("go"), "")?;
    assert_eq!(bench.attach(&spec, &handle)?.outcome.ending, Ending::Exited { code: 5 });
    Ok(())
}

fn out_of_memory(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("tail /dev/zero");
    spec.resources.memory = Some(16 << 20);
    let outcome = bench.run(&spec)?.outcome;
    assert_eq!(outcome.ending, Ending::OutOfMemory, "{outcome:?}");
    assert!(outcome.message.contains("resources"), "{outcome:?}");
    Ok(())
}

fn make(bench: &Bench, spec: &TaskSpec, mark: &str) -> Result<String, Failed> {
    let Some(Handle::Docker(handle)) = (bench.subject().make)().handle(spec) else { return Err("no handle".into()) };
    let label = format!("qmanager.mark={mark}");
    let words = ["create", "--name", &handle.name, "--label", &label, "busybox:local", "sh", "-c", "exit 9"];
    engine::docker(&handle.host, &words);
    Ok(handle.name)
}

fn made_already(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("exit 1");
    make(bench, &spec, &spec.marker)?;
    assert_eq!(bench.run(&spec)?.outcome.ending, Ending::Exited { code: 9 }, "there are not two containers");
    Ok(())
}

fn made_by_others(bench: &Bench) -> Result<(), Failed> {
    let spec = bench.script("exit 1");
    let name = make(bench, &spec, "another")?;
    let ended = bench.run(&spec)?;
    assert_eq!(ended.outcome.ending, Ending::Lost, "{:?}", ended.outcome);
    assert!(ended.outcome.message.contains(&name), "{:?}", ended.outcome);
    engine::docker(&container().host, &["rm", &name]);
    Ok(())
}

fn rights(bench: &Bench) -> Result<(), Failed> {
    let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status; ls /var/run/docker.sock || true";
    let ended = bench.run(&bench.script(script))?;
    assert_eq!(ended.text(), "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n");
    let mut spec = bench.script("sleep 5 & sleep 5 & sleep 5 & sleep 5 & sleep 5 & sleep 5 & wait");
    set(&mut spec, |container| container.pids = 4);
    let ended = bench.run(&spec)?;
    assert!(!ended.outcome.is_success(), "a limit of processes holds");
    Ok(())
}

fn owner(bench: &Bench) -> Result<(), Failed> {
    if !rustix::process::geteuid().is_root() {
        assert!(bench.run(&bench.script("echo x > made"))?.outcome.is_success());
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(std::fs::metadata(bench.files().join("made"))?.uid(), own);
        return Ok(());
    }
    std::os::unix::fs::chown(bench.files(), Some(1234), Some(1235))?;
    let mut spec = bench.script("echo x > made; id -u");
    set(&mut spec, |container| container.user = Some((1234, 1235)));
    let ended = bench.run(&spec)?;
    assert_eq!(ended.text(), "1234\n", "{:?}", ended.outcome);
    let made = std::fs::metadata(bench.files().join("made"))?;
    assert_eq!((made.uid(), made.gid()), (1234, 1235));
    Ok(())
}
