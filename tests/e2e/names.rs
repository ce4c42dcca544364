//! Names of tasks are free text: in every verb, in every drawing, in `--json` and on disk.

use std::fs;

use serde_json::json;

use crate::harness::Host;

fn names() -> Vec<String> {
    let plain = [
        "two words",
        "lib/x.o",
        "/abs",
        "../x",
        ".",
        "..",
        "-rf",
        "--help",
        "it's",
        "say \"hi\"",
        "a'b\"c",
        "$(id)",
        "`id`",
        "${HOME}",
        "a;b|c&d",
        "*",
        "?[a-z]",
        "#1",
        "1",
        "ünïcödé",
        "étape 1",
        "日本語",
        "🦀🚀",
        "a\\b",
        "%s%n",
        "{{x}}",
        "<b>&amp;",
        "null",
        "true",
        "~",
        "x: y",
        "@last",
        "|",
        "e\u{301}",
        "NUL",
    ];
    let mut names: Vec<String> = plain.iter().map(|name| (*name).to_owned()).collect();
    names.push("x".repeat(256));
    names.push("é".repeat(256));
    names
}

#[test]
fn any_printable_name_works_in_every_verb() {
    let host = Host::new();
    let names = names();
    let mut tasks = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let depends: Vec<&String> = names[..n].last().into_iter().filter(|_| n % 3 > 0).collect();
        tasks.push(json!({"name": name, "depends": depends, "params": {"command": "printf '%s\\n' \"$QM_TASK\"; touch made-$$"}}));
    }
    let file = host.write("w/names.json", json!(tasks).to_string());
    let path = file.to_str().expect("text");
    host.qmanager(["check", path]).success();
    let run = host.qmanager(["run", path]).success();
    assert!(!run.stderr.contains("warning: "), "{run:?}");
    let job = host.job("@last");
    let shown: Vec<&str> =
        job["task_list"].as_array().expect("tasks").iter().filter_map(|t| t["name"].as_str()).collect();
    assert_eq!(shown, names, "names in --json are what the file says");
    assert!(job["task_list"].as_array().expect("tasks").iter().all(|task| task["status"] == "succeeded"), "{job}");
    for (n, name) in names.iter().enumerate() {
        let by_name = host.qmanager(["logs", "--no-prefix", "--out", "@last", "--", name]).success();
        assert_eq!(by_name.stdout, format!("{name}\n"));
        let index = format!("#{n}");
        if !names.contains(&index) {
            assert_eq!(
                host.qmanager(["logs", "--no-prefix", "--out", "@last", &index]).success().stdout,
                by_name.stdout
            );
        }
        let explained = host.qmanager(["explain", "--json", "@last", "--", name]).success();
        assert!(!explained.json().is_empty());
    }
    host.qmanager(["status", "@last", "--tasks"]).success();
    host.qmanager(["logs", "@last"]).success();
    for form in [&[][..], &["--mermaid"], &["--dot"], &["--svg"], &["--critical-path"], &["--json"]] {
        for what in [path, "@last"] {
            let args: Vec<&str> = ["graph"].into_iter().chain(form.iter().copied()).chain([what]).collect();
            let drawn = host.qmanager(args).success();
            assert!(!drawn.stdout.is_empty());
        }
    }
    on_disk(&host, job["id"].as_str().expect("an id"));
}

/// Names of files are made of an index and a slug, whatever the task is called.
fn on_disk(host: &Host, job: &str) {
    let mut seen = 0;
    for entry in fs::read_dir(host.state_dir().join("jobs").join(job).join("logs")).expect("logs") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        assert!(plain && name.starts_with(|c: char| c.is_ascii_digit()) && name.len() < 100, "{name}");
        seen += 1;
    }
    assert!(seen >= names().len(), "{seen} logs");
}

#[test]
fn any_printable_name_can_be_run_alone_and_again() {
    let host = Host::new();
    let chosen = ["-rf", "two words", "$(id)", "../x", "🦀🚀", "say \"hi\"", "#1"];
    let task = |name: &&str| json!({"name": name, "params": {"command": "printf '%s\\n' \"$QM_TASK\"; [ -e ok ]"}});
    let file = host.write("w/names.json", json!(chosen.iter().map(task).collect::<Vec<_>>()).to_string());
    let path = file.to_str().expect("text");
    for name in chosen {
        let alone = host.task_executor(["run", path, "--task", name]).expect(1);
        assert_eq!(alone.stdout, format!("{name}\n"), "{alone:?}");
        host.qmanager(["run", path, "--only", name]).expect(1);
        let failed = host.qmanager(["status", "@last", "--json", "--tasks"]).success().json().remove(0);
        assert_eq!((&failed["counts"]["failed"], &failed["counts"]["skipped"]), (&json!(1), &json!(6)), "{failed}");
    }
    let job = host.submit(&[path]);
    let mut daemon = host.start(&["--workers", "1"]);
    host.qmanager(["wait", &job]).expect(1);
    host.write("ok", "");
    host.qmanager(["files", "put", &job, "ok"]).success();
    for name in chosen {
        let copy = host.task_executor(["run", "--job", &job, "--task", name]).success();
        assert!(copy.stdout.starts_with(name), "{copy:?}");
        let dry = host.qmanager(["retry", &job, "--only", name, "--dry-run"]).success();
        assert!(format!("{dry:?}").contains("1 task"), "{dry:?}");
        host.qmanager(["retry", &job, "--only", name]).success();
        host.qmanager(["wait", &job, "--timeout", "60s"]);
    }
    assert_eq!(host.job(&job)["counts"]["succeeded"], 7);
    host.qmanager(["stop"]).success();
    daemon.wait().success();
    host.assert_nothing_left();
}

#[test]
fn a_name_with_a_control_character_or_blanks_at_its_ends_is_refused() {
    let host = Host::new();
    for name in ["a\nb", "a\tb", " a", "a ", "", "\u{1b}[31mred", "a\u{7f}", &"x".repeat(257)] {
        let file = host.write("w.json", json!([{"name": name}]).to_string());
        for verb in ["check", "run", "submit"] {
            let refused = host.qmanager([verb, file.to_str().expect("text")]).expect(3);
            assert!(!refused.stderr.contains('\u{1b}') && refused.stderr.contains("w.json:1:"), "{refused:?}");
        }
    }
}
