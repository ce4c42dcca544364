//! The command line as a person and a script see it: exit codes, selectors, JSON, strange names, files, follow, retry.

use std::{collections::BTreeSet, fs};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Host, QMANAGER, until};

const GOOD: &str = "- name: a\n  params: {command: echo out; echo err >&2}\n";
const BAD: &str = "- name: a\n  params: {command: echo why >&2; exit 3}\n- name: b\n  depends: [a]\n";
const SLOW: &str = "- name: a\n  params: {command: echo begun; sleep 60}\n";

/// A host whose daemon notices everything soon.
fn host() -> Host {
    Host::new().with_env("QMANAGER__TASKS__GRACE", "200ms").with_env("QMANAGER__TIMES__POLL", "100ms")
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let host = host();
    host.write("bad.yaml", BAD);
    host.write("cycle.yaml", "- {name: a, depends: [b]}\n- {name: b, depends: [a]}\n");
    host.write("q.toml", "[db]\nurll = \"x\"\n");
    host.write("broken.db", "this is not a database, and long enough to be taken for one: ".repeat(100));
    for (line, code, said) in [
        (&["frobnicate"][..], 2, "unrecognized"),
        (&["list", "--config", "q.toml"], 2, "q.toml:2:1"),
        (&["list", "--config", "none.toml"], 2, "none.toml"),
        (&["submit", "bad.yaml", "--qname", "run-abcdefgh"], 2, "reserved"),
        (&["submit", "bad.yaml", "--env", "QM_X=1"], 2, "reserved"),
        (&["submit", "bad.yaml", "--at", "soon"], 2, "write"),
        (&["start", "--workers", "1000"], 2, "--force"),
        (&["check", "cycle.yaml"], 3, "a -> b -> a"),
        (&["submit", "none.yaml"], 4, "none.yaml"),
        (&["status", "@last"], 4, "no job"),
        (&["logs", "@first"], 2, "@last"),
        (&["list", "--db", "sqlite:broken.db"], 5, "database"),
        (&["check", "bad.yaml", "--executor", "docker"], 9, "`image`"),
        (&["run", "bad.yaml", "--executor", "kube"], 9, "shell"),
        (&["submit", "bad.yaml", "--file", "none.csv"], 4, "none.csv"),
        (&["stop"], 0, "no daemon"),
        (&["list"], 0, "no jobs yet"),
    ] {
        let done = host.qmanager(line);
        assert_eq!(done.code(), code, "{line:?}\n{done:?}");
        assert!(done.stderr.contains(said), "{line:?} should say {said:?}\n{done:?}");
        assert!(!done.stderr.contains("panicked"), "{done:?}");
    }
}

