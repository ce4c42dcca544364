//! Job files from outside: put in, looked at, taken out.

use std::fs;

use crate::harness::Host;

const GOOD: &str = "- name: a\n  params: {command: cat x}\n";

fn host() -> Host {
    Host::new().with_env("QMANAGER__TASKS__GRACE", "200ms").with_env("QMANAGER__TIMES__POLL", "100ms")
}

#[test]
fn files_go_in_and_out_and_stay_the_users() {
    let host = host();
    host.write("count.yaml", "- name: count\n  params: {command: \"wc -l < data/in.csv > out.txt\"}\n");
    host.write("in.csv", "1\n2\n3\n");
    let _daemon = host.start(&["--workers", "1"]);
    host.qmanager(["submit", "count.yaml", "--file", "in.csv:data/in.csv", "--wait"]).expect(0);
    let names: Vec<String> = host
        .qmanager(["files", "ls", "@last", "--json"])
        .json()
        .iter()
        .filter(|entry| entry["kind"] == "file")
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["data/in.csv", "out.txt"]);
    host.qmanager(["files", "get", "@last", "*.txt", "fetched"]).expect(0);
    assert_eq!(host.read("fetched/out.txt").trim(), "3");
    host.qmanager(["wait", "@last", "--get", "data/*.csv:fetched"]).expect(0);
    let same = host.qmanager(["files", "diff", "@last", "fetched"]).success();
    assert_eq!(same.stdout, "", "{same:?}");
    host.write("fetched/out.txt", "4\n");
    assert_eq!(host.qmanager(["files", "diff", "@last", "fetched"]).success().stdout, "~ out.txt\n");
    host.qmanager(["files", "put", "@last", "fetched/out.txt:new/"]).expect(0);
    host.qmanager(["files", "rm", "@last", "new/*"]).expect(0);
    host.qmanager(["files", "rm", "@last", "new/*"]).expect(4);
    host.qmanager(["files", "put", "@last", "in.csv:../out"]).expect(2);

    host.qmanager(["run", "count.yaml", "--file", "in.csv:data/in.csv"]).expect(0);
    host.qmanager(["prune", "--older-than", "0s"]).expect(0);
    assert_eq!(host.qmanager(["list", "--json"]).success().stdout, "");
    assert_eq!(host.read("out.txt").trim(), "3", "a folder of the user's is never pruned");
    let left = fs::read_dir(host.state_dir().join("jobs")).unwrap();
    let left: Vec<_> = left.filter_map(|entry| entry.ok()).filter(|entry| entry.path().is_dir()).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn two_sources_for_one_place_are_refused_with_both() {
    let host = host();
    host.write("good.yaml", GOOD);
    host.write("one/x", "1");
    host.write("two/x", "2");
    host.write("job.yaml", "workflow: good.yaml\nfiles: [one/x, 'two/x:./x']\n");
    for line in [
        &["submit", "good.yaml", "--file", "one/x", "--file", "two/x"][..],
        &["run", "good.yaml", "--fresh", "--file", "one/x:a/y", "--file", "two/x:a//./y"],
        &["submit", "good.yaml", "--file", "one:d", "--file", "two:d"],
        &["submit", "good.yaml", "--file", "one/x:d/", "--file", "two/x:d/"],
        &["submit", "job.yaml"],
        &["submit", "job.yaml", "--file", "good.yaml:x"],
    ] {
        let done = host.qmanager(line).expect(2);
        let names = |text: &str| done.stderr.contains(text);
        assert!(names("/one") && (names("/two") || names("good.yaml")), "{line:?}\n{done:?}");
    }
    assert_eq!(host.qmanager(["list", "--json"]).stdout, "");
    host.qmanager(["run", "good.yaml", "--fresh", "--file", "one/x", "--file", "two/x:y"]).success();
}
