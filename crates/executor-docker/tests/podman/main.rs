//! The docker executor on podman's service, under the suite that every executor runs.

#[path = "../../../../tests/podman.rs"]
mod podman;
#[path = "../../../../tests/script.rs"]
mod script;

use std::{io::Write as _, process::ExitCode, sync::OnceLock, time::Duration};

use executor::{
    Container, Pull,
    conformance::{Abilities, Subject, main_with as run},
};
use executor_docker::DockerExecutor;

const PODMAN: Subject = Subject {
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
        adds_variables: &["HOME", "HOSTNAME", "TERM", "container"],
    },
};

static HOST: OnceLock<String> = OnceLock::new();

fn container() -> Container {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Container {
        host: HOST.get().expect("an engine").clone(),
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

fn main() -> ExitCode {
    run(PODMAN, &[], || match podman::Podman::start() {
        Ok(podman) => {
            HOST.get_or_init(|| podman.host());
            Ok(podman)
        }
        Err(why) => {
            // If nobody reads it, the exit code says it too.
            writeln!(std::io::stderr(), "skipped: no podman: {why}").ok();
            Err(if script::in_ci() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
    })
}
