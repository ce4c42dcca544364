//! From a specification to what the engine is told to make. Built here and nowhere else: nothing of a workflow is merged
//! into it as it is.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use executor::{Container, HostNamespace, JOB_FILES, Outcome, Stdin, TaskSpec, beneath, label};

use crate::message;

/// What the engine keeps of a container's output until it is removed: enough that nothing is lost in practice, an end to
/// what an endless writer can fill. Two files of this size.
pub(crate) const ENGINE_LOG: u64 = 1_000_000_000;

/// The container of an attempt, or why the task cannot be run as it is written.
pub(crate) fn body(spec: &TaskSpec, container: &Container) -> Result<ContainerCreateBody, Outcome> {
    let image = spec.image.clone().ok_or_else(|| message::invalid("the docker executor needs an `image`"))?;
    let stdin = spec.stdin != Stdin::Null;
    let env = spec.env.iter().map(|(name, value)| format!("{name}={value}")).chain([spec.marker.clone()]);
    let mut labels: HashMap<String, String> = container.labels.iter().cloned().collect();
    labels.insert(label::MARK.into(), spec.marker.clone());
    Ok(ContainerCreateBody {
        image: Some(image),
        // The whole argv: with an entrypoint of its own nothing of the image's is used.
        entrypoint: spec.argv.clone(),
        env: Some(env.filter(|entry| !entry.is_empty()).collect()),
        user: container.user.map(|(uid, gid)| format!("{uid}:{gid}")),
        working_dir: Some(working_dir(spec)?),
        attach_stdin: Some(stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(stdin),
        stdin_once: Some(stdin),
        tty: Some(false),
        labels: Some(labels),
        host_config: Some(host_config(spec, container)),
        ..ContainerCreateBody::default()
    })
}

fn host_config(spec: &TaskSpec, container: &Container) -> HostConfig {
    let mut security = Vec::new();
    if container.no_new_privileges {
        security.push("no-new-privileges".to_owned());
    }
    let host = |kind| container.host_namespaces.contains(&kind).then(|| "host".to_owned());
    let memory = spec.resources.memory.and_then(|bytes| i64::try_from(bytes).ok());
    HostConfig {
        mounts: Some(mounts(spec)),
        cap_drop: (!container.privileged).then(|| vec!["ALL".into()]),
        cap_add: (!container.capabilities.is_empty()).then(|| container.capabilities.clone()),
        privileged: Some(container.privileged),
        security_opt: Some(security),
        network_mode: Some(container.network.clone()),
        ipc_mode: Some(host(HostNamespace::Ipc).unwrap_or_else(|| "private".into())),
        pid_mode: host(HostNamespace::Pid),
        uts_mode: host(HostNamespace::Uts),
        userns_mode: host(HostNamespace::User),
        pids_limit: (container.pids > 0).then(|| i64::from(container.pids)),
        memory,
        // No swap besides: the limit means what it says.
        memory_swap: memory,
        nano_cpus: spec.resources.cpus.map(|cpus| (cpus * 1e9) as i64),
        init: Some(container.init),
        log_config: Some(log_config(&container.log_driver)),
        auto_remove: Some(false),
        ..HostConfig::default()
    }
}

fn mounts(spec: &TaskSpec) -> Vec<Mount> {
    // As `mounts`, not as `binds`: a folder that is not there is an error then, and is not made as root.
    let bind = |source: String, target: String, read_only| Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        target: Some(target),
        read_only: Some(read_only),
        ..Mount::default()
    };
    let own = bind(spec.job_files.to_string_lossy().into_owned(), JOB_FILES.into(), false);
    let volumes = spec.volumes.iter();
    let volumes = volumes.map(|v| bind(v.src.clone(), v.dst.to_string_lossy().into_owned(), v.read_only));
    std::iter::once(own).chain(volumes).collect()
}

fn log_config(driver: &str) -> HostConfigLogConfig {
    let mut config = HashMap::new();
    if matches!(driver, "local" | "json-file") {
        config.insert("max-size".to_owned(), ENGINE_LOG.to_string());
        config.insert("max-file".to_owned(), "2".to_owned());
    }
    if driver == "local" {
        config.insert("compress".to_owned(), "false".to_owned());
    }
    HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }
}

/// The engine makes a working directory that is missing, as root: so it is looked at first.
fn working_dir(spec: &TaskSpec) -> Result<String, Outcome> {
    let files = &spec.job_files;
    if !files.is_dir() {
        let why = "is no folder; was it removed or made unreadable?";
        return Err(message::lost(format!("the job files {} {why}", files.display())));
    }
    let workdir = spec.workdir.trim_matches('/');
    if spec.workdir.starts_with('/') {
        return Err(message::invalid(format!("`workdir: {:?}` is absolute: write it relative", spec.workdir)));
    }
    beneath::folder(files, workdir).map_err(|why| message::invalid(format!("`workdir: {:?}` {why}", spec.workdir)))?;
    Ok(if workdir.is_empty() { JOB_FILES.into() } else { format!("{JOB_FILES}/{workdir}") })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use executor::Pull;

    use super::*;

    fn container() -> Container {
        Container {
            host: "unix:///x".into(),
            pull: Pull::Never,
            pull_timeout: Duration::from_secs(1),
            credentials: None,
            pulls: None,
            user: Some((7, 8)),
            network: "none".into(),
            capabilities: Vec::new(),
            host_namespaces: Vec::new(),
            privileged: false,
            no_new_privileges: true,
            pids: 100,
            init: true,
            log_driver: "local".into(),
            labels: vec![("qmanager.job".into(), "j".into())],
        }
    }

    fn spec(files: &std::path::Path) -> TaskSpec {
        TaskSpec {
            argv: Some(vec!["echo".into(), "-rf x".into()]),
            image: Some("busybox:local".into()),
            job_files: files.to_path_buf(),
            marker: "QM_MARK=j/1/1".into(),
            ..TaskSpec::default()
        }
    }

    #[test]
    fn nothing_is_allowed_that_was_not_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let body = body(&spec(dir.path()), &container()).unwrap();
        assert_eq!(body.user.as_deref(), Some("7:8"));
        let host = body.host_config.unwrap();
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.security_opt, Some(vec!["no-new-privileges".to_owned()]));
        assert_eq!((host.privileged, host.auto_remove, host.pids_limit), (Some(false), Some(false), Some(100)));
        assert_eq!((host.cap_add, host.pid_mode, host.userns_mode, host.binds), (None, None, None, None));
        assert_eq!((host.ipc_mode.as_deref(), host.uts_mode, host.devices), (Some("private"), None, None));
        let mounts = host.mounts.unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].target.as_deref(), Some("/jobfiles"));
    }

    #[test]
    fn the_hosts_configuration_can_share_its_namespaces() {
        let dir = tempfile::tempdir().unwrap();
        let mut container = container();
        container.host_namespaces = vec![HostNamespace::Pid, HostNamespace::Ipc];
        let host = body(&spec(dir.path()), &container).unwrap().host_config.unwrap();
        assert_eq!(
            (host.pid_mode.as_deref(), host.ipc_mode.as_deref(), host.uts_mode),
            (Some("host"), Some("host"), None)
        );
    }

    #[test]
    fn f90_a_working_directory_does_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/tmp", dir.path().join("out")).unwrap();
        for workdir in ["out", "../x", "/tmp", "missing"] {
            let spec = TaskSpec { workdir: workdir.into(), ..spec(dir.path()) };
            let outcome = body(&spec, &container()).unwrap_err();
            assert!(outcome.ending == executor::Ending::Invalid && outcome.message.contains("workdir"), "{outcome:?}");
        }
    }
}
