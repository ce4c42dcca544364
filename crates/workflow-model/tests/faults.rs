//! F76-F79 of the fault list: hostile files, values as written, graphs, names.

#![cfg(test)]

mod hostile;

use std::fmt::Write as _;

use hostile::Hostile;
use workflow_model::{Definition, EnvValue, LoadOptions, Problems, TaskIx, Workflow, load, load_workflow};

fn workflow(text: &str) -> Workflow {
    let loaded = load_workflow(text.as_bytes(), &LoadOptions::new("w"));
    loaded.unwrap_or_else(|problems| panic!("{text}\n{}", problems.render(false))).value
}

fn problems(text: impl AsRef<[u8]>) -> Problems {
    load(text.as_ref(), &LoadOptions::new("w")).expect_err("the file is refused")
}

fn refused(text: impl AsRef<[u8]>, part: &str) {
    let shown = problems(text).to_string();
    assert!(shown.contains(part), "{part:?} is not in:\n{}", shown.chars().take(2000).collect::<String>());
}

#[test]
fn f76_hostile_files_are_refused_in_bounded_time_and_memory() {
    // The bound is 1 s; code without optimisation gets more.
    let most = if cfg!(debug_assertions) { 5.0 } else { 1.0 };
    for Hostile { what, text, accepted } in hostile::files() {
        assert!(text.len() < 1 << 20, "{what}");
        // 5 = forget the peak.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let (start, before) = (cpu_seconds(), status_kib("VmRSS:"));
        let loaded = load(&text, &LoadOptions::new("w"));
        if let Err(problems) = &loaded {
            assert!(problems.has_errors(), "{what}");
            let shown = problems.render(true).len() + problems.to_string().len();
            assert!(shown < 4 << 20, "{what}: {shown} bytes of problems");
        }
        let seconds = cpu_seconds() - start;
        let mib = status_kib("VmHWM:").saturating_sub(before) >> 10;
        println!("{seconds:7.3} s {mib:4} MiB: {what}");
        assert!(mib < 256, "{what}: {mib} MiB");
        assert!(seconds < most, "{what}: {seconds} s");
        assert_eq!(loaded.is_ok(), accepted, "{what}: {}", loaded.err().unwrap_or_default());
    }
}

/// What this thread has had of a CPU: unlike the clock, it does not count what else the machine is doing.
fn cpu_seconds() -> f64 {
    let status = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    status.split(' ').next().unwrap().parse::<u64>().unwrap() as f64 / 1e9
}

/// What the system says of this process's memory.
fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn f76_limits_are_told() {
    let mut options = LoadOptions::new("w");
    options.limits.text = 10;
    let said = load(b"- name: a\n- name: b\n", &options).unwrap_err().to_string();
    assert!(said.contains("20 bytes of text, 10 bytes are allowed"), "{said}");
    let mut options = LoadOptions::new("w");
    options.limits.tasks = 1;
    for text in ["- name: a\n- name: b\n", "[{\"name\": \"a\"}, {\"name\": \"b\"}]"] {
        let said = load(text.as_bytes(), &options).unwrap_err().to_string();
        assert!(said.contains("2 tasks, 1 are allowed"), "{said}");
    }
    for text in [format!("- [{}]", "x,".repeat(1_000_001)), format!("[{}[]]", "[[]],".repeat(1_000_001))] {
        let said = load(text.as_bytes(), &options).unwrap_err().to_string();
        assert!(said.contains("more than 1000000 values"), "{}", &said[..200]);
    }
    let mut options = LoadOptions::new("w");
    options.limits.levels = 3;
    for text in
        ["- name: a\n  params:\n    env: {A: b}\n", "[{\"name\": \"a\", \"params\": {\"env\": {\"A\": \"b\"}}}]"]
    {
        let said = load(text.as_bytes(), &options).unwrap_err().to_string();
        assert!(said.contains("nested deeper than 3 levels"), "{said}");
    }
    let mut options = LoadOptions::new("w");
    options.limits.problems = 2;
    let problems = load(b"- {a: 1}\n- {b: 1}\n- {c: 1}\n", &options).unwrap_err();
    assert_eq!((problems.list().len(), problems.more()), (2, 4));
}