#[test]
fn a_job_goes_through_its_life_by_the_verbs() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.write("bad.yaml", BAD);
    host.write("slow.yaml", SLOW);
    let early = host.qmanager(["submit", "good.yaml", "--name", "early", "--label", "team=x"]).success();
    assert!(early.stderr.contains("no worker serves queue default"), "{early:?}");
    assert!(host.qmanager(["explain", "@last"]).success().stdout.contains("no daemon runs here"));
    host.qmanager(["wait", "@last", "--timeout", "50ms"]).expect(7);

    let mut daemon = host.start(&["--workers", "2"]);
    host.qmanager(["start"]).expect(8);
    host.qmanager(["wait", "@last:early"]).expect(0);
    let bad = host.submit(&["bad.yaml", "-q"]);
    host.qmanager(["wait", &bad]).expect(1);
    host.qmanager(["retry", &bad, "--with", "bad.yaml", "--dry-run"]).expect(0);
    assert!(host.qmanager(["explain", &bad[28..]]).success().stdout.contains("task \"a\" failed"));

    let slow = host.submit(&["slow.yaml", "-q", "--label", "team=x"]);
    until("the slow job runs", || host.qmanager(["status", &slow, "--json"]).json()[0]["status"] == "running");
    host.qmanager(["retry", &slow]).expect(8);
    let filtered = host.qmanager(["cancel", "--label", "team=x"]).expect(2);
    assert!(filtered.stderr.contains("--yes"), "{filtered:?}");
    let hit = host.qmanager(["cancel", "@last"]).success();
    assert!(hit.stdout.contains(&slow), "it says what it hit\n{hit:?}");
    host.qmanager(["wait", &slow]).expect(6);
    host.qmanager(["cancel", &slow]).expect(0);
    host.qmanager(["cancel", &bad]).expect(8);

    let listed: BTreeSet<String> = host
        .qmanager(["list", "--json", "--label", "team=x"])
        .json()
        .iter()
        .map(|job| job["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(listed, BTreeSet::from([early.stdout.trim().to_owned(), slow]));
    host.qmanager(["stop"]).expect(0);
    daemon.wait().expect(0);
    host.assert_nothing_left();
}

#[test]
fn strange_names_behave_in_every_verb() {
    let names = ["a b", "lib/x.o", "it's \"quoted\"", "-rf", "👩‍🔬 émoji", "../../up", "$(id)", "#1"];
    let host = host();
    let tasks: Vec<Value> = names
        .iter()
        .map(
            |name| serde_json::json!({ "name": name, "params": { "command": ["sh", "-c", "echo \"I am $QM_TASK\""] } }),
        )
        .collect();
    host.write("strange.json", serde_json::to_string(&tasks).unwrap());
    host.qmanager(["run", "strange.json"]).expect(0);
    let status = host.qmanager(["status", "@last", "--json", "--tasks"]).success().json();
    let shown: Vec<&str> =
        status[0]["task_list"].as_array().unwrap().iter().filter_map(|task| task["name"].as_str()).collect();
    assert_eq!(shown, names);
    let graph = host.qmanager(["graph", "strange.json"]).success();
    for (index, name) in names.iter().enumerate() {
        let logs = host.qmanager(["logs", "@last", "--", name]).success();
        assert!(logs.stdout.starts_with("I am "), "{name}\n{logs:?}");
        let explained = host.qmanager(["explain", "@last", "--", name]).success();
        assert!(explained.stdout.contains("succeeded"), "{name}\n{explained:?}");
        host.qmanager(["retry", "@last", "--dry-run", &format!("--only={name}")]).expect(0);
        let selector = format!("#{index}");
        if *name != "#1" && index != 1 {
            assert_eq!(host.qmanager(["logs", "@last", &selector]).success().stdout, logs.stdout, "{name}");
        }
        assert!(graph.stdout.contains(name), "{name}\n{graph:?}");
    }
    host.qmanager(["logs", "@last", "no such"]).expect(4);
    let job = status[0]["id"].as_str().unwrap();
    let logs = host.state_dir().join("jobs").join(job).join("logs");
    for entry in fs::read_dir(logs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b)), "{name}");
    }
}

