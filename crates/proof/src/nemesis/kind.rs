//! The kinds of faults, and what is kept of each one.

use serde::{Deserialize, Serialize};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// kill -9 of a QWorker.
    KillWorker,
    /// kill -9 of a task executor that has a task.
    KillExecutor,
    /// kill -9 of the process that task executors are forked from.
    KillTemplate,
    /// kill -9 of a QManager, which is started again after a while.
    KillManager,
    /// kill -9 of everything on a host; the QManager is started again.
    KillHost,
    /// SIGSTOP of a QWorker past the lease, then SIGCONT.
    StopWorker,
    /// SIGSTOP of a task executor past the lease, then SIGCONT.
    StopExecutor,
    /// SIGSTOP of a QManager past the lease, then SIGCONT.
    StopManager,
    /// SIGTERM of a QManager, and a new start.
    Term,
    /// SIGTERM twice.
    TermTwice,
    /// `stop --handover`, and a new start.
    Handover,
    /// `stop --drain`, and a new start.
    Drain,
    /// kill -9 of a client in the middle of a `submit`.
    KillClient,
    /// A Q socket's file is removed.
    RemoveSocket,
    /// The whole run-dir is removed.
    RemoveRunDir,
    /// The wake file is removed: no worker is told of new jobs.
    RemoveWake,
    /// Somebody holds the database (`BEGIN EXCLUSIVE`).
    LockDatabase,
    /// The PostgreSQL server crashes and is started again.
    RestartServer,
    /// The sessions of the queue are ended by the server (`pg_terminate_backend`).
    EndSessions,
    /// All connections of a host with the server are reset.
    CutConnections,
    /// Nothing passes between a host and the server for a while, often longer than the lease.
    Blackhole,
    /// What passes between a host and the server is late.
    SlowNetwork,
    /// What the server answers a host does not arrive, and then the connections are reset.
    LoseReplies,
    /// A host hears no notification for a while.
    MuteListen,
    /// kill -9 of the Docker engine, which is started again after a while.
    KillEngine,
    /// SIGSTOP of the Docker engine for some seconds, then SIGCONT.
    StopEngine,
    /// kill -9 of the process that holds a task's container.
    KillShim,
    /// A task's container is removed by somebody else.
    RemoveContainer,
    /// The answer of the queue is lost (crash matrix only).
    LoseAnswer,
    /// The disk of state-dir and database is full for a while.
    FullDisk,
}

/// A fault as it happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    /// From the injection until all is as before (the daemon was started again, the process goes on).
    pub t: (i64, i64),
    /// The kind.
    pub kind: Kind,
    /// The host.
    pub host: String,
    /// Whether it hit something.
    pub effective: bool,
    /// The worker's slot that was hit.
    pub slot: Option<String>,
    /// The attempt that was hit: job, task, attempt.
    pub attempt: Option<(String, usize, u32)>,
    /// How long the daemon took to end after it was told to, in microseconds.
    pub stop: Option<i64>,
    /// What else is worth knowing.
    pub note: String,
}

impl Kind {
    /// All kinds, with how often each comes.
    pub const ALL: &[(Self, usize)] = &[
        (Self::KillWorker, 14),
        (Self::KillExecutor, 14),
        (Self::KillTemplate, 5),
        (Self::KillManager, 12),
        (Self::KillHost, 5),
        (Self::StopWorker, 6),
        (Self::StopExecutor, 6),
        (Self::StopManager, 5),
        (Self::Term, 6),
        (Self::TermTwice, 3),
        (Self::Handover, 6),
        (Self::Drain, 3),
        (Self::KillClient, 6),
        (Self::RemoveSocket, 5),
        (Self::RemoveRunDir, 3),
        (Self::RemoveWake, 4),
        (Self::LockDatabase, 6),
        (Self::FullDisk, 4),
        (Self::RestartServer, 8),
        (Self::EndSessions, 8),
        (Self::CutConnections, 8),
        (Self::Blackhole, 8),
        (Self::SlowNetwork, 5),
        (Self::LoseReplies, 8),
        (Self::MuteListen, 5),
        (Self::KillEngine, 10),
        (Self::StopEngine, 10),
        (Self::KillShim, 12),
        (Self::RemoveContainer, 12),
    ];

    /// Whether a running attempt may be lost by it, through no fault of the product: its task executor was hit, or its
    /// lease could not be renewed (a database that is locked for longer than a lease, when its manager dies besides).
    #[must_use]
    pub fn may_lose(self) -> bool {
        match self {
            Self::KillExecutor
            | Self::KillTemplate
            | Self::KillHost
            | Self::StopWorker
            | Self::StopExecutor
            | Self::StopManager
            | Self::RemoveRunDir
            | Self::FullDisk
            | Self::RestartServer
            | Self::Blackhole
            | Self::LoseReplies
            | Self::KillEngine
            | Self::KillShim
            | Self::RemoveContainer
            | Self::LockDatabase => true,
            Self::KillWorker
            | Self::KillManager
            | Self::Term
            | Self::TermTwice
            | Self::Handover
            | Self::Drain
            | Self::KillClient
            | Self::RemoveSocket
            | Self::RemoveWake
            | Self::EndSessions
            | Self::CutConnections
            | Self::SlowNetwork
            | Self::MuteListen
            | Self::StopEngine
            | Self::LoseAnswer => false,
        }
    }

    /// Whether it hits a Docker engine or what is in it.
    #[must_use]
    pub fn is_of_engine(self) -> bool {
        self.ends_containers() || self == Self::StopEngine
    }

    /// Whether it is between a host and a database server.
    #[must_use]
    pub fn is_of_network(self) -> bool {
        let own = [Self::CutConnections, Self::Blackhole, Self::SlowNetwork, Self::LoseReplies, Self::MuteListen];
        own.contains(&self)
    }

    /// Whether it ends containers, and how they end is not the task's doing.
    #[must_use]
    pub fn ends_containers(self) -> bool {
        matches!(self, Self::KillEngine | Self::KillShim | Self::RemoveContainer)
    }

    /// Whether it can cost only attempts of its own host.
    #[must_use]
    pub fn is_of_one_host(self) -> bool {
        !matches!(self, Self::RestartServer | Self::LockDatabase | Self::EndSessions)
    }

    /// Whether jobs may have to wait for it: everything but what hits one attempt or only costs a notification.
    #[must_use]
    pub fn delays(self) -> bool {
        !matches!(
            self,
            Self::KillExecutor
                | Self::KillTemplate
                | Self::StopExecutor
                | Self::RemoveWake
                | Self::MuteListen
                | Self::KillShim
                | Self::RemoveContainer
                | Self::KillClient
        )
    }
}
