//! A lane: at most one session at a time, made when it is needed, made again when it breaks, and let go when nobody has
//! needed it for a while. Calls through one lane are made one after the other.

use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use super::{
    connect::{Purpose, connect},
    failure::{Failure, Verdict},
    session::Session,
    target::Target,
};
use crate::Error;

/// A call that was rolled back in favour of another is made again at most so often.
const CONFLICTS: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A lane; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Lane(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    target: Arc<Target>,
    purpose: Purpose,
    times: Times,
    turn: tokio::sync::Mutex<()>,
    session: Mutex<Option<(Arc<Session>, Instant)>>,
}

/// How patient a lane is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// A call that has no answer by then counts as lost, and its session as broken.
    pub(super) answer: Duration,
    /// A session that was not used for so long is ended: an idle worker has none. `None` = it stays.
    pub(super) idle: Option<Duration>,
}

impl Lane {
    pub(super) fn new(target: &Arc<Target>, purpose: Purpose, times: Times) -> Self {
        Self(Arc::new(Inner {
            target: Arc::clone(target),
            purpose,
            times,
            turn: tokio::sync::Mutex::new(()),
            session: Mutex::new(None),
        }))
    }

    /// Makes a call that may be repeated: again after conflicts, and on a new session after the old one broke, as long
    /// as the patience lasts.
    pub(super) async fn run<T, F, Fut>(&self, call: F) -> Result<T, Error>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.run_noting(&AtomicBool::new(false), call).await
    }

    /// As [`run`](Self::run); `unsure` becomes true when a try may have been done without an answer.
    pub(super) async fn run_noting<T, F, Fut>(&self, unsure: &AtomicBool, call: F) -> Result<T, Error>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let _turn = self.0.turn.lock().await;
        let started = Instant::now();
        let mut conflicts = 0;
        let mut pause = FIRST_PAUSE;
        loop {
            let failure = match self.attempt(unsure, &call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure.verdict() {
                Verdict::Conflict if conflicts < CONFLICTS => {
                    conflicts += 1;
                    sleep(Duration::from_millis(u64::from(jitter()) % (4 << conflicts))).await;
                }
                Verdict::Broken if started.elapsed() + pause < self.0.target.patience => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Verdict::Broken | Verdict::Conflict | Verdict::Stands => return Err(failure.into()),
            }
        }
    }

    async fn attempt<T, F, Fut>(&self, unsure: &AtomicBool, call: &F) -> Result<T, Failure>
    where
        F: Fn(Arc<Session>) -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let session = self.session().await?;
        let result = timeout(self.0.times.answer, call(Arc::clone(&session))).await.unwrap_or(Err(Failure::Silent));
        match &result {
            Ok(_) => self.used(),
            Err(failure) if failure.verdict() == Verdict::Broken => {
                unsure.store(true, Ordering::Relaxed);
                self.forget();
            }
            Err(_) if session.is_open() => {
                let undone = timeout(self.0.times.answer, session.rollback()).await;
                if !matches!(undone, Ok(Ok(()))) {
                    self.forget();
                }
            }
            Err(_) => self.used(),
        }
        result
    }

    async fn session(&self) -> Result<Arc<Session>, Failure> {
        let known = self.0.session().as_ref().map(|(session, _)| Arc::clone(session));
        if let Some(session) = known.filter(|session| session.is_usable()) {
            return Ok(session);
        }
        self.forget();
        let made = timeout(self.0.times.answer, connect(&self.0.target, &self.0.purpose)).await;
        let session = Arc::new(made.unwrap_or(Err(Failure::Silent))?);
        *self.0.session() = Some((Arc::clone(&session), Instant::now()));
        if let Some(idle) = self.0.times.idle {
            tokio::spawn(end_when_idle(Arc::downgrade(&self.0), idle));
        }
        Ok(session)
    }

    fn used(&self) {
        if let Some((_, used)) = self.0.session().as_mut() {
            *used = Instant::now();
        }
    }

    fn forget(&self) {
        *self.0.session() = None;
    }
}

impl Inner {
    fn session(&self) -> std::sync::MutexGuard<'_, Option<(Arc<Session>, Instant)>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end_when_idle(lane: Weak<Inner>, idle: Duration) {
    loop {
        sleep(idle).await;
        let Some(lane) = lane.upgrade() else { return };
        // A call is under way: that is no idleness.
        let Ok(_turn) = lane.turn.try_lock() else { continue };
        let ended = lane.session().take_if(|(_, used)| used.elapsed() >= idle);
        if ended.is_some() || lane.session().is_none() {
            return;
        }
    }
}

/// Some number, another for each process and call.
fn jitter() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}
