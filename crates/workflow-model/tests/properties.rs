//! Properties: what is written is read again as the same, in every form; nothing that is read panics; both ways of reading
//! agree.

#![cfg(test)]

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use workflow_model::{
    Definition, LoadOptions, Workflow, format_duration, format_size, job_schema, load, load_workflow, parse_duration,
    parse_size, workflow_schema,
};

fn read(text: &str) -> Workflow {
    let loaded = load_workflow(text.as_bytes(), &LoadOptions::new("w"));
    loaded.unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(false))).value
}

/// What is awkward in YAML, JSON and shells.
const AWKWARD: [&str; 36] = [
    "no", "null", "~", "", "1.10", "0o17", "-", "- a", "a: b", "a #b", "#", "*a", "&a", "!a", "%", "@", "`", "|", ">",
    "'", "\"", "\\", "a\nb", " a ", "\t", "é", "🚀", "\u{85}", "\u{a0}", "[", "{", "<<", "? a", "--- a", "...", "${X}",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![select(&AWKWARD[..]).prop_map(str::to_owned), "[ -~]{0,20}".prop_map(|text| text.replace("${{", "x"))]
}

fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.trim().replace(|c: char| c.is_control(), "_"))
}

fn params() -> impl Strategy<Value = Value> {
    let command = prop_oneof![
        text().prop_map(|line| json!(format!("x{line}"))),
        vec(text(), 0..4).prop_map(|mut argv| {
            argv.insert(0, "program".into());
            json!(argv)
        })
    ];
    let env = vec((text(), prop_oneof![text().prop_map(Value::from), Just(json!({"secret": "s.1"}))]), 0..4);
    let stdin = prop_oneof![text().prop_map(Value::from), Just(json!({"file": "a/b"})), Just(json!({"secret": "x"}))];
    let body = prop_oneof![
        Just(json!({"a": [1, -2, 2.5, true, null, "x", {}]})),
        text().prop_map(Value::from),
        Just(json!(1.10))
    ];
    (command, env, option::of(stdin), option::of(body), option::of(0.1_f64..64.0), option::of(1_u64..1 << 50)).prop_map(
        |(command, env, stdin, body, cpus, memory)| {
            let env: serde_json::Map<String, Value> = env
                .into_iter()
                .map(|(key, value)| (format!("K{}", key.replace(|c: char| c == '=' || c.is_control(), "_")), value))
                .collect();
            let mut params = json!({"command": command, "env": env, "resources": {}});
            if let Some(stdin) = stdin {
                params["stdin"] = stdin;
            }
            if let Some(body) = body {
                params["body"] = body;
            }
            if let Some(cpus) = cpus {
                params["resources"]["cpus"] = json!(cpus);
            }
            if let Some(memory) = memory {
                params["resources"]["memory"] = json!(format_size(memory));
            }
            params
        },
    )
}