#[test]
fn every_json_answer_is_one_object_a_line_with_a_version() {
    let host = host();
    host.write("bad.yaml", BAD);
    host.write("cycle.yaml", "- {name: a, depends: [a]}\n");
    host.qmanager(["run", "bad.yaml"]).expect(1);
    for line in [
        &["list"][..],
        &["status"],
        &["status", "@last"],
        &["status", "@last", "--tasks"],
        &["status", "@last", "-f"],
        &["logs", "@last"],
        &["explain", "@last"],
        &["explain", "@last", "b"],
        &["graph", "bad.yaml"],
        &["graph", "@last", "--dot"],
        &["wait", "@last"],
        &["files", "ls", "@last"],
        &["files", "diff", "@last", "."],
        &["queue", "ls", "--qname", "default"],
        &["queue", "pause"],
        &["queue", "limit", "2"],
        &["cancel", "@last"],
        &["retry", "@last", "--dry-run"],
        &["prune", "--older-than", "100d"],
        &["check", "bad.yaml"],
        &["doctor"],
        &["config"],
        &["stop"],
        &["submit", "bad.yaml"],
        &["run", "bad.yaml"],
    ] {
        let words: Vec<&str> = line.iter().copied().chain(["--json"]).collect();
        let done = host.qmanager(&words);
        for text in done.stdout.lines() {
            let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{line:?}: {e}\n{done:?}"));
            assert_eq!(value["v"], 1, "{line:?}\n{text}");
        }
        assert!(
            !done.stdout.is_empty() || line[0] == "prune" || line[1] == "ls" || line[1] == "diff",
            "{line:?}\n{done:?}"
        );
    }
    let error = host.qmanager(["check", "cycle.yaml", "--json"]).expect(3);
    let value: Value = serde_json::from_str(error.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(value["error"]["code"], 3);
    assert_eq!(value["error"]["data"]["problems"][0]["severity"], "error");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let host = host();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let mut command = host.command(QMANAGER, ["schema"]);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn logs_follow_across_retries_until_the_end() {
    let host = host();
    let flaky = "if [ -e tried ]; then echo second; else touch tried; echo first; exit 1; fi";
    host.write(
        "flaky.yaml",
        format!("- name: flaky\n  retry: {{max: 2, backoff: 10ms}}\n  params: {{command: {flaky:?}}}\n- name: last\n  depends: [flaky]\n  params: {{command: printf end}}\n"),
    );
    let mut daemon = host.start(&["--workers", "1"]);
    let followed = host.qmanager(["submit", "flaky.yaml", "--follow"]).expect(0);
    assert_eq!(followed.stdout.lines().skip(1).collect::<Vec<_>>(), ["flaky| first", "flaky| second", "last| end"]);
    assert_eq!(host.qmanager(["logs", "@last", "flaky"]).stdout, "second\n", "the newest attempt");
    assert_eq!(host.qmanager(["logs", "@last", "flaky", "--attempt", "all"]).stdout, "first\nsecond\n");
    assert_eq!(host.qmanager(["logs", "@last", "flaky", "--attempt", "1"]).stdout, "first\n");
    assert_eq!(host.qmanager(["logs", "@last", "last"]).stdout, "end", "byte for byte");
    assert_eq!(host.qmanager(["logs", "@last", "--match", "l*"]).stdout, "last| end\n");
    let why = host.qmanager(["explain", "@last", "flaky"]).success();
    assert!(why.stdout.contains("started 2 times"), "{why:?}");
    daemon.end(Signal::TERM).expect(0);
    host.assert_nothing_left();
}

#[test]
fn a_large_fan_out_shows_the_ends_of_its_failures() {
    let host = host();
    let task = |i: usize| {
        let fails = if i == 7 { "seq 100; exit 1" } else { "echo fine" };
        format!("- name: part-{i:03}\n  params: {{command: {fails:?}}}\n")
    };
    host.write("fan.yaml", (0..80).map(task).collect::<String>());
    host.qmanager(["run", "fan.yaml"]).expect(1);
    let logs = host.qmanager(["logs", "@last"]).success();
    let lines: Vec<&str> = logs.stdout.lines().collect();
    assert_eq!(lines.len(), 20, "{logs:?}");
    assert_eq!((lines[0], lines[19]), ("part-007| 81", "part-007| 100"));
    assert!(logs.stderr.contains("--match"), "{logs:?}");
    assert_eq!(host.qmanager(["logs", "@last", "--match", "*"]).success().stdout.lines().count(), 79 + 100);
}

#[test]
fn a_key_stands_for_one_job() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.write("bad.yaml", BAD);
    let first = host.submit(&["good.yaml", "--key", "order 42", "--file", "good.yaml"]);
    let again = host.qmanager(["submit", "good.yaml", "--key", "order 42", "--file", "bad.yaml"]).success();
    assert_eq!(again.stdout.trim(), first);
    assert!(again.stderr.contains("not submitted again"), "{again:?}");
    host.qmanager(["submit", "bad.yaml", "--key", "order 42"]).expect(8);
    assert_eq!(host.qmanager(["status", "@key:order 42", "--json"]).json()[0]["id"], first.as_str());
    let folders: Vec<_> = fs::read_dir(host.state_dir().join("jobs")).unwrap().filter_map(|e| e.ok()).collect();
    let folders: Vec<_> = folders.iter().filter(|entry| entry.path().is_dir()).collect();
    assert_eq!(folders.len(), 1, "the files of a submit that made no job are gone: {folders:?}");
}

#[test]
fn a_detached_daemon_is_ready_when_start_returns() {
    let host = host();
    host.write("good.yaml", GOOD);
    let started = host.qmanager(["start", "-d", "--workers", "1", "--json"]).success().json();
    let pid = started[0]["pid"].as_i64().unwrap();
    let status = host.qmanager(["status", "--json"]).success().json();
    assert_eq!(status[0]["daemon"]["pid"].as_i64(), Some(pid));
    host.qmanager(["start", "-d"]).expect(8);
    host.qmanager(["submit", "good.yaml", "--wait"]).expect(0);
    host.qmanager(["stop", "--drain"]).expect(0);
    host.assert_nothing_left();
}

#[test]
fn definitions_come_from_standard_input_too() {
    let host = host();
    let done = host.qmanager_with_stdin(&["run", "-"], GOOD.as_bytes()).expect(0);
    assert!(done.stderr.contains("/jobs/"), "a folder of its own\n{done:?}");
    host.qmanager_with_stdin(&["check", "-"], b"- {name: a, depnds: [b]}\n").expect(3);
    host.qmanager_with_stdin(&["submit", "-", "-q"], b"").expect(3);
    assert_eq!(host.qmanager(["logs", "@last", "--no-prefix"]).stdout, "out\nerr\n");
}

#[test]
fn labels_names_keys_and_queues_have_no_control_characters() {
    let host = host();
    host.write("good.yaml", GOOD);
    for (flag, text) in [
        ("--label", "a\nb=c"),
        ("--label", "a=b\x1b[31m"),
        ("--label", "a\t=b"),
        ("--name", "a\nb"),
        ("--name", " a"),
        ("--name", ""),
        ("--key", "a\x07"),
        ("--qname", "a\nb"),
    ] {
        let done = host.qmanager(["submit", "good.yaml", flag, text]).expect(2);
        assert!(!done.stderr.trim_end().contains(|c: char| c.is_control() && c != '\n'), "{done:?}");
        assert!(done.stderr.contains("hint: "), "{done:?}");
    }
    for (key, value) in
        [("name", "\"a\\nb\""), ("key", "\"\\e\""), ("labels", "{\"a\\nb\": c}"), ("labels", "{a: \"\\t\"}")]
    {
        host.write("job.yaml", format!("workflow: good.yaml\n{key}: {value}\n"));
        let done = host.qmanager(["submit", "job.yaml"]).expect(3);
        assert!(done.stderr.contains("control character"), "{done:?}");
    }
    assert_eq!(host.qmanager(["list", "--json"]).stdout, "");
    host.qmanager(["submit", "good.yaml", "--label", "empty=", "--label", "é=👩‍🔬 x"]).success();
    assert_eq!(host.qmanager(["list", "--json", "--label", "é=👩‍🔬 x"]).json().len(), 1);
    host.qmanager(["list", "--label", "a\nb=c"]).expect(2);
    host.qmanager(["cancel", "--name", "a\nb", "--yes"]).expect(2);
}

#[test]
fn what_is_set_for_a_queue_that_is_not_there_is_told() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.qmanager(["submit", "good.yaml", "--qname", "reports"]).success();
    let paused = host.qmanager(["queue", "pause", "report"]).success();
    assert!(
        paused.stderr.contains("no queue report yet") && paused.stderr.contains("did you mean reports?"),
        "{paused:?}"
    );
    let limited = host.qmanager(["queue", "limit", "2", "fresh"]).success();
    assert!(limited.stderr.contains("no queue fresh yet"), "{limited:?}");
    for known in ["reports", "fresh", "default"] {
        let paused = host.qmanager(["queue", "pause", known]).success();
        assert!(!paused.stderr.contains("yet"), "{paused:?}");
    }
    let resumed = host.qmanager(["queue", "resume", "reprots"]).expect(4);
    assert!(resumed.stderr.contains("did you mean reports?"), "{resumed:?}");
    assert!(host.qmanager(["queue", "ls"]).stdout.contains("fresh"), "it is kept for its first job");
    assert!(!host.qmanager(["queue", "ls"]).stdout.contains("reprots"));
}

