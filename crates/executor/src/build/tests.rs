//! Tasks made ready: who overrules whom, what is refused and how.

use std::path::PathBuf;

use workflow_model::{LoadOptions, QueueName, TaskName, Workflow};

use super::*;
use crate::{SecretSource, settings::VolumeSettings};

/// A host and a job to make tasks ready for.
struct Host {
    kind: ExecutorKind,
    settings: Settings,
    ambient: BTreeMap<String, String>,
    given: BTreeMap<String, SecretSource>,
    queue: QueueName,
    job_env: Vec<(String, EnvValue)>,
    command_env: Vec<(String, String)>,
    job: JobId,
}

fn host() -> Host {
    let text = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    Host {
        kind: ExecutorKind::Shell,
        settings: Settings::default(),
        ambient: text(&[
            ("PATH", "/bin"),
            ("HOME", "/home/me"),
            ("LC_ALL", "C"),
            ("AWS_KEY", "x"),
            ("TOKEN", "hunter22"),
        ]),
        given: BTreeMap::from([("T".to_owned(), SecretSource::Env("TOKEN".to_owned()))]),
        queue: QueueName::default(),
        job_env: Vec::new(),
        command_env: Vec::new(),
        job: JobId::generate(),
    }
}

impl Host {
    fn builder(&self) -> Result<SpecBuilder<'_>, Error> {
        let secrets = Secrets::new(&self.settings.secrets, &self.given, &self.ambient, &self.queue, true);
        SpecBuilder::new(self.kind, &self.settings, &self.ambient, secrets)
    }

    fn build(&self, yaml: &str) -> Result<TaskSpec, Vec<String>> {
        let workflow = workflow(yaml);
        let job = JobFacts {
            id: self.job,
            job_files: Path::new("/jobs/1/files"),
            env: &self.job_env,
            command_env: &self.command_env,
        };
        let attempt = AttemptFacts { task: TaskIx(7), attempt: Attempt(2), tmp: Path::new("/jobs/1/tmp/7.2") };
        let builder = self.builder().map_err(|error| error.problems)?;
        builder.build(&job, workflow.task(TaskIx(0)), &attempt).map_err(|error| error.problems)
    }
}

fn workflow(yaml: &str) -> Workflow {
    workflow_model::load_workflow(yaml.as_bytes(), &LoadOptions::default()).unwrap().value
}

fn value<'s>(spec: &'s TaskSpec, name: &str) -> Option<&'s str> {
    let mut found = spec.env.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| value.as_str());
    assert!(found.next().is_none(), "{name} stands twice");
    value
}

#[test]
fn a_line_goes_to_the_shell_and_a_list_is_the_argv() {
    let argv = |yaml| host().build(yaml).unwrap().argv.unwrap();
    assert_eq!(argv("[{name: a, params: {command: \"echo  $X\"}}]"), ["/bin/sh", "-ec", "echo  $X"]);
    assert_eq!(argv("[{name: a, params: {command: [echo, \"a b\", \"$X\"]}}]"), ["echo", "a b", "$X"]);
    let bash = argv("[{name: a, params: {command: \"set -u\", shell: [bash, -c]}}]");
    assert_eq!(bash, ["bash", "-c", "set -u"]);
}

#[test]
fn host_job_task_and_command_line_overrule_each_other_in_this_order() {
    let mut host = host();
    for name in ["A", "B", "C", "D", "HOME"] {
        host.settings.tasks.env.insert(name.into(), "host".into());
    }
    host.job_env = ["B", "C", "D"].map(|name| (name.to_owned(), EnvValue::Text("job".into()))).to_vec();
    host.command_env = vec![("D".into(), "command line".into())];
    let spec = host.build("[{name: a, params: {command: x, env: {C: task, D: task}}}]").unwrap();
    let values = ["A", "B", "C", "D", "HOME"].map(|name| value(&spec, name).unwrap());
    assert_eq!(values, ["host", "job", "task", "command line", "host"]);
}

