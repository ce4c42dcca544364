//! From a task of a workflow to a [`TaskSpec`]: configuration, job and command line laid over each other, secrets and
//! volumes resolved. Afterwards nothing refers to anything.

mod container;

pub use self::container::engine_address;

use std::{collections::BTreeMap, path::Path};

use workflow_model::{
    Attempt, EnvValue, ExecutorKind, Input, JobId, Params, Task, TaskIx, Volume as WrittenVolume, VolumeSource,
};

use crate::{
    Error, JOB_FILES, Resources, Secrets, Settings, Stdin, TaskSpec, Volume,
    account::{self, Account},
    environment::{Environment, check_name, passes, volume_variable},
    settings::RESOURCES,
};

/// The PATH of a task where the worker has none.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What all tasks of a job share.
#[derive(Debug, Clone, Copy)]
pub struct JobFacts<'a> {
    /// The job.
    pub id: JobId,
    /// The folder of its job files on this host.
    pub job_files: &'a Path,
    /// The job's environment (job definition, `submit --env`).
    pub env: &'a [(String, EnvValue)],
    /// `--env` and `--env-file` of the command that runs it; beats what the file says.
    pub command_env: &'a [(String, String)],
}

/// What only this attempt has.
#[derive(Debug, Clone, Copy)]
pub struct AttemptFacts<'a> {
    /// The task's index.
    pub task: TaskIx,
    /// The attempt.
    pub attempt: Attempt,
    /// Its own TMPDIR.
    pub tmp: &'a Path,
}

/// `NAME=value` of the environment that only this attempt's processes have.
#[must_use]
pub fn marker(job: JobId, task: TaskIx, attempt: Attempt) -> String {
    format!("QM_MARK={job}/{task}/{attempt}")
}

/// Makes specifications of the tasks of one job on this host.
#[derive(Debug)]
pub struct SpecBuilder<'a> {
    pub(crate) kind: ExecutorKind,
    pub(crate) settings: &'a Settings,
    pub(crate) secrets: Secrets<'a>,
    ambient: &'a BTreeMap<String, String>,
    account: Option<Account>,
    rlimits: Vec<(String, u64)>,
}

impl<'a> SpecBuilder<'a> {
    /// `ambient` is the environment of the worker; what of it may pass is decided here.
    ///
    /// # Errors
    /// Settings that mean nothing on this host: a user, a resource, a variable's name, a pattern.
    pub fn new(
        kind: ExecutorKind,
        settings: &'a Settings,
        ambient: &'a BTreeMap<String, String>,
        secrets: Secrets<'a>,
    ) -> Result<Self, Error> {
        let shell = &settings.executors.shell;
        let mut problems = Vec::new();
        for name in settings.tasks.env.keys() {
            if let Err(why) = check_name(name) {
                problems.push(format!("`env` of [tasks]: the name {name:?} {why}"));
            }
        }
        for pattern in shell.pass_env.iter().filter(|pattern| fast_glob::validate(pattern).is_err()) {
            problems.push(format!("`pass_env` of [executors.shell]: {pattern:?} is not a pattern"));
        }
        for name in shell.rlimits.keys().filter(|name| !RESOURCES.contains(&name.as_str())) {
            let known = RESOURCES.join(", ");
            problems.push(format!("`rlimits` of [executors.shell] has no resource {name:?}; there are {known}"));
        }
        if kind == ExecutorKind::Docker {
            problems.extend(container::problems(&settings.executors.docker));
        }
        let account = account_of(kind, settings).unwrap_or_else(|why| {
            problems.push(why);
            None
        });
        Error::unless_empty(problems)?;
        let rlimits = shell.rlimits.iter().map(|(name, limit)| (name.clone(), limit.0)).collect();
        Ok(Self { kind, settings, secrets, ambient, account, rlimits })
    }

    /// Whose tasks they are, if not ours: uid and gid.
    #[must_use]
    pub fn run_as(&self) -> Option<(u32, u32)> {
        self.account.as_ref().map(|account| (account.uid, account.gid))
    }