#[test]
fn a_state_dir_that_cannot_be_used_is_one_code_and_the_remedy() {
    let host = host();
    host.write("good.yaml", GOOD);
    for folder in ["/proc/nowhere", "/dev/null/x", "good.yaml"] {
        for verb in [&["run", "good.yaml"][..], &["submit", "good.yaml"], &["start"], &["start", "-d"]] {
            let line = [&["--state-dir", folder], verb].concat();
            let done = host.qmanager(&line).expect(5);
            assert!(done.stderr.contains(folder) && done.stderr.contains("--state-dir"), "{line:?}\n{done:?}");
            assert!(done.stderr.starts_with("error: "), "nothing is said of a job before\n{done:?}");
        }
    }
}

#[test]
fn f88_a_second_cancel_is_as_good_as_the_first_but_what_ended_otherwise_stays() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.write("bad.yaml", BAD);
    let waiting = host.submit(&["good.yaml"]);
    for _ in 0..2 {
        host.qmanager(["cancel", &waiting]).expect(0);
    }
    for (file, code, status) in [("good.yaml", 0, "succeeded"), ("bad.yaml", 1, "failed")] {
        host.qmanager(["run", file]).expect(code);
        let refused = host.qmanager(["cancel", "@last"]).expect(8);
        assert!(refused.stdout.contains(&format!("had ended already: {status}")), "{refused:?}");
        let both = host.qmanager(["cancel", &waiting, "@last", "--json"]).expect(8).json();
        assert_eq!((&both[0]["status"], &both[1]["status"]), (&"cancelled".into(), &status.into()));
        // A filter finds what can be cancelled.
        host.qmanager(["cancel", "--state", status, "--yes"]).expect(0);
    }
}
