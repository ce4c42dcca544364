//! What a host's configuration says about tasks: the tables `[tasks]`, `[executors.*]`, `[volumes.*]` and
//! `[secrets]` of qmanager.toml. The program's configuration embeds these; nothing here reads a file.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use workflow_model::{format_duration, format_size, parse_duration, parse_size};

use crate::{DEFAULT_GRACE, DEFAULT_LOG_LIMIT};

mod docker;

pub use docker::{DockerSettings, HostNamespace, Pull};

/// Everything of the configuration that makes a [`crate::TaskSpec`] of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `[tasks]`.
    pub tasks: TaskSettings,
    /// `[executors]`.
    pub executors: ExecutorSettings,
    /// `[volumes.NAME]`.
    pub volumes: BTreeMap<String, VolumeSettings>,
    /// `[secrets]`.
    pub secrets: SecretSettings,
}

/// `[tasks]`: for every executor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskSettings {
    /// Between TERM and KILL.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// Environment for every task; lowest precedence.
    pub env: BTreeMap<String, String>,
    /// Bytes kept of each of a task's streams.
    #[serde(with = "size")]
    pub log_limit: u64,
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self { grace: DEFAULT_GRACE, env: BTreeMap::new(), log_limit: DEFAULT_LOG_LIMIT }
    }
}

/// `[executors]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutorSettings {
    /// `[executors.shell]`.
    pub shell: ShellSettings,
    /// `[executors.docker]`.
    pub docker: DockerSettings,
}

/// `[executors.shell]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShellSettings {
    /// Variables of the worker's environment that tasks get besides the allow-list; patterns such as `KRB5*`.
    pub pass_env: Vec<String>,
    /// Run tasks as this `user`, `user:group`, or by numbers; needs root.
    pub run_as: Option<String>,
    /// Resource limits of tasks, by the names of setrlimit(2) in lower case: `nofile = 4096`, `core = 0`, `fsize = "1GiB"`.
    pub rlimits: BTreeMap<String, Limit>,
    /// Deny gaining privileges by exec (setuid programs, sudo).
    pub no_new_privs: bool,
    /// Give each task a cgroup of its own where that is possible: its tree then dies at once, also when its task
    /// executor was killed and the task has changed session and environment. Costs about 0.2 ms a task.
    pub cgroup: bool,
}

/// `[volumes.NAME]`: what a volume name of a workflow means on this host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VolumeSettings {
    /// A folder (shell, docker).
    pub path: Option<PathBuf>,
    /// A persistent volume claim (kube).
    pub pvc: Option<String>,
    /// Tasks may only read it.
    pub read_only: bool,
}

/// `[secrets]`: where `{secret: NAME}` comes from, and for whom. Decided here only, never by a workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretSettings {
    /// A folder with one file per name.
    pub dir: Option<PathBuf>,
    /// By queue, patterns of the names that its tasks may have.
    pub allow: BTreeMap<String, Vec<String>>,
}

/// The resources that `rlimits` may name.
pub const RESOURCES: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// A resource limit: a number, a size (`"1GiB"`), or `"unlimited"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub u64);

impl Limit {
    /// No limit.
    pub const UNLIMITED: Self = Self(u64::MAX);
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Numbers of TOML have a sign.
        if i64::try_from(self.0).is_ok() {
            serializer.serialize_u64(self.0)
        } else {
            serializer.serialize_str("unlimited")
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a size such as \"1GiB\", or \"unlimited\"")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Limit, E> {
                Ok(Limit(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Limit, E> {
                u64::try_from(value).map(Limit).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                if text == "unlimited" {
                    return Ok(Limit::UNLIMITED);
                }
                let number = text.parse().ok().or_else(|| parse_size(text).ok());
                number.map(Limit).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A text, or a bare number taken as one, so that the parser can say which unit is missing.
struct Written(String);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text with a unit, such as \"10s\" or \"64MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Written, E> {
                Ok(Written(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Written, E> {
                Ok(Written(number.to_string()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// A duration as text with a unit.
mod duration {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&Written::deserialize(deserializer)?.0).map_err(de::Error::custom)
    }
}

/// A size as text with a unit.
mod size {
    use super::*;

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_size(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        parse_size(&Written::deserialize(deserializer)?.0).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_is_written_and_writes_what_it_reads() {
        let text = r#"{"tasks": {"grace": "2s", "env": {"A": "1"}, "log_limit": "1MiB"},
            "executors": {"shell": {"pass_env": ["KRB5*"], "run_as": "tasks", "no_new_privs": true,
                "rlimits": {"nofile": 64, "fsize": "1GiB", "core": "unlimited"}}},
            "volumes": {"data": {"path": "/srv/data", "read_only": true}},
            "secrets": {"dir": "/run/secrets", "allow": {"etl": ["S3_*"]}}}"#;
        let settings = read(text).unwrap();
        assert_eq!(settings.tasks.grace, Duration::from_secs(2));
        assert_eq!(settings.tasks.log_limit, 1 << 20);
        assert_eq!(settings.executors.shell.rlimits["fsize"], Limit(1 << 30));
        assert_eq!(settings.executors.shell.rlimits["core"], Limit::UNLIMITED);
        let again = serde_json::to_string(&settings).unwrap();
        assert_eq!(read(&again).unwrap(), settings);
    }

    #[test]
    fn everything_has_a_default_and_nothing_unknown_passes() {
        assert_eq!(read("{}").unwrap(), Settings::default());
        assert_eq!(Settings::default().tasks.grace, Duration::from_secs(10));
        assert!(read(r#"{"tasks": {"graze": "1s"}}"#).unwrap_err().contains("graze"));
        for bare in [r#"{"tasks": {"grace": "10"}}"#, r#"{"tasks": {"grace": 10}}"#] {
            assert!(read(bare).unwrap_err().contains("10s"), "says what to write");
        }
        assert!(read(r#"{"executors": {"shell": {"rlimits": {"nofile": -1}}}}"#).is_err());
    }
}