    /// The specification of one attempt.
    ///
    /// # Errors
    /// All that stands in the way: secrets, volumes, names of variables, a missing `command`.
    pub fn build(&self, job: &JobFacts<'_>, task: &Task, attempt: &AttemptFacts<'_>) -> Result<TaskSpec, Error> {
        let nothing = Params::default();
        let params = task.params.as_deref().unwrap_or(&nothing);
        let mut notes = Notes::default();
        let volumes = self.volumes(params, &mut notes);
        let env = self.env(job, task, attempt, &volumes, &mut notes);
        let stdin = match &params.stdin {
            None => Stdin::Null,
            Some(Input::Text(text)) => Stdin::Text(text.clone()),
            Some(Input::File(path)) => Stdin::File(path.clone()),
            Some(Input::Secret(name)) => Stdin::Text(self.secret(name, "`stdin`", &mut notes)),
        };
        notes.problems.extend(self.missing(params).into_iter().chain(self.image_refused(params)));
        Error::unless_empty(notes.problems)?;
        let shell = &self.settings.executors.shell;
        Ok(TaskSpec {
            argv: params.argv(),
            image: self.image(params),
            env,
            stdin,
            stdout: params.stdout.as_deref().map(str::to_owned),
            volumes,
            job_files: job.job_files.to_path_buf(),
            workdir: params.workdir.as_deref().unwrap_or_default().to_owned(),
            resources: Resources { cpus: params.resources.cpus, memory: params.resources.memory },
            timeout: task.timeout,
            grace: self.settings.tasks.grace,
            log_limit: self.settings.tasks.log_limit,
            redact: notes.redact,
            run_as: self.run_as(),
            rlimits: self.rlimits.clone(),
            no_new_privs: shell.no_new_privs,
            marker: marker(job.id, attempt.task, attempt.attempt),
            cgroup: shell.cgroup || params.resources.memory.is_some(),
            container: (self.kind == ExecutorKind::Docker)
                .then(|| Box::new(self.container(job.id, (attempt.task, task), attempt.attempt))),
        })
    }

    /// What this executor cannot do without.
    pub(crate) fn missing(&self, params: &Params) -> Option<String> {
        match self.kind {
            ExecutorKind::Shell if params.command.is_none() => {
                Some("the shell executor needs a `command` in `params`: there is no image to take one from".to_owned())
            }
            ExecutorKind::Docker if self.image(params).is_none() => Some(
                "the docker executor needs an `image` in `params`, or one for all tasks in [executors.docker]"
                    .to_owned(),
            ),
            ExecutorKind::Kube if params.image.is_none() => {
                Some("the kube executor needs an `image` in `params`".to_owned())
            }
            ExecutorKind::Api if params.request.as_ref().is_none_or(|request| request.endpoint.is_none()) => {
                Some("the api executor needs an `endpoint` in `params`".to_owned())
            }
            _ => None,
        }
    }

    /// Resolves a volume against the configuration.
    pub(crate) fn volume(&self, written: &WrittenVolume) -> Result<Volume, String> {
        let (shell, docker) = (self.kind == ExecutorKind::Shell, self.kind == ExecutorKind::Docker);
        let target = &written.target;
        if docker && let Some(why) = Self::target_refused(target) {
            return Err(why);
        }
        let (name, src, read_only) = match &written.source {
            VolumeSource::Name(name) => {
                let known = self.settings.volumes.get(name).ok_or_else(|| {
                    format!("volume {name:?} is not configured on this host: add [volumes.{name}] with `path = …`")
                })?;
                let path = known.path.as_ref().filter(|path| path.is_absolute()).ok_or_else(|| {
                    format!("volume {name:?}: [volumes.{name}] needs an absolute `path` for the {} executor", self.kind)
                })?;
                (Some(name.clone()), path.to_string_lossy().into_owned(), known.read_only)
            }
            VolumeSource::Path(path) if shell && path != target => {
                return Err(format!(
                    "volume {path}:{target}: the shell executor mounts nothing, so both must be the same path; \
                     or name it, with [volumes.NAME], and read its place from $QM_VOLUME_NAME"
                ));
            }
            VolumeSource::Path(path) if docker => (None, self.bind(path)?, false),
            VolumeSource::Path(path) => (None, path.clone(), false),
        };
        if (shell || docker) && !Path::new(&src).exists() {
            let setting = name.as_ref().map(|name| format!(", which [volumes.{name}] names,")).unwrap_or_default();
            return Err(format!("volume {src}:{target}: the folder {src}{setting} does not exist on this host"));
        }
        Ok(Volume { name, src, dst: target.into(), read_only: read_only || written.read_only })
    }

