//! What of the engine is as it should be, and what to do where it is not.

use std::{os::unix::fs::MetadataExt, path::Path};

use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Trouble};

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether tasks can run all the same.
    pub usable: bool,
    /// What was found.
    pub what: String,
    /// What to do about it; empty = nothing.
    pub help: String,
}

impl Finding {
    fn ok(what: String) -> Self {
        Self { usable: true, what, help: String::new() }
    }

    fn warn(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { usable: true, what: what.into(), help: help.into() }
    }

    fn fail(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { usable: false, what: what.into(), help: help.into() }
    }
}

/// Looks at the engine at `host`, which is to run tasks with `init` or without.
pub async fn doctor(host: &str, init: bool) -> Vec<Finding> {
    if let Some(problem) = socket(host) {
        return vec![problem];
    }
    let engine = match Engine::open(host).await {
        Ok(engine) => engine,
        Err(Trouble::Refused { message, .. }) if message.contains("is too new") => {
            return vec![Finding::fail(format!("{host}: {message}"), "install Docker 20.10 or newer (API 1.41)")];
        }
        Err(trouble) => {
            let help =
                "start it (`systemctl start docker`), or name another with `host` of [executors.docker] or DOCKER_HOST";
            return vec![Finding::fail(trouble.to_string(), help)];
        }
    };
    let info = match engine.call(engine.docker().info()).await {
        Ok(info) => info,
        Err(trouble) => return vec![Finding::fail(trouble.to_string(), "look at the engine's log")],
    };
    let version = info.server_version.unwrap_or_else(|| "of unknown version".into());
    let mut findings = vec![Finding::ok(format!("{host}: {version}"))];
    let driver = info.cgroup_driver.map(|driver| driver.to_string()).unwrap_or_default();
    findings.push(if info.memory_limit == Some(false) || driver == "none" {
        let help = "`resources: {memory: …}` is not enforced: give the engine the memory cgroup controller";
        Finding::warn("the engine cannot limit memory", help)
    } else {
        Finding::ok(format!("limits of memory and CPUs by cgroups ({driver})"))
    });
    let binary = info.init_binary.unwrap_or_default();
    if init && binary.is_empty() && !engine.is_podman().await {
        let help = "install it (Debian: tini), or set `init = false` in [executors.docker]";
        findings.push(Finding::warn("the engine names no init program", help));
    }
    findings
}

/// What can be told without the engine: a socket that is not there, or not for us.
fn socket(host: &str) -> Option<Finding> {
    let path = Path::new(host.strip_prefix("unix://")?);
    let shown = path.display();
    let Ok(meta) = path.metadata() else {
        let help = "install and start an engine (Debian: docker.io), or name its socket with `host` of [executors.docker] \
                    or DOCKER_HOST";
        return Some(Finding::fail(format!("there is no socket {shown}"), help));
    };
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    if rustix::fs::access(path, access).is_err() {
        return Some(no_permission(path, meta.gid()));
    }
    None
}

/// Why the socket of an engine is not for us, and what to do.
pub(crate) fn barred(host: &str) -> String {
    let path = Path::new(host.strip_prefix("unix://").unwrap_or(host));
    let Finding { what, help, .. } = no_permission(path, path.metadata().map_or(0, |meta| meta.gid()));
    format!("{what}: {help}")
}

fn no_permission(socket: &Path, gid: u32) -> Finding {
    let group = group_name(gid);
    let help = format!("`usermod -aG {group} USER`, log in again; who is in that group is root of this host");
    Finding::fail(format!("no permission to use {}, which is for group {group}", socket.display()), help)
}

fn group_name(gid: u32) -> String {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let named = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse::<u32>().ok()? == gid).then_some(name)
    };
    groups.lines().find_map(named).unwrap_or_else(|| gid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_with_its_remedy() {
        let found = socket("unix:///no/such/docker.sock").unwrap();
        assert!(!found.usable && found.what.contains("/no/such/docker.sock") && found.help.contains("DOCKER_HOST"));
        assert_eq!(socket("tcp://127.0.0.1:1"), None);
        assert_eq!((group_name(0).as_str(), group_name(4_000_000_000).as_str()), ("root", "4000000000"));
    }
}