#[test]
fn only_the_allow_list_passes_and_ours_is_added() {
    let mut host = host();
    let spec = host.build("[{name: \"a b\", params: {command: x}}]").unwrap();
    assert_eq!(value(&spec, "PATH"), Some("/bin"));
    assert_eq!(value(&spec, "LC_ALL"), Some("C"));
    assert_eq!(value(&spec, "AWS_KEY"), None);
    assert_eq!(value(&spec, "TMPDIR"), Some("/jobs/1/tmp/7.2"));
    assert_eq!(value(&spec, "QM_TASK"), Some("a b"));
    assert_eq!(value(&spec, "QM_ATTEMPT"), Some("2"));
    assert_eq!(value(&spec, "QM_JOBFILES"), Some("/jobs/1/files"));
    assert_eq!(value(&spec, "QM_JOB_ID"), Some(host.job.to_string().as_str()));
    assert_eq!(spec.marker, format!("QM_MARK={}/7/2", host.job));
    host.settings.executors.shell.pass_env = vec!["AWS_*".into()];
    assert_eq!(value(&host.build("[{name: a, params: {command: x}}]").unwrap(), "AWS_KEY"), Some("x"));
    host.ambient.clear();
    let path = host.build("[{name: a, params: {command: x}}]").unwrap();
    assert_eq!(value(&path, "PATH"), Some(PATH), "a worker without PATH still finds programs");
}

#[test]
fn secrets_are_resolved_and_masked() {
    let yaml = "[{name: a, params: {command: x, env: {K: {secret: T}}, stdin: {secret: T}}}]";
    let spec = host().build(yaml).unwrap();
    assert_eq!(value(&spec, "K"), Some("hunter22"));
    assert_eq!(spec.stdin, Stdin::Text("hunter22".into()));
    assert_eq!(spec.redact, ["hunter22"]);
    assert!(!format!("{spec:?} {:?}", spec.stdin).contains("hunter22"));
}