    fn volumes(&self, params: &Params, notes: &mut Notes) -> Vec<Volume> {
        let mut volumes = Vec::with_capacity(params.volumes.len());
        for written in params.volumes.iter() {
            match self.volume(written) {
                Ok(volume) => volumes.push(volume),
                Err(why) => notes.problems.push(why),
            }
        }
        volumes
    }

    /// Host configuration < job < task < command line; what is ours comes last and cannot be overruled.
    fn env(
        &self,
        job: &JobFacts<'_>,
        task: &Task,
        attempt: &AttemptFacts<'_>,
        volumes: &[Volume],
        notes: &mut Notes,
    ) -> Vec<(String, String)> {
        let mut env = self.base(attempt.tmp);
        for (name, value) in &self.settings.tasks.env {
            env.set(name, value);
        }
        let of_task = task.params.as_ref().map(|params| &*params.env).unwrap_or_default();
        for (name, value) in job.env.iter().chain(of_task) {
            if let Err(why) = check_name(name) {
                notes.problems.push(format!("`env`: the name {name:?} {why}"));
            }
            match value {
                EnvValue::Text(text) => env.set(name, text),
                EnvValue::Secret(secret) => env.set(name, self.secret(secret, &format!("`env` {name}"), notes)),
            }
        }
        for (name, value) in job.command_env {
            if let Err(why) = check_name(name) {
                notes.problems.push(format!("--env: the name {name:?} {why}"));
            }
            env.set(name, value);
        }
        env.set("QM_JOB_ID", job.id.to_string());
        env.set("QM_TASK", task.name.as_str());
        env.set("QM_ATTEMPT", attempt.attempt.to_string());
        if self.kind == ExecutorKind::Docker {
            env.set("QM_JOBFILES", JOB_FILES);
        } else {
            env.set("QM_JOBFILES", job.job_files.to_string_lossy());
        }
        for volume in volumes {
            if let Some(name) = &volume.name {
                let place = if self.kind == ExecutorKind::Shell { &volume.src } else { &*volume.dst.to_string_lossy() };
                env.set(volume_variable(name), place);
            }
        }
        env.into_vec()
    }

    /// What a task has without anybody asking for it.
    fn base(&self, tmp: &Path) -> Environment {
        let mut env = Environment::default();
        if self.kind != ExecutorKind::Shell {
            return env;
        }
        env.set("PATH", PATH);
        let shell = &self.settings.executors.shell;
        for (name, value) in self.ambient.iter().filter(|(name, _)| passes(name, &shell.pass_env)) {
            env.set(name, value);
        }
        if let Some(Account { user: Some((user, home)), .. }) = &self.account {
            env.set("USER", user);
            env.set("HOME", home);
        }
        env.set("TMPDIR", tmp.to_string_lossy());
        env
    }

    /// A secret's value, to be masked everywhere; empty if it cannot be had, which is noted.
    fn secret(&self, name: &str, user: &str, notes: &mut Notes) -> String {
        let value = self.secrets.read(name).unwrap_or_else(|why| {
            notes.problems.push(format!("{user}: {why}"));
            String::new()
        });
        if !value.is_empty() && !notes.redact.contains(&value) {
            notes.redact.push(value.clone());
        }
        value
    }
}

/// Whose tasks they are, if not ours.
fn account_of(kind: ExecutorKind, settings: &Settings) -> Result<Option<Account>, String> {
    match (kind, &settings.executors.shell.run_as) {
        (ExecutorKind::Docker, _) => container::account(&settings.executors.docker),
        (ExecutorKind::Shell, Some(user)) => {
            account::find(user).map(Some).map_err(|why| format!("`run_as` of [executors.shell]: {why}"))
        }
        _ => Ok(None),
    }
}

/// What comes up while a specification is made.
#[derive(Default)]
struct Notes {
    problems: Vec<String>,
    redact: Vec<String>,
}

#[cfg(test)]
mod tests;
