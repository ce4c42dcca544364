//! The file's schema as types: what serde decodes when nothing is wrong, and what the JSON Schema is generated from.
//!
//! Strict: null, unknown and duplicate keys are errors. Errors here say little: on any of them the file is read again by
//! the slow way, which finds all problems with their places.

mod value;

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

use crate::{fast::Tasks, workflow::Assembly};
use value::TextVisitor;
pub(crate) use value::{Opt, Pairs, RawDuration, RawSize, Text};

/// `{secret: NAME}`: the value of a secret, resolved when the task is launched.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Secret<'a> {
    /// The secret's name.
    pub(crate) secret: Text<'a>,
}

/// `{file: PATH}`: a job file.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct JobFile<'a> {
    /// Relative to the job files.
    pub(crate) file: Text<'a>,
}

/// A text or a mapping of one kind.
macro_rules! text_or_mapping {
    ($(#[$doc:meta])* $name:ident as $schema:literal { $($variant:ident($key:literal, $map:ident)),+ }) => {
        $(#[$doc])*
        #[derive(Debug, JsonSchema)]
        #[schemars(untagged, rename = $schema)]
        pub(crate) enum $name<'a> {
            /// As written in the file.
            Text(Text<'a>),
            $(
                $variant($map<'a>)
            ),+
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $name<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a text or a mapping")
                    }
                    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                        TextVisitor.visit_borrowed_str(text).map($name::Text)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                        TextVisitor.visit_str(text).map($name::Text)
                    }
                    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                        TextVisitor.visit_bool(value).map($name::Text)
                    }
                    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                        TextVisitor.visit_u64(value).map($name::Text)
                    }
                    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                        TextVisitor.visit_i64(value).map($name::Text)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let key: Option<Text<'de>> = map.next_key()?;
                        let value = match key.as_ref().map(|key| &*key.0) {
                            $(Some($key) => {
                                let text: Text<'de> = map.next_value()?;
                                $name::$variant(text_or_mapping!(@make $map text))
                            })+
                            _ => return Err(de::Error::custom("not a key of this mapping")),
                        };
                        match map.next_key::<Text<'de>>()? {
                            None => Ok(value),
                            Some(_) => Err(de::Error::custom("too many keys")),
                        }
                    }
                }
                deserializer.deserialize_any(Either)
            }
        }
    };
    (@make Secret $text:ident) => { Secret { secret: $text } };
    (@make JobFile $text:ident) => { JobFile { file: $text } };
}

text_or_mapping! {
    /// An environment variable's value.
    RawValue as "Value" { Secret("secret", Secret) }
}

text_or_mapping! {
    /// Standard input: a text, a job file or a secret.
    RawInput as "Input" { File("file", JobFile), Secret("secret", Secret) }
}

/// A text for the shell, or a list: the whole argv, no shell.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Command")]
pub(crate) enum RawCommand<'a> {
    /// Run by `params.shell`, by default `/bin/sh -ec`.
    Line(Text<'a>),
    /// The program and its arguments.
    Argv(#[schemars(length(min = 1))] Vec<Text<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for RawCommand<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawCommand<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                TextVisitor.visit_borrowed_str(text).map(RawCommand::Line)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                TextVisitor.visit_str(text).map(RawCommand::Line)
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                TextVisitor.visit_bool(value).map(RawCommand::Line)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut argv = Vec::new();
                while let Some(argument) = seq.next_element()? {
                    argv.push(argument);
                }
                Ok(RawCommand::Argv(argv))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Retries after the first attempt: a number, or a mapping.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Retry")]
pub(crate) enum RawRetry<'a> {
    /// How many.
    Max(u32),
    /// How many, and how far apart.
    Full(RetryFields<'a>),
}

/// Retries after the first attempt.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RetryPolicy")]
pub(crate) struct RetryFields<'a> {
    /// Retries after the first attempt.
    pub(crate) max: u32,
    /// Before the first retry; doubles with each, to at most 1h. Default: 1s.
    #[serde(borrow, default)]
    pub(crate) backoff: Opt<RawDuration<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for RawRetry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawRetry<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a mapping")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                u32::try_from(value).map(RawRetry::Max).map_err(E::custom)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                RetryFields::deserialize(de::value::MapAccessDeserializer::new(map)).map(RawRetry::Full)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// When a task starts.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "When")]
pub(crate) enum RawWhen {
    /// None of its ancestors failed (the default).
    Success,
    /// At least one of its ancestors failed.
    Failure,
    /// In any case, once its ancestors have ended.
    Always,
}

/// A task definition.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"^x-": {"description": "An annotation; ignored."}}))]
#[schemars(rename = "Task")]
pub(crate) struct RawTask<'a> {
    /// Unique within the workflow; 1 to 256 printable characters.
    #[serde(borrow)]
    #[schemars(extend("minLength" = 1, "maxLength" = 256))]
    pub(crate) name: Text<'a>,
    /// Names of the tasks that must have ended before.
    #[serde(borrow, default)]
    pub(crate) depends: Vec<Text<'a>>,
    /// What its ancestors must have done for it to start. Default: success.
    #[serde(default)]
    pub(crate) when: Opt<RawWhen>,
    /// Retries after the first attempt. Default: none.
    #[serde(borrow, default)]
    pub(crate) retry: Opt<RawRetry<'a>>,
    /// Ends an attempt that runs longer. Default: none.
    #[serde(borrow, default)]
    pub(crate) timeout: Opt<RawDuration<'a>>,
    /// Its failure counts as success for its descendants and for the job.
    #[serde(default)]
    pub(crate) allow_failure: bool,
    /// Tasks of one group are shown as one row.
    #[serde(borrow, default)]
    pub(crate) group: Opt<Text<'a>>,
    /// For people.
    #[serde(borrow, default)]
    pub(crate) description: Opt<Text<'a>>,
    /// What to run; without it the task is a join: it runs nothing and succeeds.
    #[serde(borrow, default)]
    pub(crate) params: Opt<RawParams<'a>>,
}

/// What an executor needs to run the task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Params")]
pub(crate) struct RawParams<'a> {
    /// What to run. Without it: the image's default.
    #[serde(borrow, default)]
    pub(crate) command: Opt<RawCommand<'a>>,
    /// What runs a command that is a text. Default: [/bin/sh, -ec].
    #[serde(borrow, default)]
    pub(crate) shell: Opt<Vec<Text<'a>>>,
    /// The container image (docker, kube).
    #[serde(borrow, default)]
    pub(crate) image: Opt<Text<'a>>,
    /// Environment variables. Names beginning with QM_ are reserved.
    #[serde(borrow, default)]
    #[schemars(extend("propertyNames" = {"minLength": 1, "not": {"pattern": "^QM_|="}}))]
    pub(crate) env: Pairs<'a, RawValue<'a>>,
    /// Standard input. Default: nothing.
    #[serde(borrow, default)]
    pub(crate) stdin: Opt<RawInput<'a>>,
    /// Standard output becomes this job file on success.
    #[serde(borrow, default)]
    pub(crate) stdout: Opt<Text<'a>>,
    /// SRC:DST or SRC:DST:ro; SRC is a volume's name of the host's configuration, or an absolute path.
    #[serde(borrow, default)]
    pub(crate) volumes: Vec<Text<'a>>,
    /// Relative to the job files. Default: the job files.
    #[serde(borrow, default)]
    pub(crate) workdir: Opt<Text<'a>>,
    /// What it may use.
    #[serde(borrow, default)]
    pub(crate) resources: Opt<RawResources<'a>>,
    /// api: a URL, or a configured name.
    #[serde(borrow, default)]
    pub(crate) endpoint: Opt<Text<'a>>,
    /// api: the HTTP method.
    #[serde(borrow, default)]
    pub(crate) method: Opt<Text<'a>>,
    /// api: HTTP headers.
    #[serde(borrow, default)]
    pub(crate) headers: Pairs<'a, RawValue<'a>>,
    /// api: the body of the task's request.
    #[serde(default)]
    pub(crate) body: Opt<Body>,
}

