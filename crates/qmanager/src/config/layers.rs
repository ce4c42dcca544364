//! Reading the layers, laying them over one another, and remembering where each value is from.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{Config, Environment, Error, paths};

/// The built-in layer.
const DEFAULT: &str = include_str!("default.toml");
/// The host's file.
const SYSTEM: &str = "/etc/qmanager/qmanager.toml";
/// Only variables with the double underscore are ours: Kubernetes injects `QMANAGER_PORT` for a Service of that name.
const PREFIX: &str = "QMANAGER__";

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program, or computed from other values.
    BuiltIn,
    /// A file and its line.
    File(PathBuf, usize),
    /// A variable.
    Variable(String),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`: replaces both files.
    pub config: Option<PathBuf>,
    /// `--db`.
    pub db: Option<String>,
    /// `--state-dir`.
    pub state_dir: Option<PathBuf>,
    /// Relative flags and variables are meant from here.
    pub directory: PathBuf,
}

/// A configuration in force.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The sum of the layers, as TOML.
    pub table: Table,
    /// Where each value is from, by its dotted key.
    pub origins: BTreeMap<String, Origin>,
    /// The files that were read.
    pub files: Vec<PathBuf>,
}

/// One layer, checked alone.
struct Layer {
    table: Table,
    origins: BTreeMap<String, Origin>,
}

impl Loaded {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// A file cannot be read, or something in a layer is wrong; the error says where and what to write.
    pub fn read(environment: &Environment, overrides: &Overrides) -> Result<Self, Error> {
        let mut files = Vec::new();
        let mut layers = vec![built_in()?];
        match &overrides.config {
            Some(path) => {
                let path = overrides.directory.join(path);
                let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
                layers.push(from_file(&path, &text)?);
                files.push(path);
            }
            None => {
                for path in [Some(PathBuf::from(SYSTEM)), environment.user_config()].into_iter().flatten() {
                    if let Some(text) = read_optional(&path)? {
                        layers.push(from_file(&path, &text)?);
                        files.push(path);
                    }
                }
            }
        }
        layers.extend(from_environment(environment, &overrides.directory)?);
        layers.extend(from_flags(overrides)?);
        let mut loaded = Self { config: Config::default(), table: Table::new(), origins: BTreeMap::new(), files };
        for layer in layers {
            loaded.lay(layer);
        }
        loaded.derive(environment);
        loaded.config = Config::deserialize(loaded.table.clone()).map_err(|error| Error::Invalid {
            place: "configuration".into(),
            what: error.message().into(),
            hint: None,
        })?;
        loaded.validate()?;
        // The table is for people: it shows no password (I22).
        if let Some(Value::String(url)) = loaded.table.get_mut("db").and_then(|db| db.get_mut("url")) {
            *url = job_queue::shown_url(url);
        }
        Ok(loaded)
    }

    /// Whether nobody has said anything of a value.
    #[must_use]
    pub fn is_built_in(&self, key: &str) -> bool {
        matches!(self.origin(key), Origin::BuiltIn)
    }

    /// Where a value is from; for a key within a list or table, where that is from.
    #[must_use]
    pub fn origin(&self, key: &str) -> &Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return origin;
            }
            match key.rsplit_once('.') {
                Some((outer, _)) => key = outer,
                None => return &Origin::BuiltIn,
            }
        }
    }

    fn lay(&mut self, layer: Layer) {
        merge(&mut self.table, layer.table);
        self.origins.extend(layer.origins);
    }

    /// Values that are computed when no layer has them.
    fn derive(&mut self, environment: &Environment) {
        let state_dir = match self.table.get("state_dir").and_then(Value::as_str) {
            Some(dir) => dir.to_owned(),
            None => environment.state_dir().display().to_string(),
        };
        let computed = [
            (&["state_dir"][..], state_dir.clone()),
            (&["db", "url"][..], format!("sqlite:{state_dir}/queue.db")),
            (&["jobfiles", "url"][..], format!("fs:{state_dir}/jobs")),
        ];
        for (path, value) in computed {
            let (last, tables) = path.split_last().expect("BUG: a key without a name");
            let mut table = &mut self.table;
            for name in tables {
                let inner = table.entry(*name).or_insert_with(|| Value::Table(Table::new()));
                let Value::Table(inner) = inner else { return };
                table = inner;
            }
            if !table.contains_key(*last) {
                table.insert((*last).to_owned(), Value::String(value));
                self.origins.insert(path.join("."), Origin::BuiltIn);
            }
        }
    }
}

fn built_in() -> Result<Layer, Error> {
    let mut layer = from_file(Path::new("/default.toml"), DEFAULT)?;
    layer.origins.values_mut().for_each(|origin| *origin = Origin::BuiltIn);
    Ok(layer)
}

fn read_optional(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(Error::Read { path: path.into(), source }),
    }
}

fn from_file(path: &Path, text: &str) -> Result<Layer, Error> {
    let invalid = |error: toml::de::Error| describe(path, text, &error);
    toml::from_str::<Config>(text).map_err(invalid)?;
    let spanned = DeTable::parse(text).map_err(invalid)?;
    let mut origins = BTreeMap::new();
    let lines = Lines::of(text);
    note(&mut origins, String::new(), spanned.get_ref(), &|offset| Origin::File(path.into(), lines.at(offset).0));
    let mut table: Table = toml::from_str(text).map_err(invalid)?;
    let base = path.parent().unwrap_or(Path::new("/"));
    paths::resolve(&mut table, base);
    Ok(Layer { table, origins })
}

/// Notes the place of each value; a list counts as one.
fn note(into: &mut BTreeMap<String, Origin>, prefix: String, table: &DeTable<'_>, origin: &dyn Fn(usize) -> Origin) {
    for (key, value) in table {
        let name = key.get_ref();
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match value.get_ref() {
            DeValue::Table(inner) => note(into, path, inner, origin),
            _ => drop(into.insert(path, origin(key.span().start))),
        }
    }
}

fn from_environment(environment: &Environment, directory: &Path) -> Result<Vec<Layer>, Error> {
    let mut layers = Vec::new();
    for (name, value) in &environment.vars {
        let Some(key) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let name = format!("{PREFIX}{key}");
        let value = value.to_str().ok_or_else(|| Error::Invalid {
            place: name.clone(),
            what: "the value is not UTF-8".into(),
            hint: None,
        })?;
        let segments = segments(key);
        // As TOML if it is that and fits, else as text: `true` is a boolean, `10s` needs no quotes.
        let typed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        let text = Value::String(value.to_owned());
        let checked = match typed {
            Some(typed) => {
                check_value(&segments, typed).or_else(|error| check_value(&segments, text).map_err(|_| error))
            }
            None => check_value(&segments, text),
        };
        let mut table = checked.map_err(|error| {
            let (what, hint) = explain(error.message());
            Error::Invalid { place: name.clone(), what, hint }
        })?;
        paths::resolve(&mut table, directory);
        layers.push(Layer { table, origins: BTreeMap::from([(segments.join("."), Origin::Variable(name))]) });
    }
    Ok(layers)
}

/// `DB__URL` -> `db.url`; the names of variables for tasks keep their case.
fn segments(key: &str) -> Vec<String> {
    let mut segments: Vec<String> = key.splitn(3, "__").map(str::to_owned).collect();
    let env =
        segments.len() == 3 && segments[0].eq_ignore_ascii_case("tasks") && segments[1].eq_ignore_ascii_case("env");
    if env {
        return vec!["tasks".into(), "env".into(), segments.remove(2)];
    }
    key.split("__").map(str::to_ascii_lowercase).collect()
}

/// A table that holds one value, if the configuration may hold it there.
fn check_value(segments: &[String], value: Value) -> Result<Table, toml::de::Error> {
    let (first, rest) = segments.split_first().expect("BUG: splitting yields at least one part");
    let inner = rest.iter().rev().fold(value, |value, name| Value::Table(Table::from_iter([(name.clone(), value)])));
    let table = Table::from_iter([(first.clone(), inner)]);
    Config::deserialize(table.clone())?;
    Ok(table)
}

fn from_flags(overrides: &Overrides) -> Result<Vec<Layer>, Error> {
    let mut layers = Vec::new();
    let state_dir = overrides.state_dir.as_ref().map(|dir| {
        dir.to_str().map(str::to_owned).ok_or_else(|| Error::Invalid {
            place: "--state-dir".into(),
            what: "the path is not UTF-8".into(),
            hint: None,
        })
    });
    if let Some(dir) = state_dir.transpose()? {
        layers.push(flag("--state-dir", &["state_dir"], paths::absolute(&dir, &overrides.directory)));
    }
    if let Some(url) = &overrides.db {
        layers.push(flag("--db", &["db", "url"], paths::absolute(url, &overrides.directory)));
    }
    Ok(layers)
}

fn flag(flag: &'static str, path: &[&str], value: String) -> Layer {
    let (first, rest) = path.split_first().expect("BUG: a flag without a key");
    let inner = rest
        .iter()
        .rev()
        .fold(Value::String(value), |value, name| Value::Table(Table::from_iter([((*name).to_owned(), value)])));
    Layer {
        table: Table::from_iter([((*first).to_owned(), inner)]),
        origins: BTreeMap::from([(path.join("."), Origin::Flag(flag))]),
    }
}

/// Tables are merged, everything else is replaced.
fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn describe(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let (line, column) = error.span().map_or((1, 1), |span| Lines::of(text).at(span.start));
    let (what, hint) = explain(error.message());
    Error::Invalid { place: format!("{}:{line}:{column}", path.display()), what, hint }
}

/// Turns serde's `unknown field` into a sentence with a suggestion.
fn explain(message: &str) -> (String, Option<String>) {
    let message = message.trim().replace('\n', ", ");
    let Some(rest) = message.strip_prefix("unknown field `") else { return (message, None) };
    let mut parts = rest.split('`');
    let key = parts.next().unwrap_or_default();
    // `a`, `b` or `c`: every second part behind the first is a name.
    let known: Vec<&str> = parts.skip(1).step_by(2).collect();
    let hint = match crate::select::nearest(key, known.iter().copied()) {
        Some(best) => format!("did you mean `{best}`?"),
        None if known.is_empty() => "no key is known here".into(),
        None => format!("known here: {}", known.join(", ")),
    };
    (format!("unknown key `{key}`"), Some(hint))
}

/// Finds lines and columns of byte offsets.
struct Lines<'a> {
    text: &'a str,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        Self { text }
    }

    /// Line and column, from 1.
    fn at(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }
}
