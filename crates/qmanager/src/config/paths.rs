//! Which values are paths: relative ones are meant from the folder of their file.

use std::path::Path;

use toml::{Table, Value};

/// Keys whose values are paths; `*` stands for any one key. A value with a scheme (`sqlite:`, `fs:`) has its path
/// behind it.
const KEYS: &[&str] = &[
    "state_dir",
    "db.url",
    "db.password_file",
    "jobfiles.url",
    "secrets.dir",
    "volumes.*.path",
    "executors.kube.pod_template",
    "executors.kube.*.pod_template",
];

/// Makes the relative paths of a layer absolute.
pub(super) fn resolve(table: &mut Table, base: &Path) {
    for key in KEYS {
        let segments: Vec<&str> = key.split('.').collect();
        visit(table, &segments, base);
    }
}

fn visit(table: &mut Table, key: &[&str], base: &Path) {
    let (first, rest) = key.split_first().expect("BUG: an empty key in the list of paths");
    for (name, value) in table.iter_mut() {
        if *first != "*" && *first != name {
            continue;
        }
        match value {
            Value::String(text) if rest.is_empty() => *text = absolute(text, base),
            Value::Table(inner) if !rest.is_empty() => visit(inner, rest, base),
            _ => {}
        }
    }
}

/// `sqlite:PATH` and `fs:PATH` keep their scheme; other schemes (`postgres://…`, `s3://…`, `azure:…`) have no path.
pub(super) fn absolute(text: &str, base: &Path) -> String {
    let (scheme, path) = match text.split_once(':') {
        Some((scheme @ ("sqlite" | "fs"), path)) => (format!("{scheme}:"), path),
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            return text.into();
        }
        _ => (String::new(), text),
    };
    if path.is_empty() || Path::new(path).is_absolute() {
        return text.into();
    }
    format!("{scheme}{}", base.join(path).display())
}
