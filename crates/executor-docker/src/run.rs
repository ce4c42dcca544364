//! One attempt from its first call to the engine to its outcome.
//!
//! Whatever goes wrong between us and the engine leads back to one place, [`Run::advance`], which looks at what there is
//! before it does anything: nothing is known to have been done until it is seen.

mod watch;

use std::{
    os::fd::OwnedFd,
    pin::pin,
    time::{Duration, Instant},
};

use bollard::{models::ContainerInspectResponse, query_parameters::LogsOptionsBuilder};
use executor::{Container, DockerHandle, Io, Outcome, Shutdown, TaskSpec};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::sleep,
};

use crate::{
    create,
    engine::{Engine, Trouble, time},
    judge::{self, Stage},
    ladder::Ladder,
    message,
    output::{Heard, Replay},
    pull,
    stdin::Input,
};

/// An engine that is restarted is waited for so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two tries to reach it: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What has been done about the container, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Nothing was sent.
    Nothing,
    /// `create` was sent.
    Create,
    /// `start` was sent, by us or by an earlier task executor.
    Start,
}

/// An attempt under way.
pub(crate) struct Run<'a, 'io> {
    spec: &'a TaskSpec,
    container: &'a Container,
    handle: &'a DockerHandle,
    io: Io<'io>,
    control: AsyncFd<OwnedFd>,
    done: Done,
    /// Not yet given to the container.
    input: Option<Input>,
    heard: Heard,
    /// Whether what was heard is all, from the first byte on, over one attached connection.
    attached: bool,
    ladder: Ladder,
    deadline: Option<Instant>,
}

/// Runs an attempt to its end; `adopted`: an earlier task executor may have begun it.
pub(crate) async fn run(
    spec: &TaskSpec,
    container: &Container,
    handle: &DockerHandle,
    adopted: bool,
    io: Io<'_>,
) -> Outcome {
    let input = match Input::open(spec) {
        Ok(input) => input,
        Err(outcome) => return outcome,
    };
    #[expect(deprecated, reason = "its successor is unsafe; an OwnedFd stays open as long as the AsyncFd has it")]
    let register = |fd| AsyncFd::with_interest(fd, Interest::READABLE);
    let control = match io.control.fd().try_clone_to_owned().and_then(register) {
        Ok(control) => control,
        Err(error) => return message::lost(format!("cannot take requests to stop: {error}")),
    };
    let done = if adopted { Done::Start } else { Done::Nothing };
    let mut run = Run {
        spec,
        container,
        handle,
        io,
        control,
        done,
        input: Some(input),
        heard: Heard::default(),
        attached: false,
        ladder: Ladder::default(),
        deadline: None,
    };
    run.drive().await
}

impl Run<'_, '_> {
    async fn drive(&mut self) -> Outcome {
        let mut gone_since = None;
        loop {
            self.listen();
            match self.advance(&mut gone_since).await {
                Ok(outcome) => return outcome,
                Err(Trouble::Barred { why }) => return message::lost(why),
                Err(Trouble::Refused { message, .. }) => {
                    return message::lost(format!("the engine of {} says: {message}", self.handle.host));
                }
                Err(trouble @ Trouble::Unreachable { .. }) => {
                    self.attached = false;
                    let since = *gone_since.get_or_insert_with(now);
                    if let Some(outcome) = self.await_engine(since + PATIENCE, &trouble).await {
                        return outcome;
                    }
                }
            }
        }
    }

