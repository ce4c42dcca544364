//! The docker executor on a real engine, under the suite that every executor runs; and what only an engine can get wrong.

#[path = "../../../tests/engine.rs"]
mod engine;

use std::{process::ExitCode, time::Duration};

use executor::{
    Container, Pull,
    conformance::{Abilities, Subject, main_with as run},
};
use executor_docker::DockerExecutor;

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
        privileged: false,
        no_new_privileges: true,
        pids: 500,
        init: true,
        log_driver: "local".into(),
        labels: Vec::new(),
    }
}

fn main() -> ExitCode {
    run(DOCKER, &[], || match engine::shared() {
        engine::Found::Engine(held) => Ok(held),
        engine::Found::None(why) => Err(engine::skipped(&why)),
    })
}
