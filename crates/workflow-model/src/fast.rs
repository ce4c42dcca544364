//! The fast way: JSON without a mistake, decoded in one streaming pass into a workflow. Any oddity at all is an
//! [`Odd`], without a place; whoever has the file then reads it the slow way, which says what and where.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, SeqAccess, Visitor},
};

use crate::{
    Command, EnvValue, Input, JobDefinition, LimitKey, Params, Request, Resources, Retry, Task, When, Workflow,
    WorkflowSource, body, check,
    check::Wrong,
    wire::{
        Opt, Pairs, RawCommand, RawInput, RawJob, RawParams, RawRetry, RawTask, RawValue, RawWhen, RawWorkflow, Text,
    },
    workflow::Assembly,
};

/// Why the fast way does not do.
#[derive(Debug)]
pub(crate) struct Odd(String);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Wrong> for Odd {
    fn from(wrong: Wrong) -> Self {
        Self(wrong.message)
    }
}

/// Reads a whole workflow of at most `most` tasks.
pub(crate) fn workflow(text: &str, most: usize) -> serde_json::Result<Workflow> {
    let mut json = serde_json::Deserializer::from_str(text);
    let assembly = json.deserialize_seq(Tasks { most })?;
    json.end()?;
    assembly.finish().map_err(de::Error::custom)
}

/// Reads a whole job definition whose workflow has at most `most` tasks.
pub(crate) fn job(text: &str, most: usize) -> serde_json::Result<JobDefinition> {
    let raw: RawJob<'_> = serde_json::from_str(text)?;
    let workflow = match raw.workflow {
        RawWorkflow::File(path) => checked(path, check::local_path).map(WorkflowSource::File).map_err(odd)?,
        RawWorkflow::Inline(assembly) if assembly.len() > most => return Err(de::Error::custom("too many tasks")),
        RawWorkflow::Inline(assembly) => WorkflowSource::Inline(assembly.finish().map_err(de::Error::custom)?),
    };
    let label = |(name, value): (Cow<'_, str>, Text<'_>)| {
        check::label_name(&name)?;
        Ok((name.into_owned(), checked(value, check::label_value)?))
    };
    Ok(JobDefinition {
        name: optional(raw.name, |text| checked(text, check::words)).map_err(odd)?,
        workflow,
        env: values(raw.env, check::env_name, check::argument).map_err(odd)?,
        files: raw.files.iter().map(|text| check::file_copy(&text.0)).collect::<Result<_, _>>().map_err(odd)?,
        labels: raw.labels.0.into_iter().map(label).collect::<Result<_, _>>().map_err(odd)?,
        priority: raw.priority.0.unwrap_or_default(),
        run_at: optional(raw.run_at, |text| check::moment(&text.0)).map_err(odd)?,
        key: optional(raw.key, |text| checked(text, check::words)).map_err(odd)?,
        limit_key: optional(raw.limit_key, |text| checked(text, check::words))
            .map_err(odd)?
            .map(|text| LimitKey::new(&text))
            .transpose()
            .map_err(de::Error::custom)?,
        timeout: optional(raw.timeout, |text| check::timeout(&text.0)).map_err(odd)?,
    })
}

fn odd(wrong: Wrong) -> serde_json::Error {
    de::Error::custom(wrong.message)
}

/// A list of tasks, taken in one by one.
pub(crate) struct Tasks {
    pub(crate) most: usize,
}

impl<'de> DeserializeSeed<'de> for Tasks {
    type Value = Assembly;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Assembly, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Tasks {
    type Value = Assembly;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of task definitions")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Assembly, A::Error> {
        let mut assembly = Assembly::default();
        while let Some(raw) = seq.next_element::<RawTask<'de>>()? {
            if assembly.len() == self.most {
                return Err(de::Error::custom("too many tasks"));
            }
            let (task, deps) = task(raw).map_err(de::Error::custom)?;
            let named = deps.len();
            let kept = assembly.push(task, deps.iter().map(|Text(name)| &**name)).map_err(de::Error::custom)?;
            if kept != named {
                return Err(de::Error::custom("a dependency stands twice"));
            }
        }
        Ok(assembly)
    }
}

