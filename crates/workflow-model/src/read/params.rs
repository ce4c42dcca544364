//! `params`: what an executor needs.

use serde_json::{Map, Number};

use crate::{
    Command, EnvValue, Input, Params, Request, Resources, check,
    check::Wrong,
    read::{PARAMS_KEYS, RESOURCES_KEYS, Reader},
    shown,
    tree::{Kind, NodeId, Value},
};

type Rule = fn(&str) -> Result<(), Wrong>;

impl Reader<'_, '_> {
    /// Problems are reported; what is returned is complete only without any.
    pub(super) fn params(&mut self, node: NodeId) -> Option<Params> {
        let fields = self.fields(node, "`params`", PARAMS_KEYS)?;
        let request = Request {
            endpoint: fields.get("endpoint").and_then(|node| self.checked_text(node, "`endpoint`", check::endpoint)),
            method: fields.get("method").and_then(|node| self.checked_text(node, "`method`", check::method)),
            headers: fields.get("headers").map(|node| self.headers(node)).unwrap_or_default(),
            body: fields.get("body").and_then(|node| self.body(node)),
        };
        Some(Params {
            command: fields.get("command").and_then(|node| self.command(node)),
            shell: fields.get("shell").and_then(|node| self.argv(node, "shell")).map(Into::into),
            image: fields
                .get("image")
                .and_then(|node| self.checked_text(node, "`image`", check::image))
                .map(Into::into),
            env: fields.get("env").map(|node| self.env(node)).unwrap_or_default().into(),
            stdin: fields.get("stdin").and_then(|node| self.input(node)),
            stdout: fields
                .get("stdout")
                .and_then(|node| self.checked_text(node, "`stdout`", check::file_path))
                .map(Into::into),
            volumes: fields.get("volumes").map(|node| self.volumes(node)).unwrap_or_default().into(),
            workdir: fields
                .get("workdir")
                .and_then(|node| self.checked_text(node, "`workdir`", check::relative))
                .map(Into::into),
            resources: fields.get("resources").map(|node| self.resources(node)).unwrap_or_default(),
            request: (request != Request::default()).then(|| Box::new(request)),
        })
    }

    /// `env` of a task or job.
    pub(super) fn env(&mut self, node: NodeId) -> Vec<(String, EnvValue)> {
        self.values(node, "`env`", check::env_name, check::argument)
    }

    fn headers(&mut self, node: NodeId) -> Vec<(String, EnvValue)> {
        let headers = self.values(node, "`headers`", check::header_name, check::header_value);
        if let Err(wrong) = check::headers_differ(&headers) {
            self.wrong(node, "`headers`", None, wrong);
        }
        headers
    }

    fn values(&mut self, node: NodeId, what: &str, name: Rule, text: Rule) -> Vec<(String, EnvValue)> {
        if !matches!(self.tree.kind(node), Kind::Map(_)) {
            self.bad_type::<()>(node, what, "a mapping of names to values");
            return Vec::new();
        }
        let mut values: Vec<(String, EnvValue)> = Vec::new();
        for (key, value) in self.entries(node) {
            let Some(scalar) = self.tree.as_scalar(key) else { continue };
            if let Err(wrong) = name(&scalar.text) {
                self.wrong(key, &format!("the name {} in {what}", shown::key(&scalar.text)), None, wrong);
            }
            let what = format!("the value of {} in {what}", shown::key(&scalar.text));
            let value = if matches!(self.tree.kind(value), Kind::Map(_)) {
                self.reference(value, &what, &["secret"]).map(|(_, name)| EnvValue::Secret(name))
            } else if matches!(self.tree.kind(value), Kind::List(_)) {
                self.bad_type(value, &what, "a text or {secret: NAME}")
            } else {
                self.checked_text(value, &what, text).map(EnvValue::Text)
            };
            values.extend(value.map(|value| (scalar.text.clone().into_owned(), value)));
        }
        values
    }

