//! What programs and people read stays: JSON of the verbs (fields are added, never changed) and the names of files
//! (tests/fixtures/README.md).

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::harness::{Host, repository, until};

/// The fixture, or with `UPDATE_EXPECT=1` what is there now, written as the fixture.
fn fixture(name: &str, now: &str) -> String {
    let path = repository("tests/fixtures/v1").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, now).expect("written");
    }
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A value's form: every scalar by its kind, of a list its first element, text only where it is a word of ours.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), form(value))).collect(),
        Value::Array(list) => Value::Array(list.first().map(form).into_iter().collect()),
        Value::Null => Value::Null,
        Value::Bool(_) => "a boolean".into(),
        Value::Number(_) => "a number".into(),
        Value::String(_) => "a text".into(),
    }
}

/// Whether every field of `old` is in `new`, of the same kind. What was null may be anything now, and the reverse.
fn keeps(verb: &str, new: &Value, old: &Value) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (key, old) in old {
                let new = new.get(key).unwrap_or_else(|| panic!("{verb}: the field {key} of version 1 is gone"));
                keeps(&format!("{verb}.{key}"), new, old);
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            new.iter().zip(old).for_each(|(new, old)| keeps(&format!("{verb}[]"), new, old));
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (new, old) => assert_eq!(new, old, "{verb}: changed since version 1"),
    }
}

#[test]
fn json_of_the_verbs_keeps_the_fields_of_version_1() {
    let host = Host::new();
    let file = host.write(
        "w.yaml",
        "- {name: good, params: {command: 'echo hello; echo x >made'}}\n- {name: bad, depends: [good], params: {command: 'exit 3'}}\n",
    );
    let file = file.to_str().expect("text");
    let mut daemon = host.start(&["--workers", "1"]);
    let submitted = host.qmanager(["submit", file, "--name", "n", "--label", "a=b", "--key", "k", "--json"]).success();
    let job = submitted.json()[0]["id"].as_str().expect("an id").to_owned();
    host.qmanager(["wait", &job]).expect(1);
    let verbs: [(&str, &[&str]); 14] = [
        ("status-job", &["status", &job, "--tasks"]),
        ("status", &["status"]),
        ("list", &["list"]),
        ("wait", &["wait", &job]),
        ("logs", &["logs", &job]),
        ("explain", &["explain", &job, "bad"]),
        ("graph", &["graph", file]),
        ("files-ls", &["files", "ls", &job]),
        ("queue-ls", &["queue", "ls"]),
        ("check", &["check", file]),
        ("doctor", &["doctor"]),
        ("config", &["config"]),
        ("retry", &["retry", &job, "--dry-run"]),
        ("prune", &["prune", "--older-than", "0s", "--dry-run"]),
    ];
    for (name, args) in verbs {
        let done = host.qmanager(args.iter().copied().chain(["--json"]));
        let value = done.json().into_iter().next().unwrap_or_else(|| panic!("{name} says nothing\n{done:?}"));
        compare(name, &value);
    }
    compare("submit", &submitted.json()[0]);
    let error = host.qmanager(["status", "nobody", "--json"]).expect(4);
    compare("error", &serde_json::from_str(&error.stderr).expect("JSON"));
    let stopped = host.qmanager(["stop", "--json"]).success();
    compare("stop", &stopped.json()[0]);
    daemon.wait().success();
    host.assert_nothing_left();
}

fn compare(name: &str, value: &Value) {
    assert_eq!(value["v"], 1, "{name}: {value}");
    let now = form(value);
    let text = serde_json::to_string_pretty(&now).expect("JSON") + "\n";
    let old = serde_json::from_str(&fixture(&format!("cli/{name}.json"), &text)).expect("JSON");
    keeps(name, &now, &old);
}

/// A worker of another version finds reports, handles, leases, slots and locks by their names.
#[test]
fn files_below_the_state_dir_have_the_names_of_version_1() {
    let host = Host::new();
    let go = host.dir().join("go");
    let command = format!("echo up; while [ ! -e {} ]; do sleep 0.02; done", go.display());
    let file = host.write("w.yaml", format!("- {{name: 'étape 1/x.o', params: {{command: '{command}'}}}}\n"));
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    let job = host.submit(&[file.to_str().expect("text")]);
    let logs = host.state_dir().join("jobs").join(&job).join("logs");
    until("the task runs", || fs::read_dir(&logs).is_ok_and(|entries| entries.count() == 1));
    host.qmanager(["stop", "--handover=1m"]).success();
    daemon.wait().success();
    let mut names = BTreeSet::new();
    walk(&host.state_dir(), &host.state_dir(), &mut names);
    let shown = |name: &String| match name.split_once("/reports/").filter(|(_, name)| !name.starts_with("0.")) {
        // A place that goes from attempt to attempt is named by chance.
        Some((folder, _)) => format!("{folder}/reports/<place>\n"),
        None => format!("{name}\n"),
    };
    let now: String = names.iter().map(shown).collect::<String>().replace(&job, "<job>");
    assert_eq!(now, fixture("files/layout.txt", &now), "tests/fixtures/README.md");
    host.write("go", "");
    let mut daemon = host.start(&["--workers", "1", "--parallel", "2"]);
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

fn walk(base: &Path, folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(base, &path, names);
        }
        let name = path.strip_prefix(base).expect("below").to_str().expect("text");
        // SQLite's own, there or not; what a full disk needs is younger than version 1, which passes over it.
        if !name.ends_with("-wal") && !name.ends_with("-shm") && !name.contains("leases/.reserve") {
            names.insert(name.to_owned());
        }
    }
}