/// A valid workflow as JSON: unique names, dependencies on earlier and later tasks alike, no cycle.
fn workflow() -> impl Strategy<Value = Value> {
    let task = (name(), vec(any::<prop::sample::Index>(), 0..4), option::of(params()), 0_u32..4, any::<bool>(), text());
    (vec(task, 1..8), any::<bool>()).prop_map(|(tasks, backwards)| {
        let names: Vec<String> = tasks.iter().enumerate().map(|(ix, task)| format!("{}{ix}", task.0)).collect();
        let mut list: Vec<Value> = tasks
            .into_iter()
            .enumerate()
            .map(|(ix, (_, deps, params, max, flag, description))| {
                let mut deps: Vec<usize> = deps.iter().filter(|_| ix > 0).map(|dep| dep.index(ix)).collect();
                deps.sort_unstable();
                deps.dedup();
                let depends: Vec<&String> = deps.iter().map(|dep| &names[*dep]).collect();
                let mut task = json!({
                    "name": names[ix], "depends": depends, "retry": {"max": max, "backoff": "1s500ms"},
                    "allow_failure": flag, "when": if flag { "always" } else { "success" }, "description": description,
                });
                if let Some(params) = params {
                    task["params"] = params;
                }
                task
            })
            .collect();
        if backwards {
            list.reverse();
        }
        Value::Array(list)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// YAML, JSON (the fast and the slow way) and the canonical form are one workflow with one hash.
    #[test]
    fn one_workflow_in_every_form(value in workflow()) {
        let json = read(&value.to_string());
        let yaml = read(&serde_yaml::to_string(&value).unwrap());
        prop_assert_eq!(&yaml, &json);
        // An annotation sends JSON the slow way; it is not part of the model.
        let mut annotated = value.clone();
        annotated[0]["x-note"] = json!({"any": [null]});
        prop_assert_eq!(&read(&annotated.to_string()), &json);
        prop_assert_eq!(&read(&serde_json::to_string_pretty(&value).unwrap()), &json);
        let canonical = json.to_canonical_json();
        let again = Workflow::from_canonical_json(&canonical).unwrap();
        prop_assert_eq!(&again, &json);
        prop_assert_eq!(again.to_canonical_json(), canonical);
        prop_assert_eq!(again.hash(), yaml.hash());
        let mut described = value;
        described[0]["description"] = json!("another");
        let described = read(&described.to_string());
        prop_assert_eq!(described.hash(), json.hash());
        prop_assert_eq!(described.task_hash(workflow_model::TaskIx(0)), json.task_hash(workflow_model::TaskIx(0)));
    }

    /// What is changed in a task changes its hash and the workflow's, and no other task's.
    #[test]
    fn hashes_tell_tasks_apart(value in workflow(), at in any::<prop::sample::Index>()) {
        let before = read(&value.to_string());
        let at = at.index(before.len());
        let mut value = value;
        value[at]["timeout"] = json!("7s");
        let after = read(&value.to_string());
        prop_assert_ne!(before.hash(), after.hash());
        for (ix, _) in before.iter() {
            prop_assert_eq!(before.task_hash(ix) == after.task_hash(ix), ix.index() != at);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        shown(&bytes);
    }

    #[test]
    fn no_text_of_yaml_makes_it_panic(parts in vec(select(&PIECES[..]), 0..60)) {
        shown(parts.concat().as_bytes());
    }

    /// A valid file with something in it overwritten.
    #[test]
    fn no_damage_makes_it_panic(value in workflow(), at in any::<prop::sample::Index>(), part in select(&PIECES[..])) {
        for mut text in [value.to_string(), serde_yaml::to_string(&value).unwrap()] {
            let at = at.index(text.len());
            if text.is_char_boundary(at) {
                text.insert_str(at, part);
                shown(text.as_bytes());
                text.truncate(at);
                shown(text.as_bytes());
            }
        }
    }

    #[test]
    fn durations_and_sizes_are_read_as_they_are_written(millis in 0_u64..1 << 48, bytes in 0_u64..1 << 60) {
        let duration = std::time::Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
    }

    #[test]
    fn no_text_of_units_makes_it_panic(text in "[0-9.a-zA-Zé ]{0,12}") {
        prop_assert!(parse_duration(&text).is_err() || parse_size(&text).is_err() || text.ends_with(char::is_alphabetic));
    }
}

const PIECES: [&str; 44] = [
    "- ",
    "-",
    ": ",
    ":",
    "? ",
    "\n",
    "  ",
    " ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "*a",
    "<<",
    "!x ",
    "|",
    ">",
    "\"",
    "'",
    "#",
    "%",
    "name",
    "depends",
    "params",
    "command",
    "env",
    "retry",
    "a",
    "b",
    "1",
    "~",
    "null",
    "true",
    "\t",
    "\r\n",
    "---",
    "...",
    "\u{feff}",
    "\\",
    "é",
    "x-",
    "- name: a\n",
];

/// Loads and shows; an accepted workflow survives the way to the queue.
fn shown(bytes: &[u8]) {
    match load(bytes, &LoadOptions::new("w")) {
        Err(problems) => {
            assert!(problems.has_errors());
            assert!(!problems.render(false).contains('\x1b'));
            assert!(problems.render(true).len() >= problems.render(false).len());
            for problem in problems.list() {
                assert!(problem.place.line >= 1 && problem.place.column >= 1);
            }
        }
        Ok(loaded) => {
            if let Definition::Workflow(workflow) = loaded.value {
                assert_eq!(Workflow::from_canonical_json(&workflow.to_canonical_json()).unwrap(), workflow);
            }
        }
    }
}

#[test]
fn schemas_are_json() {
    for schema in [workflow_schema(), job_schema()] {
        let schema: Value = serde_json::from_str(&schema).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    }
}