    /// `{secret: NAME}` or `{file: PATH}`.
    fn reference(&mut self, node: NodeId, what: &str, keys: &'static [&'static str]) -> Option<(&'static str, String)> {
        let fields = self.fields(node, what, keys)?;
        let mut found = keys.iter().filter_map(|key| fields.get(key).map(|node| (*key, node)));
        let (Some((key, node)), None) = (found.next(), found.next()) else {
            let forms: Vec<&str> =
                keys.iter().map(|key| if *key == "file" { "{file: PATH}" } else { "{secret: NAME}" }).collect();
            let wrong = Wrong::new("is not a value").help(format!("write a text or {}", forms.join(" or ")));
            self.wrong(node, what, None, wrong);
            return None;
        };
        let rule: Rule = if key == "file" { check::file_path } else { check::secret_name };
        self.checked_text(node, &format!("`{key}`"), rule).map(|text| (key, text))
    }

    fn command(&mut self, node: NodeId) -> Option<Command> {
        match self.tree.kind(node) {
            Kind::List(_) => self.argv(node, "command").map(Command::Argv),
            Kind::Map(_) => self.bad_type(node, "`command`", "a text (for the shell) or a list (the whole argv)"),
            _ => self.checked_text(node, "`command`", check::command_line).map(Command::Line),
        }
    }

    fn argv(&mut self, node: NodeId, key: &str) -> Option<Vec<String>> {
        let what = format!("`{key}`");
        let items = self.list(node, &what)?;
        let entry = format!("an entry of `{key}`");
        let argv: Vec<String> =
            items.iter().filter_map(|item| self.checked_text(*item, &entry, check::argument)).collect();
        if argv.len() == items.len()
            && let Err(wrong) = check::argv(&argv, if key == "shell" { "shell" } else { "program" })
        {
            self.wrong(node, &what, None, wrong);
        }
        Some(argv)
    }

    fn input(&mut self, node: NodeId) -> Option<Input> {
        match self.tree.kind(node) {
            Kind::Map(_) => self.reference(node, "`stdin`", &["file", "secret"]).map(|(key, text)| match key {
                "file" => Input::File(text),
                _ => Input::Secret(text),
            }),
            Kind::List(_) => self.bad_type(node, "`stdin`", "a text, {file: PATH} or {secret: NAME}"),
            _ => self.checked_text(node, "`stdin`", check::param_text).map(Input::Text),
        }
    }

    fn volumes(&mut self, node: NodeId) -> Vec<crate::Volume> {
        let items = self.list(node, "`volumes`").unwrap_or_default();
        let volumes: Vec<_> =
            items.iter().filter_map(|item| self.checked(*item, "the volume", check::volume)).collect();
        volumes
    }

    fn resources(&mut self, node: NodeId) -> Resources {
        let Some(fields) = self.fields(node, "`resources`", RESOURCES_KEYS) else { return Resources::default() };
        Resources {
            cpus: fields.get("cpus").and_then(|node| self.number(node, "`cpus`", check::cpus)),
            memory: fields.get("memory").and_then(|node| self.checked(node, "`memory`", check::memory)),
        }
    }

    fn body(&mut self, node: NodeId) -> Option<serde_json::Value> {
        if self.is_null(node) {
            return self.bad_type(node, "`body`", "a value");
        }
        Some(self.json(node))
    }

    /// Any value, nulls inside included.
    fn json(&mut self, node: NodeId) -> serde_json::Value {
        let tree = self.tree;
        match tree.kind(node) {
            Kind::List(items) => items.iter().map(|item| self.json(*item)).collect(),
            Kind::Map(_) => {
                let mut map = Map::new();
                for (key, value) in self.entries(node) {
                    if let Some(key) = self.checked_text_or_null(key) {
                        map.entry(key).or_insert(self.json(value));
                    }
                }
                serde_json::Value::Object(map)
            }
            Kind::Scalar(scalar) => match scalar.value {
                Value::Null => serde_json::Value::Null,
                Value::Bool(value) => value.into(),
                Value::Unsigned(value) => value.into(),
                Value::Signed(value) => value.into(),
                Value::Float(value) => Number::from_f64(value).map_or_else(
                    || {
                        let wrong = Wrong::new("is not a number that JSON knows").help("write it in quotes");
                        self.wrong(node, "the value", Some(&scalar.text), wrong);
                        serde_json::Value::Null
                    },
                    serde_json::Value::Number,
                ),
                Value::Text => self.checked_text(node, "the text", check::param_text).unwrap_or_default().into(),
            },
            Kind::Alias(_) => unreachable!("BUG: aliases were followed"),
        }
    }

    fn checked_text_or_null(&mut self, key: NodeId) -> Option<String> {
        let text = &self.tree.as_scalar(key)?.text;
        if let Err(wrong) = check::param_text(text) {
            self.wrong(key, "the key", Some(text), wrong);
        }
        Some(text.clone().into_owned())
    }
}