#[test]
fn f77_values_reach_the_task_as_written() {
    for (written, text) in [
        ("no", "no"),
        ("True", "True"),
        ("1_000", "1_000"),
        ("0o17", "0o17"),
        ("017", "017"),
        ("1e3", "1e3"),
        ("1.10", "1.10"),
        (".nan", ".nan"),
        ("12:30", "12:30"),
        ("18446744073709551616", "18446744073709551616"),
        ("2026-01-31", "2026-01-31"),
        ("0x1F", "0x1F"),
        ("-0", "-0"),
        ("\"1.10\"", "1.10"),
        ("'no'", "no"),
        ("\"\"", ""),
    ] {
        let yaml = workflow(&format!("- name: a\n  params:\n    command: x\n    env: {{V: {written}}}\n"));
        let params = yaml.task(TaskIx(0)).params.as_ref().unwrap();
        assert_eq!(params.env[..], [("V".to_owned(), EnvValue::Text(text.to_owned()))], "{written}");
        let quoted = serde_json::to_string(text).unwrap();
        let json = format!(r#"[{{"name": "a", "params": {{"command": "x", "env": {{"V": {quoted}}}}}}}]"#);
        assert_eq!(workflow(&json), yaml, "{written}");
        assert_eq!(workflow(&json).hash(), yaml.hash());
    }
    // JSON numbers and booleans too.
    for written in ["1.10", "1e3", "-0", "18446744073709551616", "true", "7", "-7", "0.1000"] {
        let json = workflow(&format!(r#"[{{"name": "a", "params": {{"command": "x", "env": {{"V": {written}}}}}}}]"#));
        let params = json.task(TaskIx(0)).params.as_ref().unwrap();
        assert_eq!(params.env[..], [("V".to_owned(), EnvValue::Text(written.to_owned()))]);
    }
    let taken = workflow("- name: 2024\n- name: b\n  depends: [2024]\n");
    assert_eq!(taken.deps(TaskIx(1)), [TaskIx(0)]);
}

#[test]
fn f77_ambiguous_files_are_refused() {
    for (text, part) in [
        ("- name: a\n  params: {env: {A: null}}\n", "1:"),
        ("- name: a\n  params: {env: {A: ~}}\n", "has no value (null)"),
        ("[{\"name\": \"a\", \"params\": {\"env\": {\"A\": null}}}]", "has no value (null)"),
        ("- name: a\n  name: b\n", "w:2:3: error: the key `name` stands twice"),
        ("[{\"name\": \"a\", \"name\": \"b\"}]", "w:1:16: error: the key `name` stands twice"),
        ("- name: a\n\tparams: {}\n", "w:2:1: error: a tab in the indentation: YAML"),
        ("\u{feff}- name: a\n", "byte order mark"),
        ("- name: a\n---\n- name: b\n", "w:2:1: error: a second document begins here"),
        ("- name: a\n...\n---\n- name: b\n", "w:3:1: error: a second document"),
        ("- name: a\n  timeout: 30\n", "write 30s, 30m or 30h"),
        ("- name: a\n  allow_failure: no\n", "write false, without quotes"),
        ("- name: a\n  <<: {name: b}\n  <<: {group: c}\n", "the key `<<` stands twice"),
    ] {
        refused(text, part);
    }
}

#[test]
fn f77_merge_keys_work() {
    let merged =
        workflow("- {name: a, params: &p {command: x, env: {A: 1}}}\n- {name: b, params: {<<: *p, command: y}}\n");
    let plain =
        workflow("- {name: a, params: {command: x, env: {A: 1}}}\n- {name: b, params: {command: y, env: {A: 1}}}\n");
    assert_eq!(merged, plain);
}

#[test]
fn f78_wrong_graphs_are_refused() {
    refused("- {name: a, depends: [b]}\n- {name: b, depends: [c]}\n- {name: c, depends: [a]}\n", "a -> b -> c -> a");
    refused("- {name: a, depends: [a]}\n", "depends on itself");
    refused(
        "- {name: a, depends: [bee]}\n- {name: been}\n",
        "no task is called \"bee\" (task \"a\"); did you mean \"been\"?",
    );
    refused("- name: a\n- name: a\n", "w:2:9: error: the name \"a\" stands twice (task \"a\"); first here: 1:9");
}

#[test]
fn f78_deep_and_wide_graphs_are_read() {
    const LONG: usize = 100_000;
    // Backwards, so that nothing is known when it is named; iterative, so that no stack overflows.
    let mut chain = String::from("[");
    for task in 0..LONG {
        let depends = if task + 1 < LONG { format!("\"t{}\"", task + 1) } else { String::new() };
        write!(chain, "{}{{\"name\":\"t{task}\",\"depends\":[{depends}]}}", if task > 0 { "," } else { "" }).unwrap();
    }
    chain.push(']');
    let chain = workflow(&chain);
    assert_eq!((chain.len(), chain.edge_count()), (LONG, LONG - 1));
    let closed = chain.to_canonical_json().replace(
        &format!("{{\"name\":\"t{}\"}}", LONG - 1),
        &format!("{{\"name\":\"t{}\",\"depends\":[\"t0\"]}}", LONG - 1),
    );
    refused(closed, "t0 -> t1 -> t2 -> t3 -> t4 -> t5 -> t6 -> t7 -> t8 -> t9 -> t10 -> t11 -> (99988 more) -> t0");

    const WIDE: usize = 10_000;
    let mut fan: String = (0..WIDE).map(|task| format!("- {{name: m{task}, depends: [first]}}\n")).collect();
    fan += "- name: first\n- name: last\n  depends:\n";
    fan.extend((0..WIDE).map(|task| format!("    - m{task}\n")));
    assert_eq!(workflow(&fan).edge_count(), 2 * WIDE);

    const LAYER: usize = 300;
    let names: Vec<String> = (0..LAYER).map(|task| format!("\"a{task}\"")).collect();
    let mut mesh: Vec<String> = names.iter().map(|name| format!("{{\"name\":{name}}}")).collect();
    mesh.extend((0..LAYER).map(|task| format!("{{\"name\":\"b{task}\",\"depends\":[{}]}}", names.join(","))));
    assert_eq!(workflow(&format!("[{}]", mesh.join(","))).edge_count(), LAYER * LAYER);
}

#[test]
fn f79_names_are_free_text() {
    let long = "x".repeat(256);
    let names =
        ["../x", "-rf", "a b", "$(id)", "`id`", "a/b\\c", "'\"", "étape 1", "🚀", "libstdc++6", "~", "*", &long];
    let tasks: Vec<String> =
        names.iter().map(|name| format!("{{\"name\":{}}}", serde_json::to_string(name).unwrap())).collect();
    let workflow = workflow(&format!("[{}]", tasks.join(",")));
    for (at, name) in names.iter().enumerate() {
        assert_eq!(workflow.find(name), Some(TaskIx(at as u32)));
        let slug = workflow.task(TaskIx(at as u32)).name.slug();
        assert!(
            slug.len() <= 40 && slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "{slug}"
        );
    }
}

#[test]
fn f79_names_that_cannot_be_shown_are_refused() {
    let long = format!("- name: {}\n", "x".repeat(257));
    for (text, part) in [
        ("- name: \"a\\0b\"\n", "control character"),
        ("- name: \"a\\nb\"\n", "control character"),
        ("- name: \" a\"\n", "blank at an end"),
        ("- name: ''\n", "is empty"),
        (&*long, "longer than 256"),
    ] {
        refused(text, part);
    }
    // What is shown of a name never controls a terminal.
    let shown = problems("- name: \"a\\e[31m\\u202e\"\n  depends: [\"\\e]0;x\\a\"]\n  \"k\\u0007\": 1\n");
    for text in [shown.render(false), shown.to_string()] {
        assert!(!text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
    }
}

#[test]
fn confusable_names_are_different_tasks() {
    let loaded = load("- name: caf\u{e9}\n- name: cafe\u{301}\n".as_bytes(), &LoadOptions::new("w")).unwrap();
    let Definition::Workflow(workflow) = loaded.value else { panic!("a list is a workflow") };
    assert_eq!(workflow.len(), 2);
    assert_eq!(loaded.warnings.list().len(), 1);
}
