//! Whether somebody works for a queue on this host: what `submit`, `wait`, `status` and `explain` say about it.

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
    /// Nobody here, but other hosts use the database too.
    Elsewhere,
}

impl Serving {
    pub(super) fn of(context: &Context, queue: &QueueName) -> Result<Self, Error> {
        if foreground::is_reserved(queue) {
            // Each foreground run has a run-dir of its own.
            let manager = ManagerState::read(&context.layout()?.for_run(queue));
            return Ok(if manager.is_some() { Self::Yes } else { Self::RunGone });
        }
        let shared = context.is_shared()?;
        let Some(state) = ManagerState::read(&context.layout()?) else {
            return Ok(if shared { Self::Elsewhere } else { Self::Nobody });
        };
        if state.workers.iter().any(|worker| worker.queue == *queue) {
            return Ok(Self::Yes);
        }
        if shared {
            return Ok(Self::Elsewhere);
        }
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
            Self::Nobody => {
                let start = if queue.as_str() == QueueName::DEFAULT {
                    "`qmanager start -d`".to_owned()
                } else {
                    format!("`qmanager start -d --qname {queue}`")
                };
                Some((format!("no worker serves queue {queue}: no daemon runs here"), format!("start one: {start}")))
            }
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
    pub(super) fn warn(context: &Context, queue: &QueueName) -> Result<(), Error> {
        if let Some((what, help)) = Self::of(context, queue)?.problem(queue) {
            context.out.warn(what);
            context.out.note(format_args!("hint: {help}"));
        }
        Ok(())
    }
}
