//! Where images come from: a registry that is there, asks for a login, is down, or says no.

use std::{
    io::{Read as _, Write as _},
    time::Duration,
};

use executor::{
    Ending, Pull, TaskSpec,
    conformance::{Bench, Case},
};
use libtest_mimic::Failed;

use super::{
    container,
    registry::{LOGIN, Registry},
    script, set,
};

/// `me:wrong`
const WRONG_LOGIN: &str = "bWU6d3Jvbmc=";

pub(super) const CASES: &[(&str, Case)] = &[
    ("f56_an_image_that_is_not_there", no_image),
    ("f56_a_registry_that_says_no_or_nothing", silent_registry),
    ("f56_an_image_is_pulled_as_the_policy_says", policies),
    ("f56_eight_tasks_pull_an_image_once", coalesced),
    ("f56_a_private_registry_gets_the_credentials_of_dockers_file", private),
    ("f56_a_registry_that_is_down_is_no_fault_of_the_task", down),
];

fn no_image(bench: &Bench) -> Result<(), Failed> {
    let mut spec = bench.script("true");
    spec.image = Some("no-such-image-here:1".into());
    let outcome = bench.run(&spec)?.outcome;
    assert_eq!(outcome.ending, Ending::ImagePull { transient: false });
    assert!(outcome.message.contains("no-such-image-here:1") && outcome.message.contains("`pull"), "{outcome:?}");
    Ok(())
}

/// A registry on this host that says nothing but this, to whoever asks whatever.
fn registry(status: &'static str) -> Result<String, Failed> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().flatten() {
            if status.is_empty() {
                held.push(stream);
                continue;
            }
            let mut stream = stream;
            let mut request = [0; 4096];
            // Whoever asks has gone: nothing to be answered then.
            let _asked = stream.read(&mut request);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok();
        }
    });
    Ok(format!("{address}/x:1"))
}

fn silent_registry(bench: &Bench) -> Result<(), Failed> {
    for (status, transient) in
        [("", true), ("404 Not Found", false), ("503 Service Unavailable", true), ("429 Too Many Requests", true)]
    {
        let mut spec = bench.script("true");
        spec.image = Some(registry(status)?);
        set(&mut spec, |container| {
            container.pull = Pull::Missing;
            container.pull_timeout = Duration::from_secs(3);
            container.pulls = Some(bench.files().join("pulls"));
        });
        let ended = bench.run(&spec)?;
        assert_eq!(ended.outcome.ending, Ending::ImagePull { transient }, "{status:?}: {:?}", ended.outcome);
        assert!(!bench.files().join("pulls").exists());
    }
    // A request to stop does not wait for it.
    let mut spec = bench.script("true");
    spec.image = Some(registry("")?);
    set(&mut spec, |container| container.pull = Pull::Always);
    let running = bench.launch(&spec)?;
    running.handle()?;
    running.ask_to_stop()?;
    assert_eq!(running.end()?.outcome.ending, Ending::Stopped);
    Ok(())
}

/// A registry, unless this machine has none: then there is nothing to be seen here, and that is said.
fn real(private: bool) -> Result<Option<Registry>, Failed> {
    let found = Registry::start(private)?;
    if found.is_none() {
        assert!(!script::in_ci(), "there is no docker-registry");
        writeln!(std::io::stderr(), "skipped: there is no docker-registry").ok();
    }
    Ok(found)
}

fn host() -> String {
    container().host
}

/// A task that does nothing in an image of a registry.
fn task(bench: &Bench, image: &str, pull: Pull) -> TaskSpec {
    let mut spec = bench.script("echo it runs");
    spec.image = Some(image.to_owned());
    set(&mut spec, |container| {
        container.pull = pull;
        container.pulls = Some(bench.files().join("pulls"));
    });
    spec
}

fn policies(bench: &Bench) -> Result<(), Failed> {
    let Some(registry) = real(false)? else { return Ok(()) };
    let image = registry.push(&host(), "policies:1");
    let runs = |pull, before: bool, asked: usize| {
        let outcome = bench.run(&task(bench, &image, pull))?.outcome;
        assert_eq!(outcome.is_success(), before || pull != Pull::Never, "{pull:?}: {outcome:?}");
        assert_eq!(registry.pulls("policies:1"), asked, "{pull:?}");
        Ok::<(), Failed>(())
    };
    runs(Pull::Never, false, 0)?;
    runs(Pull::Missing, false, 1)?;
    runs(Pull::Missing, true, 1)?;
    runs(Pull::Always, true, 2)?;
    runs(Pull::Never, true, 2)?;
    registry.forget(&host(), &image);
    Ok(())
}

fn coalesced(bench: &Bench) -> Result<(), Failed> {
    let Some(registry) = real(false)? else { return Ok(()) };
    for (name, pull) in [("missing:1", Pull::Missing), ("always:1", Pull::Always)] {
        let image = registry.push(&host(), name);
        let running = (0..8).map(|number| {
            let mut spec = task(bench, &image, pull);
            // Eight attempts, not one.
            spec.marker = format!("{}/{number}", spec.marker);
            bench.launch(&spec)
        });
        for running in running.collect::<Result<Vec<_>, _>>()? {
            let outcome = running.end()?.outcome;
            assert!(outcome.is_success(), "{outcome:?}");
        }
        let pulls = registry.pulls(name);
        assert!(pulls == 1 || (pull == Pull::Always && (1..8).contains(&pulls)), "{name}: {pulls} pulls");
        assert!(!bench.files().join("pulls").exists());
        registry.forget(&host(), &image);
    }
    Ok(())
}

fn private(bench: &Bench) -> Result<(), Failed> {
    let Some(registry) = real(true)? else { return Ok(()) };
    let image = registry.push(&host(), "private:1");
    for (login, may) in [(None, false), (Some(WRONG_LOGIN), false), (Some(LOGIN), true)] {
        let file = registry.config(login).join("config.json");
        let mut spec = task(bench, &image, Pull::Missing);
        set(&mut spec, |container| container.credentials = Some(file.clone()));
        let outcome = bench.run(&spec)?.outcome;
        if may {
            assert!(outcome.is_success(), "{outcome:?}");
            continue;
        }
        assert_eq!(outcome.ending, Ending::ImagePull { transient: false }, "{outcome:?}");
        let told = [image.as_str(), &file.display().to_string(), "docker login"];
        assert!(told.iter().all(|part| outcome.message.contains(part)), "{login:?}: {outcome:?}");
        assert!(!outcome.message.contains(login.unwrap_or("hunter22")), "{outcome:?}");
    }
    registry.forget(&host(), &image);
    Ok(())
}

fn down(bench: &Bench) -> Result<(), Failed> {
    let Some(mut registry) = real(false)? else { return Ok(()) };
    let image = registry.push(&host(), "down:1");
    registry.stop();
    let spec = task(bench, &image, Pull::Missing);
    let outcome = bench.run(&spec)?.outcome;
    assert_eq!(outcome.ending, Ending::ImagePull { transient: true }, "{outcome:?}");
    assert!(outcome.message.contains(&image), "{outcome:?}");
    registry.restart();
    assert!(bench.run(&spec)?.outcome.is_success());
    registry.forget(&host(), &image);
    Ok(())
}
