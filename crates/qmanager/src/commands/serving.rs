//! Whether somebody works for a queue, on this host or on one that shares the database: what `submit`, `wait`, `status` and `explain` say about it.

use job_queue::JobQueue;
use workflow_model::QueueName;

use super::context::Context;
use crate::{exit::Error, foreground, manager::ManagerState};

/// Whether somebody works for a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Serving {
    /// A manager of this host has workers for it.
    Yes,
    /// This host's manager serves other queues.
    Others(Vec<QueueName>),
    /// This state-dir has no manager.
    Nobody,
    /// The queue is a foreground run's, and that has gone.
    RunGone,
    /// Not here; another host does, or may.
    Elsewhere,
    /// Other hosts use the database too, and none of those that are connected serves it.
    NoHost,
}

impl Serving {
    pub(super) async fn of(context: &Context, store: &dyn JobQueue, queue: &QueueName) -> Result<Self, Error> {
        if foreground::is_reserved(queue) {
            // Each foreground run has a run-dir of its own.
            let manager = ManagerState::read(&context.layout()?.for_run(queue));
            return Ok(if manager.is_some() { Self::Yes } else { Self::RunGone });
        }
        let shared = context.is_shared()?;
        let state = ManagerState::read(&context.layout()?);
        if state.as_ref().is_some_and(|state| state.workers.iter().any(|worker| worker.queue == *queue)) {
            return Ok(Self::Yes);
        }
        if shared {
            // What was asked for has been done: that this cannot be told is not a failure of it.
            let served = store.is_served(queue).await.ok().flatten();
            return Ok(if served == Some(false) { Self::NoHost } else { Self::Elsewhere });
        }
        let Some(state) = state else { return Ok(Self::Nobody) };
        let mut others: Vec<QueueName> = state.workers.into_iter().map(|worker| worker.queue).collect();
        others.dedup();
        Ok(Self::Others(others))
    }

    /// What is wrong, and what would help; `None` when somebody works for it.
    pub(super) fn problem(&self, queue: &QueueName) -> Option<(String, String)> {
        match self {
            Self::Yes | Self::Elsewhere => None,
            Self::RunGone => Some((
                "the `qmanager run` of this job has gone".to_owned(),
                "`qmanager run --resume JOB` goes on with it; a cancel takes effect then, too".to_owned(),
            )),
            Self::Nobody => Some((
                format!("no worker serves queue {queue}: no daemon runs here"),
                format!("start one: {}", start(queue)),
            )),
            Self::NoHost => Some((
                format!("no worker serves queue {queue}: no host that is connected to the database has one for it"),
                format!("start one, here or on another host: {}", start(queue)),
            )),
            Self::Others(others) => {
                let others: Vec<&str> = others.iter().map(QueueName::as_str).collect();
                Some((
                    format!("no worker serves queue {queue}: this host's daemon serves {}", others.join(", ")),
                    format!("add a [[workers]] pool with qname = \"{queue}\", and start the daemon again"),
                ))
            }
        }
    }

    /// Warns when nobody works for a queue.
    pub(super) async fn warn(context: &Context, store: &dyn JobQueue, queue: &QueueName) -> Result<(), Error> {
        if let Some((what, help)) = Self::of(context, store, queue).await?.problem(queue) {
            context.out.warn(what);
            context.out.note(format_args!("hint: {help}"));
        }
        Ok(())
    }
}

fn start(queue: &QueueName) -> String {
    if queue.as_str() == QueueName::DEFAULT {
        "`qmanager start -d`".to_owned()
    } else {
        format!("`qmanager start -d --qname {queue}`")
    }
}
