//! What the executor costs beside the least that an engine asks for: create, start, wait, remove of the same container, one
//! after the other in one run. `cargo run --release -p executor-docker --example overhead [ROUNDS]`, with an engine that
//! has the image `busybox:local` (`.ci/docker image`). Prints both medians in milliseconds, and their ratio. With `plain`
//! after ROUNDS only those calls are made, and the seconds that all took are printed: for `cargo xtask bench`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement for a person")]

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use bollard::{
    Docker,
    models::ContainerCreateBody,
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder},
};
use executor::{Capture, Container, Control, Executor, Io, Pull, Shutdown, TaskSpec, drive};
use executor_docker::DockerExecutor;
use futures_util::StreamExt;

/// Nobody wants to stop anything.
struct Nobody(OwnedFd);

impl Control for Nobody {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn take(&self) -> Option<Shutdown> {
        None
    }
}

fn main() {
    let rounds = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(20);
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    if std::env::args().nth(2).is_some_and(|word| word == "plain") {
        let loops = async {
            for round in 0..rounds {
                bare(&host, round).await;
            }
        };
        println!("{}", timed(|| drive(&DockerExecutor::new(), loops)).as_secs_f64());
        return;
    }
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        plain.push(timed(|| drive(&DockerExecutor::new(), bare(&host, round))));
        ours.push(timed(|| task(&host, round)));
    }
    let (plain, ours) = (median(&mut plain), median(&mut ours));
    println!("plain {:.1} ms, executor {:.1} ms, ratio {:.3}", ms(plain), ms(ours), ms(ours) / ms(plain));
}

async fn bare(host: &str, round: u32) {
    // As the executor does: to ask for the version costs an engine several processes.
    let version = bollard::ClientVersion { major_version: 1, minor_version: 41 };
    let engine = Docker::connect_with_unix(host.trim_start_matches("unix://"), 60, &version).expect("an engine");
    let name = format!("plain-{}-{round}", std::process::id());
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let host_config =
        bollard::models::HostConfig { init: Some(true), network_mode: Some("none".into()), ..Default::default() };
    let body = ContainerCreateBody {
        image: Some("busybox:local".into()),
        entrypoint: Some(vec!["true".into()]),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    };
    engine.create_container(Some(options), body).await.expect("create");
    engine.start_container(&name, None).await.expect("start");
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut ends = std::pin::pin!(engine.wait_container(&name, Some(options)));
    ends.next().await.expect("an end").expect("code 0");
    let options = RemoveContainerOptionsBuilder::default().build();
    engine.remove_container(&name, Some(options)).await.expect("remove");
}

fn task(host: &str, round: u32) {
    let executor = DockerExecutor::new();
    let container = Container {
        host: host.into(),
        pull: Pull::Never,
        pull_timeout: Duration::from_secs(60),
        credentials: None,
        pulls: None,
        user: None,
        network: "none".into(),
        capabilities: Vec::new(),
        host_namespaces: Vec::new(),
        privileged: false,
        no_new_privileges: true,
        pids: 4096,
        init: true,
        log_driver: "local".into(),
        labels: Vec::new(),
    };
    let spec = TaskSpec {
        argv: Some(vec!["true".into()]),
        image: Some("busybox:local".into()),
        job_files: std::env::temp_dir(),
        marker: format!("QM_MARK=overhead-{}/{round}/1", std::process::id()),
        container: Some(Box::new(container)),
        ..TaskSpec::default()
    };
    // Its writing end stays open: closed, it would be readable.
    let (reader, _writer) = rustix::pipe::pipe().expect("a pipe");
    let control = Nobody(reader);
    let (mut out, mut err) = (Capture::nowhere(), Capture::nowhere());
    let handle = drive(&executor, executor.start(&spec)).expect("a handle");
    let io = Io { control: &control, out: &mut out, err: &mut err };
    let outcome = drive(&executor, executor.wait(&spec, &handle, io));
    assert!(outcome.is_success(), "{outcome:?}");
    drive(&executor, executor.tidy(&handle));
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