#[test]
fn all_problems_come_at_once_with_their_remedies() {
    let mut host = host();
    host.command_env = vec![("QM_X".into(), "1".into())];
    let yaml = "[{name: a, params: {env: {K: {secret: NONE}}, stdin: {secret: NONE2},
        volumes: [\"data:/data\", \"/etc:/other\", \"/no/such:/no/such\"]}}]";
    let problems = host.build(yaml).unwrap_err();
    for part in [
        "volume \"data\" is not configured on this host: add [volumes.data]",
        "volume /etc:/other: the shell executor mounts nothing",
        "the folder /no/such does not exist",
        "`env` K: secret \"NONE\" has no source",
        "--env: the name \"QM_X\" begins with `QM_`",
        "`stdin`: secret \"NONE2\"",
        "needs a `command`",
    ] {
        assert!(problems.iter().any(|problem| problem.contains(part)), "{part:?} is not in {problems:#?}");
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

#[test]
fn a_volume_name_is_mapped_by_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = host();
    let volume = VolumeSettings { path: Some(dir.path().into()), ..VolumeSettings::default() };
    host.settings.volumes.insert("data-sets".into(), volume);
    let yaml = "[{name: a, params: {command: x, volumes: [\"data-sets:/data:ro\", \"/tmp:/tmp\"]}}]";
    let spec = host.build(yaml).unwrap();
    let place = dir.path().to_str().unwrap();
    assert_eq!(value(&spec, "QM_VOLUME_DATA_SETS"), Some(place));
    assert_eq!((spec.volumes[0].src.as_str(), spec.volumes[0].read_only), (place, true));
    assert_eq!(spec.volumes[1].name, None);
    host.settings.volumes.insert("data-sets".into(), VolumeSettings::default());
    assert!(host.build(yaml).unwrap_err()[0].contains("[volumes.data-sets] needs an absolute `path`"));
    let gone = VolumeSettings { path: Some(PathBuf::from("/no/such")), ..VolumeSettings::default() };
    host.settings.volumes.insert("data-sets".into(), gone);
    assert!(host.build(yaml).unwrap_err()[0].contains("which [volumes.data-sets] names, does not exist"));
}

#[test]
fn settings_that_mean_nothing_here_are_refused_together() {
    let mut host = host();
    host.settings.tasks.env.insert("QM_A".into(), String::new());
    host.settings.executors.shell.run_as = Some("no-such-user-here".into());
    host.settings.executors.shell.rlimits.insert("files".into(), crate::settings::Limit(1));
    host.settings.executors.shell.pass_env = vec!["[".into()];
    let problems = host.builder().unwrap_err().problems;
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(problems.iter().all(|problem| problem.contains('`')), "each names its setting: {problems:#?}");
    host.settings = Settings::default();
    host.settings.executors.shell.run_as = Some("root".into());
    let spec = host.build("[{name: a, params: {command: x}}]").unwrap();
    assert_eq!(spec.run_as, Some((0, 0)));
    assert_eq!((value(&spec, "USER"), value(&spec, "HOME")), (Some("root"), Some("/root")));
}

#[test]
fn what_an_executor_ignores_is_one_warning_and_what_it_needs_an_error() {
    let workflow = workflow(
        "[{name: a, params: {command: x, image: i}}, {name: b, params: {command: x, image: i}},
          {name: join}, {name: c, params: {image: i, env: {K: {secret: NONE}}, volumes: [\"data:/d\"]}}]",
    );
    let mut host = host();
    let findings = host.builder().unwrap().check(&workflow, &[("J".into(), EnvValue::Secret("T".into()))]);
    assert_eq!(findings.warnings, ["`image` is ignored by the shell executor (3 tasks, the first is \"a\")"]);
    let tasks: Vec<_> = findings.errors.iter().map(|(task, _)| task.as_ref().map(TaskName::as_str)).collect();
    assert_eq!(tasks, [Some("c"); 3], "{:#?}", findings.errors);
    host.kind = ExecutorKind::Docker;
    let findings = host.builder().unwrap().check(&workflow, &[("J".into(), EnvValue::Secret("NONE".into()))]);
    assert!(findings.errors[0].0.is_none() && findings.warnings.is_empty(), "{findings:#?}");
}

fn docker_host(dir: &Path) -> Host {
    let mut host = host();
    host.kind = ExecutorKind::Docker;
    let docker = &mut host.settings.executors.docker;
    docker.host = Some(format!("unix://{}/allowed/engine.sock", dir.display()));
    docker.binds_allowed = vec![dir.join("allowed")];
    docker.images_allowed = Some(vec!["debian:*".into(), "registry.internal/**".into()]);
    for folder in ["allowed/in", "outside"] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    std::fs::write(dir.join("allowed/engine.sock"), "").unwrap();
    std::os::unix::fs::symlink(dir.join("outside"), dir.join("allowed/link")).unwrap();
    host
}

#[test]
fn f90_docker_binds_only_what_is_allowed_wherever_links_lead() {
    let dir = tempfile::tempdir().unwrap();
    let host = docker_host(dir.path());
    let bind = |path: &str, target: &str| {
        let path = dir.path().join(path);
        host.build(&format!(
            "[{{name: a, params: {{command: x, image: \"debian:12\", volumes: [\"{}:{target}\"]}}}}]",
            path.display()
        ))
    };
    let spec = bind("allowed/in", "/in").unwrap();
    assert_eq!((spec.volumes.len(), spec.volumes[0].dst.as_path()), (1, Path::new("/in")));
    for (path, target, setting) in [
        ("outside", "/x", "binds_allowed"),
        ("allowed/link", "/x", "binds_allowed"),
        ("allowed/missing", "/x", "no such file"),
        ("allowed/engine.sock", "/x", "docker_socket"),
        ("allowed", "/x", "docker_socket"),
        ("allowed/in", "/jobfiles/x", "/jobfiles"),
    ] {
        let why = bind(path, target).unwrap_err().join("; ");
        assert!(why.contains(setting), "{path}: {why}");
    }
}

#[test]
fn docker_takes_only_allowed_images_and_the_configured_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut host = docker_host(dir.path());
    let image = |host: &Host, image: &str| {
        let image = if image.is_empty() { String::new() } else { format!(", image: \"{image}\"") };
        host.build(&format!("[{{name: a, params: {{command: x{image}}}}}]"))
    };
    for allowed in ["debian:12", "debian", "registry.internal/a/b:1"] {
        assert_eq!(image(&host, allowed).unwrap().image.as_deref(), Some(allowed));
    }
    for refused in ["alpine:3", "evil/debian:12", "registry.internal.evil/a:1"] {
        assert!(image(&host, refused).unwrap_err().join(";").contains("images_allowed"), "{refused}");
    }
    assert!(image(&host, "").unwrap_err().join(";").contains("[executors.docker]"));
    host.settings.executors.docker.image = Some("alpine:3".into());
    assert_eq!(image(&host, "").unwrap().image.as_deref(), Some("alpine:3"));
}

#[test]
fn a_container_has_no_rights_that_were_not_configured_and_nothing_of_the_callers_environment() {
    let dir = tempfile::tempdir().unwrap();
    let host = docker_host(dir.path());
    let spec = host.build("[{name: a, params: {command: x, image: \"debian:12\"}}]").unwrap();
    let container = spec.container.as_ref().unwrap();
    assert!(!container.privileged && container.no_new_privileges && container.capabilities.is_empty());
    assert_eq!((container.network.as_str(), container.pids), ("bridge", 4096));
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert_eq!(container.user, Some(own));
    assert_eq!(value(&spec, "PATH"), None);
    assert_eq!(value(&spec, "QM_JOBFILES"), Some("/jobfiles"));
}
