//! `qmanager config`: the configuration in force, as TOML that could be a file.

use serde::Serialize;
use toml::{Table, Value};

use super::context::Context;
use crate::{
    cli::ConfigArgs,
    exit::{Error, Exit},
    output::JSON_VERSION,
    text::{self, safe},
};

#[derive(Serialize)]
struct View<'a> {
    v: u16,
    config: &'a Table,
    origins: std::collections::BTreeMap<&'a str, String>,
    files: Vec<String>,
}

pub(super) fn run(context: &Context, args: &ConfigArgs) -> Result<Exit, Error> {
    let loaded = context.loaded()?;
    let out = &context.out;
    if out.json {
        let origins = loaded.origins.iter().map(|(key, origin)| (key.as_str(), origin.to_string())).collect();
        let files = loaded.files.iter().map(|file| file.display().to_string()).collect();
        out.object(&View { v: JSON_VERSION, config: &loaded.table, origins, files })?;
        return Ok(Exit::Done);
    }
    if !args.origin {
        let text = toml::to_string(&loaded.table).map_err(|e| Error::internal("cannot write TOML").because(e))?;
        for line in text.lines() {
            out.line(safe(line))?;
        }
        return Ok(Exit::Done);
    }
    let mut leaves = Vec::new();
    flatten(&loaded.table, String::new(), &mut leaves);
    let widest = leaves.iter().map(|(key, value)| text::width(key) + text::width(value) + 3).max().unwrap_or(0).min(60);
    for (key, value) in &leaves {
        let setting = text::pad(&format!("{key} = {value}"), widest);
        out.line(format_args!("{setting}  # {}", safe(&loaded.origin(key).to_string())))?;
    }
    for file in &loaded.files {
        out.note(format_args!("read {}", safe(&file.display().to_string())));
    }
    Ok(Exit::Done)
}

fn flatten(table: &Table, prefix: String, into: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => flatten(inner, path, into),
            value => into.push((safe(&path).into_owned(), safe(&value.to_string()).into_owned())),
        }
    }
}