    /// Looks at what there is, and goes on from there.
    async fn advance(&mut self, gone_since: &mut Option<Instant>) -> Result<Outcome, Trouble> {
        let engine = Engine::open(&self.handle.host).await?;
        if self.done == Done::Nothing {
            return match self.make(&engine).await? {
                Some(outcome) => Ok(outcome),
                None => self.launch(&engine).await,
            };
        }
        let Some(found) = engine.inspect(&self.handle.name).await? else {
            if self.done == Done::Create {
                // The engine never heard of it, or forgot it: in no case has it run.
                self.done = Done::Nothing;
                return Err(engine.unreachable("it has not made the container"));
            }
            return Ok(message::lost(format!("the container {} is gone, and with it how it ended", self.handle.name)));
        };
        *gone_since = None;
        if !judge::is_ours(&found, self.handle) {
            let name = &self.handle.name;
            return Ok(message::lost(format!("a container of another origin has the name {name}: remove it")));
        }
        match judge::stage(&found) {
            // The engine that was told to start it is gone, and the new one knows nothing of it: it may have run (F52).
            Stage::Created if self.done == Done::Start && judge::is_older_than(&engine, &found).await? => {
                Ok(self.ladder.outcome(self.spec).unwrap_or_else(|| {
                    message::lost(
                        "the engine was restarted when the container was to be started; whether it ran is unknown",
                    )
                }))
            }
            Stage::Created => self.launch(&engine).await,
            Stage::Running => self.follow(&engine, &found).await,
            Stage::Ended => self.found_ended(&engine, found).await,
        }
    }

