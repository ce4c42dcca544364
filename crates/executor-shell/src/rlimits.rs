//! Resource limits of a task, by name.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// A limit that was set on this process for the moment of a launch.
#[derive(Debug)]
pub(crate) struct Lent {
    resource: Resource,
    wanted: u64,
    before: Rlimit,
}

/// The resource of a name such as `nofile`.
pub(crate) fn resource(name: &str) -> Option<Resource> {
    Some(match name {
        "as" => Resource::As,
        "core" => Resource::Core,
        "cpu" => Resource::Cpu,
        "data" => Resource::Data,
        "fsize" => Resource::Fsize,
        "locks" => Resource::Locks,
        "memlock" => Resource::Memlock,
        "msgqueue" => Resource::Msgqueue,
        "nice" => Resource::Nice,
        "nofile" => Resource::Nofile,
        "nproc" => Resource::Nproc,
        "rss" => Resource::Rss,
        "rtprio" => Resource::Rtprio,
        "rttime" => Resource::Rttime,
        "sigpending" => Resource::Sigpending,
        "stack" => Resource::Stack,
        _ => return None,
    })
}

/// Lowers the soft limits of this process, so that what it launches is born with them.
///
/// The hard limits follow on the task itself ([`Lent::take_back`]): lowered here they could not be raised again, and a
/// task executor that may write no file cannot report.
pub(crate) fn lend(limits: &[(String, u64)]) -> Result<Vec<Lent>, String> {
    let mut lent = Vec::with_capacity(limits.len());
    for (name, wanted) in limits {
        let resource = resource(name).ok_or_else(|| format!("there is no resource limit {name:?}"))?;
        let before = getrlimit(resource);
        let wanted = before.maximum.map_or(*wanted, |maximum| maximum.min(*wanted));
        setrlimit(resource, Rlimit { current: Some(wanted), maximum: before.maximum })
            .map_err(|error| format!("cannot set the resource limit {name:?} to {wanted}: {error}"))?;
        lent.push(Lent { resource, wanted, before });
    }
    Ok(lent)
}

impl Lent {
    /// Gives this process its limits back and fixes the task's.
    pub(crate) fn take_back(lent: Vec<Self>, task: Option<Pid>) {
        for Self { resource, wanted, before } in lent {
            setrlimit(resource, before).ok();
            if let Some(pid) = task {
                let fixed = Rlimit { current: Some(wanted), maximum: Some(wanted) };
                // It may have ended already.
                prlimit(Some(pid), resource, fixed).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_of_the_configuration_is_one() {
        for name in executor::settings::RESOURCES {
            assert!(resource(name).is_some(), "{name}");
        }
        assert!(resource("files").is_none());
    }
}
