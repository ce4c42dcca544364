//! A workflow as stored in the queue: JSON in one fixed form, which is itself a valid workflow file; and hashes over it.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use sha2::{Digest, Sha256};

use crate::{
    Command, EnvValue, Error, Input, Params, Resources, Retry, Task, TaskIx, Volume, VolumeSource, When, Workflow,
    fast, units,
};

impl Workflow {
    /// The canonical form: compact JSON, keys in a fixed order, defaults left out.
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        let mut text = b"[".to_vec();
        for (ix, _) in self.iter() {
            text.extend(if ix.0 == 0 { &b"\n"[..] } else { b",\n" });
            serde_json::to_writer(&mut text, &self.written(ix, true)).expect("BUG: a task is writable as JSON");
        }
        text.extend(b"]\n");
        String::from_utf8(text).expect("BUG: JSON is UTF-8")
    }

    /// Reads the canonical form, or any other JSON workflow; checks everything, but tells no places.
    ///
    /// # Errors
    /// The text is not a valid workflow, or (which [`load`](crate::load) only warns of) names a dependency twice.
    pub fn from_canonical_json(text: &str) -> Result<Self, Error> {
        fast::workflow(text, u32::MAX as usize).map_err(Error::Canonical)
    }

    /// The definition's hash: SHA-256 over the parsed model, in hexadecimal. YAML and JSON of one workflow have one hash;
    /// comments, `x-*` and `description` do not count, nor does the order within `depends`.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (ix, _) in self.iter() {
            hash.update(self.digest(ix));
        }
        hex(&hash.finalize())
    }

    /// A task's own hash, in hexadecimal: over all it says, its name and its dependencies' names included, and nothing else.
    ///
    /// # Panics
    /// The index is not of this workflow.
    #[must_use]
    pub fn task_hash(&self, task: TaskIx) -> String {
        hex(&self.digest(task))
    }

    fn digest(&self, task: TaskIx) -> [u8; 32] {
        let mut written = self.written(task, false);
        written.depends.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&written).expect("BUG: a task is writable as JSON"));
        hash.finalize().into()
    }

    fn written(&self, ix: TaskIx, description: bool) -> Written<'_> {
        let task = self.task(ix);
        let depends = self.deps(ix).iter().map(|dep| self.task(*dep).name.as_str()).collect();
        Written { task, depends, description }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// A task with the names of its dependencies.
struct Written<'a> {
    task: &'a Task,
    depends: Vec<&'a str>,
    description: bool,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let task = self.task;
        map.serialize_entry("name", &task.name)?;
        if !self.depends.is_empty() {
            map.serialize_entry("depends", &self.depends)?;
        }
        if task.when != When::Success {
            map.serialize_entry("when", &task.when)?;
        }
        if task.retry != Retry::default() {
            map.serialize_entry("retry", &task.retry)?;
        }
        if let Some(timeout) = task.timeout {
            map.serialize_entry("timeout", &units::format_duration(timeout))?;
        }
        if task.allow_failure {
            map.serialize_entry("allow_failure", &true)?;
        }
        entry(&mut map, "group", task.group.as_ref())?;
        entry(&mut map, "description", task.description.as_ref().filter(|_| self.description))?;
        entry(&mut map, "params", task.params.as_ref())?;
        map.end()
    }
}

impl Serialize for Retry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("max", &self.max)?;
        if self.backoff != Self::DEFAULT_BACKOFF {
            map.serialize_entry("backoff", &units::format_duration(self.backoff))?;
        }
        map.end()
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "command", self.command.as_ref())?;
        entry(&mut map, "shell", self.shell.as_ref())?;
        entry(&mut map, "image", self.image.as_ref())?;
        entry(&mut map, "env", some(&self.env).map(Pairs).as_ref())?;
        entry(&mut map, "stdin", self.stdin.as_ref())?;
        entry(&mut map, "stdout", self.stdout.as_ref())?;
        entry(&mut map, "volumes", some(&self.volumes))?;
        entry(&mut map, "workdir", self.workdir.as_ref())?;
        if self.resources != Resources::default() {
            map.serialize_entry("resources", &self.resources)?;
        }
        if let Some(request) = &self.request {
            entry(&mut map, "endpoint", request.endpoint.as_ref())?;
            entry(&mut map, "method", request.method.as_ref())?;
            entry(&mut map, "headers", some(&request.headers).map(Pairs).as_ref())?;
            entry(&mut map, "body", request.body.as_ref())?;
        }
        map.end()
    }
}

impl Serialize for Resources {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "cpus", self.cpus.as_ref())?;
        entry(&mut map, "memory", self.memory.map(units::format_size).as_ref())?;
        map.end()
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Line(line) => line.serialize(serializer),
            Self::Argv(argv) => argv.serialize(serializer),
        }
    }
}

impl Serialize for EnvValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::Secret(name) => serializer.collect_map([("secret", name)]),
        }
    }
}

impl<'de> Deserialize<'de> for EnvValue {
    /// A text, or `{"secret": NAME}`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = EnvValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#"a text, or {"secret": NAME}"#)
            }
            fn visit_str<E>(self, text: &str) -> Result<EnvValue, E> {
                Ok(EnvValue::Text(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<EnvValue, A::Error> {
                match map.next_entry::<String, String>()? {
                    Some((key, name)) if key == "secret" => Ok(EnvValue::Secret(name)),
                    _ => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self)),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl Serialize for Input {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => text.serialize(serializer),
            Self::File(path) => serializer.collect_map([("file", path)]),
            Self::Secret(name) => serializer.collect_map([("secret", name)]),
        }
    }
}

impl Serialize for Volume {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (VolumeSource::Name(source) | VolumeSource::Path(source)) = &self.source;
        serializer.collect_str(&format_args!("{source}:{}{}", self.target, if self.read_only { ":ro" } else { "" }))
    }
}

struct Pairs<'a>(&'a [(String, EnvValue)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn some<T>(list: &[T]) -> Option<&[T]> {
    (!list.is_empty()).then_some(list)
}

fn entry<M: SerializeMap>(
    map: &mut M,
    key: &'static str,
    value: Option<&(impl Serialize + ?Sized)>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(key, value))
}