/// Any value but null.
#[derive(Debug)]
pub(crate) struct Body(pub(crate) serde_json::Value);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match crate::body::value(deserializer)? {
            serde_json::Value::Null => Err(de::Error::custom("null")),
            value => Ok(Self(value)),
        }
    }
}

impl JsonSchema for Body {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Body".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean", "array", "object"]})
    }
}

/// What a task may use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Resources")]
pub(crate) struct RawResources<'a> {
    /// CPUs, like 2 or 0.5.
    #[serde(default)]
    #[schemars(range(max = 100_000.0), extend("exclusiveMinimum" = 0))]
    pub(crate) cpus: Opt<f64>,
    /// Memory, like 500M or 4Gi.
    #[serde(borrow, default)]
    pub(crate) memory: Opt<RawSize<'a>>,
}

/// A job definition: a workflow with what one run of it needs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("patternProperties" = {"^x-": {"description": "An annotation; ignored."}}))]
pub(crate) struct RawJob<'a> {
    /// A name for people.
    #[serde(borrow, default)]
    pub(crate) name: Opt<Text<'a>>,
    /// A list of tasks, or the path of a file with one, relative to this file.
    #[serde(borrow)]
    pub(crate) workflow: RawWorkflow<'a>,
    /// Environment variables for all tasks; a task's own win.
    #[serde(borrow, default)]
    #[schemars(extend("propertyNames" = {"minLength": 1, "not": {"pattern": "^QM_|="}}))]
    pub(crate) env: Pairs<'a, RawValue<'a>>,
    /// SRC or SRC:DST: files or folders (SRC relative to this file) that are put into the job files before the start.
    #[serde(borrow, default)]
    pub(crate) files: Vec<Text<'a>>,
    /// Labels.
    #[serde(borrow, default)]
    pub(crate) labels: Pairs<'a, Text<'a>>,
    /// Higher first. Default: 0.
    #[serde(default)]
    pub(crate) priority: Opt<i32>,
    /// Not before this moment: date, time and offset, like 2026-01-31T18:00:00Z.
    #[serde(borrow, default)]
    pub(crate) run_at: Opt<Text<'a>>,
    /// Idempotency key: a second submit with it gives the first one's job.
    #[serde(borrow, default)]
    pub(crate) key: Opt<Text<'a>>,
    /// Of the jobs of a queue with this key, so many run at once as `qmanager queue limit` says: 1, where it says nothing.
    #[serde(borrow, default)]
    pub(crate) limit_key: Opt<Text<'a>>,
    /// Ends the job when it runs longer. Default: none.
    #[serde(borrow, default)]
    pub(crate) timeout: Opt<RawDuration<'a>>,
}

/// A workflow in place or by path.
#[derive(Debug)]
pub(crate) enum RawWorkflow<'a> {
    Inline(Assembly),
    File(Text<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for RawWorkflow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RawWorkflow<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of tasks or a path")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                TextVisitor.visit_borrowed_str(text).map(RawWorkflow::File)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                TextVisitor.visit_str(text).map(RawWorkflow::File)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Tasks { most: u32::MAX as usize }.visit_seq(seq).map(RawWorkflow::Inline)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for RawWorkflow<'_> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Workflow".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let task = generator.subschema_for::<RawTask<'_>>();
        json_schema!({"anyOf": [
            {"type": "string", "description": "The path of a workflow file, relative to this file.", "minLength": 1},
            {"type": "array", "items": task},
        ]})
    }
}
