//! From a container that runs to its outcome: its output, its end, and our steps towards it.

use std::{
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use bollard::{
    container::LogOutput,
    errors::Error as ApiError,
    models::ContainerInspectResponse,
    query_parameters::{LogsOptionsBuilder, WaitContainerOptionsBuilder},
};
use executor::Outcome;
use futures_util::{Stream, StreamExt};
use tokio::time::sleep_until;

use super::{Run, now};
use crate::{
    engine::{Engine, Trouble},
    judge,
    ladder::Step,
    message,
    output::Replay,
};

/// After a container's end its streams close at once; one that does not is given up, and the engine's log is read.
const DRAIN: Duration = Duration::from_secs(5);

/// What a container writes, as the engine sends it.
type Frames = Pin<Box<dyn Stream<Item = Result<LogOutput, ApiError>> + Send>>;

impl Run<'_, '_> {
    /// Takes in what the container writes until it has ended.
    pub(super) async fn watch(
        &mut self,
        engine: &Engine,
        mut frames: Frames,
        feeding: impl Future<Output = ()>,
        mut replay: Option<Replay>,
    ) -> Result<Outcome, Trouble> {
        let mut waiting = pin!(wait(engine, &self.handle.name));
        let mut feeding = pin!(feeding);
        let (mut fed, mut open) = (false, true);
        let mut drained_at: Option<Instant> = None;
        while drained_at.is_none() || open {
            let due = [drained_at, self.ladder.due(), self.deadline.filter(|_| !self.ladder.is_climbed())];
            let due = due.into_iter().flatten().min();
            tokio::select! {
                biased;
                ready = self.control.readable() => {
                    if let Ok(mut guard) = ready {
                        guard.clear_ready();
                    }
                    self.listen();
                }
                () = sleep_until(due.unwrap_or_else(now).into()), if due.is_some() => {
                    if drained_at.is_some_and(|at| at <= now()) {
                        self.attached = false;
                        break;
                    }
                    if let Some(outcome) = self.climb(engine).await? {
                        return Ok(outcome);
                    }
                }
                ended = &mut waiting, if drained_at.is_none() => {
                    ended?;
                    drained_at = Some(now() + DRAIN);
                }
                frame = frames.next(), if open => match (frame, &mut replay) {
                    (Some(Ok(frame)), None) => self.heard.take(&frame, &mut self.io),
                    (Some(Ok(frame)), Some(replay)) => replay.take(&frame, &mut self.heard, &mut self.io),
                    (Some(Err(_)), _) => (open, self.attached) = (false, false),
                    (None, _) => open = false,
                },
                () = &mut feeding, if !fed => fed = true,
            }
        }
        // On a new connection: an engine that is shutting down takes none, and what it did to the container is no end.
        let engine = Engine::open(&self.handle.host).await?;
        match engine.inspect(&self.handle.name).await? {
            Some(found) => self.judge(&engine, found).await,
            None => Ok(message::lost("the container was removed by somebody, and with it how it ended")),
        }
    }

    /// The outcome of an ended container, its output being complete.
    pub(super) async fn judge(
        &mut self,
        engine: &Engine,
        found: Box<ContainerInspectResponse>,
    ) -> Result<Outcome, Trouble> {
        let exact = self.attached || self.read_log(engine, judge::log_driver(&found)).await?;
        if let Some(outcome) = self.ladder.outcome(self.spec) {
            return Ok(outcome);
        }
        let task = (self.spec, self.container);
        let outcome = judge::outcome(engine, self.handle, found, task, &self.heard).await?;
        if outcome.is_success() && !exact && self.spec.stdout.is_some() {
            return Ok(message::lost(
                "its task executor was killed, and from the engine's log its standard output cannot be published exactly \
                 as it was",
            ));
        }
        Ok(outcome)
    }

    /// Reads the engine's log from its beginning and passes on what was not heard. Whether that is exact. A log that
    /// cannot be read is no failure of the task (F55).
    pub(super) async fn read_log(&mut self, engine: &Engine, driver: &str) -> Result<bool, Trouble> {
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let mut frames = Box::pin(engine.docker().logs(&self.handle.name, Some(options)));
        let mut replay = Replay::new(&self.heard, driver);
        while let Some(frame) = frames.next().await {
            match frame.map_err(|error| engine.trouble(error)) {
                Ok(frame) => replay.take(&frame, &mut self.heard, &mut self.io),
                Err(Trouble::Refused { .. }) => return Ok(false),
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(replay.is_exact())
    }

    /// Takes the next step towards the task's end, if it is time.
    async fn climb(&mut self, engine: &Engine) -> Result<Option<Outcome>, Trouble> {
        if self.deadline.is_some_and(|deadline| deadline <= now()) {
            self.ladder.time_out(now());
        }
        let name = &self.handle.name;
        match self.ladder.step(now(), self.spec.grace) {
            None => {}
            Some(Step::Term) => {
                if !engine.kill(name, "SIGTERM").await? {
                    self.ladder.came_too_late();
                }
                // One that was stopped cannot clean up.
                engine.kill(name, "SIGCONT").await?;
            }
            Some(Step::Kill) => {
                let arrived = engine.kill(name, "SIGKILL").await?;
                if !arrived {
                    self.ladder.ended_in_time();
                }
            }
            Some(Step::GiveUp) => {
                return Ok(Some(message::lost(format!("the engine does not end the container {name}"))));
            }
        }
        Ok(None)
    }
}

/// The end of a container. That the answer ends without an end, or says anything else, is no end.
async fn wait(engine: &Engine, name: &str) -> Result<(), Trouble> {
    // Not `next-exit`: a container that has ended already is not removed, so its end cannot be missed.
    let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
    let mut answers = pin!(engine.docker().wait_container(name, Some(options)));
    match answers.next().await {
        // bollard makes an error of every code but 0; the code itself is read by `inspect`.
        Some(Ok(_) | Err(ApiError::DockerContainerWaitError { .. })) => Ok(()),
        Some(Err(error)) => Err(engine.trouble(error)),
        None => Err(engine.unreachable("the connection ended before the container did")),
    }
}
