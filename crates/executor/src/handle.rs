//! What finds a running task again after a crash. Written to `reports/<task>.<attempt>.handle` at launch.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

/// What finds a task again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "executor")]
pub enum Handle {
    /// A process tree on this host.
    Shell(ShellHandle),
    /// A container of this host's engine.
    Docker(DockerHandle),
}

/// A container, by its name: known before the container is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerHandle {
    /// The engine's address.
    pub host: String,
    /// The container's name, made from the attempt.
    pub name: String,
    /// `NAME=value` of the attempt, which the container has as a label.
    pub marker: String,
    /// Between TERM and KILL.
    #[serde(default)]
    pub grace: Duration,
}

impl DockerHandle {
    /// The container of an attempt: from its marker `QM_MARK=JOB/TASK/ATTEMPT` the name `qm-JOB-TASK-ATTEMPT`. That two
    /// markers could give one name is no harm: the marker itself is a label, and is compared.
    #[must_use]
    pub fn new(host: String, marker: String, grace: Duration) -> Self {
        let value = marker.split_once('=').map_or(marker.as_str(), |(_, value)| value);
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' };
        let name = format!("qm-{}", value.trim_start_matches('/').chars().map(plain).collect::<String>());
        Self { host, name, marker, grace }
    }
}

/// A process tree: the task executor leads the session, the task's first process the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellHandle {
    /// The task's first process.
    pub leader: ProcessId,
    /// The session that the task executor leads; 0 = it leads none (started from a shell with job control).
    pub session: i32,
    /// The task's own cgroup (v2), where we may make one.
    pub cgroup: Option<PathBuf>,
    /// `NAME=value` of the environment that only this attempt's processes have: finds those that left the group.
    pub marker: String,
    /// Between TERM and KILL.
    #[serde(default)]
    pub grace: Duration,
}

/// What has become of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Something of it still runs.
    Running,
    /// It ended, and how is known.
    Ended(Outcome),
    /// Nothing of it is left, and how it ended is not known.
    Gone,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f79_a_container_has_a_name_that_an_engine_takes() {
        let name = |marker: &str| DockerHandle::new(String::new(), marker.into(), Duration::ZERO).name;
        assert_eq!(name("QM_MARK=0192-ab/7/2"), "qm-0192-ab-7-2");
        assert_eq!(name("QM_MARK=/tmp/a b/\u{e9}=x"), "qm-tmp-a-b---x");
    }
}