    /// Makes the container, pulling its image if need be; an outcome if that cannot be.
    async fn make(&mut self, engine: &Engine) -> Result<Option<Outcome>, Trouble> {
        let body = match create::body(self.spec, self.container) {
            Ok(body) => body,
            Err(outcome) => return Ok(Some(outcome)),
        };
        let image = self.spec.image.as_deref().unwrap_or_default();
        if pull::is_due(self.container)
            && let Some(outcome) = self.unless_stopped(pull::pull(engine, image, self.container)).await
        {
            return Ok(Some(outcome));
        }
        let mut pulled = false;
        loop {
            if self.ladder.is_climbed() {
                return Ok(self.ladder.outcome(self.spec));
            }
            self.done = Done::Create;
            match engine.create(&self.handle.name, body.clone()).await {
                Ok(()) => return Ok(None),
                // A create whose answer was lost (F58): the container is looked at.
                Err(trouble) if trouble.is_status(409) => return Err(engine.unreachable(trouble.to_string())),
                Err(Trouble::Refused { status: 404, message }) if message.contains("No such image") && !pulled => {
                    self.done = Done::Nothing;
                    pulled = true;
                    if let Some(outcome) = self.unless_stopped(pull::missing(engine, image, self.container)).await {
                        return Ok(Some(outcome));
                    }
                }
                Err(Trouble::Refused { status: 400 | 404, message }) => {
                    return Ok(Some(message::invalid(format!("the engine refuses the container: {message}"))));
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Attaches to a container that has not run, gives it what it reads, and starts it.
    async fn launch(&mut self, engine: &Engine) -> Result<Outcome, Trouble> {
        let name = &self.handle.name;
        let stdin = self.spec.stdin != executor::Stdin::Null;
        let streams = engine.attach(name, stdin).await?;
        let ahead = Input::is_ahead(self.spec);
        let mut input = Some((self.input.take().unwrap_or(Input::None), streams.input));
        if ahead && let Some((input, to)) = input.take() {
            input.write(to).await;
        }
        self.listen();
        if self.ladder.is_climbed() {
            return Ok(self
                .ladder
                .outcome(self.spec)
                .unwrap_or_else(|| message::lost("BUG: stopped without a reason")));
        }
        self.done = Done::Start;
        self.attached = true;
        match engine.start(name).await {
            Ok(()) => {}
            Err(Trouble::Refused { message, .. }) => {
                let found = engine.inspect(name).await?;
                return Ok(judge::start_refused(self.spec, self.container, found.as_deref(), &message));
            }
            Err(trouble) => return Err(trouble),
        }
        self.deadline = self.spec.timeout.and_then(|timeout| now().checked_add(timeout));
        let feeding = async {
            if let Some((input, to)) = input {
                input.write(to).await;
            }
        };
        self.watch(engine, streams.output, feeding, None).await
    }

    /// Waits for a container that runs already: started by a task executor that is gone, or before the engine was away.
    async fn follow(&mut self, engine: &Engine, found: &ContainerInspectResponse) -> Result<Outcome, Trouble> {
        if !Input::is_ahead(self.spec) {
            engine.kill(&self.handle.name, "SIGKILL").await?;
            return Ok(message::lost(
                "whoever gave it its standard input is gone, and whether it had all of it is unknown",
            ));
        }
        let started = found.state.as_ref().and_then(|state| time(state.started_at.as_deref()?));
        if let (None, Some(timeout), Some(started)) = (self.deadline, self.spec.timeout, started) {
            let spent = Duration::try_from(jiff::Timestamp::now().duration_since(started)).unwrap_or_default();
            self.deadline = now().checked_add(timeout.saturating_sub(spent));
        }
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).follow(true).build();
        let log = Box::pin(engine.docker().logs(&self.handle.name, Some(options)));
        let replay = Replay::new(&self.heard, judge::log_driver(found));
        self.watch(engine, log, async {}, Some(replay)).await
    }

    /// A container that ended while nobody of us saw it.
    async fn found_ended(&mut self, engine: &Engine, found: Box<ContainerInspectResponse>) -> Result<Outcome, Trouble> {
        let state = found.state.clone().unwrap_or_default();
        if judge::is_suspect(engine, &state).await? {
            let code = state.exit_code.unwrap_or_default();
            self.read_log(engine, judge::log_driver(&found)).await?;
            return Ok(self.ladder.outcome(self.spec).unwrap_or_else(|| {
                message::lost(format!(
                    "the engine was restarted while it ran; the exit code {code} that it shows may be its own work"
                ))
            }));
        }
        self.judge(engine, found).await
    }

    /// Takes a request to stop that is there.
    fn listen(&mut self) {
        if let Some(how) = self.io.control.take() {
            self.ladder.ask(how, now());
        }
    }

    /// Does something before the container is made, unless a request to stop comes first.
    async fn unless_stopped(&mut self, act: impl Future<Output = Option<Outcome>>) -> Option<Outcome> {
        let mut act = pin!(act);
        loop {
            tokio::select! {
                biased;
                ready = self.control.readable() => {
                    if let Ok(mut guard) = ready {
                        guard.clear_ready();
                    }
                    if let Some(how) = self.io.control.take() {
                        self.ladder.ask(how, now());
                        return self.ladder.outcome(self.spec);
                    }
                }
                outcome = &mut act => return outcome,
            }
        }
    }

    /// Waits until the engine may answer again; an outcome if it is waited for no longer.
    async fn await_engine(&mut self, until: Instant, trouble: &Trouble) -> Option<Outcome> {
        let left = until.saturating_duration_since(now());
        if left.is_zero() {
            return Some(self.abandoned(trouble));
        }
        let gone_for = PATIENCE.saturating_sub(left);
        let pause = (FIRST_PAUSE + gone_for / 4).min(LONGEST_PAUSE).min(left);
        tokio::select! {
            ready = self.control.readable() => {
                if let Ok(mut guard) = ready {
                    guard.clear_ready();
                }
                let asked = self.io.control.take();
                if let Some(how) = asked {
                    self.ladder.ask(how, now());
                    // Nothing was made yet: there is nothing to be ended.
                    if self.done == Done::Nothing {
                        return self.ladder.outcome(self.spec);
                    }
                }
                (asked == Some(Shutdown::Twice)).then(|| self.abandoned(trouble))
            }
            () = sleep(pause) => None,
        }
    }

    fn abandoned(&self, trouble: &Trouble) -> Outcome {
        let rest = match self.done {
            Done::Nothing => "",
            _ => "; what has become of its container is unknown",
        };
        message::lost(format!("{trouble}{rest}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads a clock: timeouts and patience")]
fn now() -> Instant {
    Instant::now()
}
