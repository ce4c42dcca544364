//! The configuration's form: what `qmanager.toml` may hold.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use executor::{
    DockerSettings, ExecutorSettings, SecretSettings, Settings, ShellSettings, TaskSettings, VolumeSettings,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use workflow_model::{ExecutorKind, QueueName};

/// A whole configuration. Every key may be absent from a file; what the built-in file has is always there in the end.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where jobs, logs and the SQLite queue are kept.
    pub state_dir: Option<PathBuf>,
    /// Where the queues live; `run` ignores it.
    pub db: Db,
    /// Where job files live, and how long.
    pub jobfiles: JobFiles,
    /// Leases and waiting times.
    pub times: Times,
    /// Bounds of a workflow.
    pub limits: Limits,
    /// The daemon's pools.
    pub workers: Vec<Pool>,
    /// For every executor.
    pub tasks: TaskSettings,
    /// Of each executor.
    pub executors: Executors,
    /// Folders by name.
    pub volumes: BTreeMap<String, VolumeSettings>,
    /// Where secrets are.
    pub secrets: SecretSettings,
}

/// Of each executor. Those that this build does not have keep their tables unread: one file serves several builds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Executors {
    /// `[executors.shell]`.
    pub shell: ShellSettings,
    /// `[executors.docker]`.
    pub docker: DockerSettings,
    /// `[executors.kube]`, and `[executors.kube.PROFILE]`.
    pub kube: toml::Table,
    /// `[executors.api]`.
    pub api: toml::Table,
}

impl Config {
    /// The queue's URL.
    #[must_use]
    pub fn db_url(&self) -> &str {
        self.db.url.as_deref().unwrap_or_default()
    }

    /// The job-file store's URL.
    #[must_use]
    pub fn store(&self) -> &str {
        self.jobfiles.url.as_deref().unwrap_or_default()
    }

    /// What tasks get.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            tasks: self.tasks.clone(),
            executors: ExecutorSettings { shell: self.executors.shell.clone(), docker: self.executors.docker.clone() },
            volumes: self.volumes.clone(),
            secrets: self.secrets.clone(),
        }
    }

    /// The state-dir.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.state_dir.as_deref().unwrap_or(Path::new("/"))
    }
}

/// Where the queues live.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Db {
    /// `sqlite:PATH`, or `postgres://USER@HOST[:PORT]/DATABASE`.
    pub url: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// Whether a start may bring the database to this version's form.
    pub migrate: Option<bool>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        let url = self.url.as_deref().map(job_queue::shown_url);
        f.debug_struct("Db").field("url", &url).field("migrate", &self.migrate).finish_non_exhaustive()
    }
}

/// Where job files live.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobFiles {
    /// `fs:PATH`.
    pub url: Option<String>,
    /// Another endpoint (s3).
    pub endpoint: Option<String>,
    /// Bucket in the path instead of the host name (s3).
    pub path_style: Option<bool>,
    /// Whether logs and reports go there too.
    pub logs: Option<bool>,
    /// What `prune` keeps.
    pub keep: Keep,
}

/// What `prune` keeps.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// Days since the end.
    pub days: Option<u32>,
    /// The newest so many.
    pub jobs: Option<u64>,
    /// Days since the end of jobs that did not succeed.
    pub failed_days: Option<u32>,
}

/// Leases and waiting times.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Times {
    /// How long a lease lasts without renewal.
    pub lease: Option<Duration>,
    /// How often a host asks the queue even when nobody told it anything.
    pub poll: Option<Duration>,
    /// Before a dead worker is restarted for the first time; doubles.
    pub backoff: Option<Duration>,
    /// At most.
    pub backoff_max: Option<Duration>,
}

/// Bounds of a workflow.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Tasks.
    pub tasks: Option<u32>,
    /// Bytes of text.
    pub text: Option<Size>,
}

/// Workers of one queue on this host.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The queue.
    pub qname: QueueName,
    /// Its executor.
    pub executor: Option<ExecutorKind>,
    /// `[executors.E.PROFILE]` laid over `[executors.E]`.
    pub profile: Option<String>,
    /// Jobs at once.
    pub count: Option<u32>,
    /// Slots.
    pub parallel: Option<u32>,
}

/// A duration with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub std::time::Duration);

/// A size with its unit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        workflow_model::parse_duration(&text.0).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?;
        workflow_model::parse_size(&text.0).map(Self).map_err(D::Error::custom)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&workflow_model::format_duration(self.0))
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&workflow_model::format_size(self.0))
    }
}

/// A text, or a bare number taken as text, so that the parser can say which unit is missing.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text with a unit, like \"30s\" or \"64MiB\"")
            }
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