fn task(raw: RawTask<'_>) -> Result<(Task, Vec<Text<'_>>), Odd> {
    let retry = match raw.retry.0 {
        None => Retry::default(),
        Some(RawRetry::Max(max)) => Retry { max, ..Retry::default() },
        Some(RawRetry::Full(fields)) => Retry {
            max: fields.max,
            backoff: optional(fields.backoff, |text| check::backoff(&text.0))?.unwrap_or(Retry::DEFAULT_BACKOFF),
        },
    };
    check::retry_max(retry.max)?;
    let task = Task {
        name: check::task_name(&raw.name.0)?,
        when: match raw.when.0 {
            None | Some(RawWhen::Success) => When::Success,
            Some(RawWhen::Failure) => When::Failure,
            Some(RawWhen::Always) => When::Always,
        },
        retry,
        timeout: optional(raw.timeout, |text| check::timeout(&text.0))?,
        allow_failure: raw.allow_failure,
        group: optional(raw.group, |text| checked(text, check::words))?.map(Into::into),
        description: raw.description.0.map(|text| text.0.into()),
        params: raw.params.0.map(|raw| params(raw).map(Box::new)).transpose()?,
    };
    Ok((task, raw.depends))
}

fn params(raw: RawParams<'_>) -> Result<Params, Odd> {
    let request = request(raw.endpoint, raw.method, raw.headers, raw.body)?;
    let resources = match raw.resources.0 {
        None => Resources::default(),
        Some(raw) => Resources {
            cpus: optional(raw.cpus, check::cpus)?,
            memory: optional(raw.memory, |text| check::memory(&text.0))?,
        },
    };
    Ok(Params {
        command: optional(raw.command, command)?,
        shell: optional(raw.shell, |list| argv(list, "shell"))?.map(Into::into),
        image: optional(raw.image, |text| checked(text, check::image))?.map(Into::into),
        env: values(raw.env, check::env_name, check::argument)?.into(),
        stdin: optional(raw.stdin, input)?,
        stdout: optional(raw.stdout, |text| checked(text, check::file_path))?.map(Into::into),
        volumes: raw.volumes.iter().map(|text| check::volume(&text.0)).collect::<Result<_, _>>()?,
        workdir: optional(raw.workdir, |text| checked(text, check::relative))?.map(Into::into),
        resources,
        request: request.map(Box::new),
    })
}

fn request(
    endpoint: Opt<Text<'_>>,
    method: Opt<Text<'_>>,
    headers: Pairs<'_, RawValue<'_>>,
    body: Opt<crate::wire::Body>,
) -> Result<Option<Request>, Odd> {
    let request = Request {
        endpoint: optional(endpoint, |text| checked(text, check::endpoint))?,
        method: optional(method, |text| checked(text, check::method))?,
        headers: values(headers, check::header_name, check::header_value)?,
        body: optional(body, |body| {
            let mut result = Ok(());
            body::texts(&body.0, &mut |text| result = result.clone().and_then(|()| check::param_text(text)));
            result.map(|()| body.0)
        })?,
    };
    check::headers_differ(&request.headers)?;
    Ok((request != Request::default()).then_some(request))
}

fn command(raw: RawCommand<'_>) -> Result<Command, Wrong> {
    match raw {
        RawCommand::Line(text) => checked(text, check::command_line).map(Command::Line),
        RawCommand::Argv(list) => argv(list, "program").map(Command::Argv),
    }
}

fn argv(list: Vec<Text<'_>>, what: &str) -> Result<Vec<String>, Wrong> {
    let list = list.into_iter().map(|text| checked(text, check::argument)).collect::<Result<Vec<_>, _>>()?;
    check::argv(&list, what)?;
    Ok(list)
}

fn input(raw: RawInput<'_>) -> Result<Input, Wrong> {
    match raw {
        RawInput::Text(text) => checked(text, check::param_text).map(Input::Text),
        RawInput::File(file) => checked(file.file, check::file_path).map(Input::File),
        RawInput::Secret(secret) => checked(secret.secret, check::secret_name).map(Input::Secret),
    }
}

pub(crate) fn values(
    pairs: Pairs<'_, RawValue<'_>>,
    name: fn(&str) -> Result<(), Wrong>,
    text: fn(&str) -> Result<(), Wrong>,
) -> Result<Vec<(String, EnvValue)>, Wrong> {
    let one = |(key, value): (Cow<'_, str>, RawValue<'_>)| {
        name(&key)?;
        let value = match value {
            RawValue::Text(value) => EnvValue::Text(checked(value, text)?),
            RawValue::Secret(secret) => EnvValue::Secret(checked(secret.secret, check::secret_name)?),
        };
        Ok((key.into_owned(), value))
    };
    pairs.0.into_iter().map(one).collect()
}

fn checked(text: Text<'_>, check: fn(&str) -> Result<(), Wrong>) -> Result<String, Wrong> {
    check(&text.0)?;
    Ok(text.0.into_owned())
}

fn optional<T, U>(value: Opt<T>, check: impl FnOnce(T) -> Result<U, Wrong>) -> Result<Option<U>, Wrong> {
    value.0.map(check).transpose()
}
