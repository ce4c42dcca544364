//! Every folder of `examples/` is run as its page says, and what it leaves in the job files is looked at.

use std::{collections::BTreeSet, fs, path::Path};

use crate::harness::{Done, Host, copy_folder, repository};

/// All examples; the test of each is below.
const EXAMPLES: &[&str] = &["cleanup", "compile", "logs", "nightly", "retry", "sweep", "wordcount"];

/// Copies an example and runs it there, since its folder is its job files.
fn run(host: &Host, example: &str, file: &str) -> Done {
    copy_folder(&repository("examples").join(example), &host.dir().join(example));
    // What a developer's own run has left there is not ours.
    let _none = fs::remove_dir_all(host.dir().join(example).join("out"));
    let file = format!("{example}/{file}");
    host.qmanager(["check", &file]).success();
    host.qmanager(["run", "--parallel", "2", &file])
}

#[test]
fn every_example_has_a_page_and_a_test() {
    let entries = fs::read_dir(repository("examples")).expect("examples").map(|entry| entry.expect("an entry").path());
    let folders: BTreeSet<String> = entries.map(|path| name(&path)).collect();
    let tested: BTreeSet<String> = EXAMPLES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(folders, tested);
    for example in EXAMPLES {
        assert!(repository("examples").join(example).join("README.md").is_file(), "{example} has no README.md");
    }
}

#[test]
fn wordcount_adds_up_what_the_fan_out_counted() {
    let host = Host::new();
    run(&host, "wordcount", "workflow.yaml").success();
    let top = host.read("wordcount/out/top.txt");
    assert_eq!(top.lines().count(), 10);
    assert!(top.starts_with("the       33 #################################\n"), "{top}");
    let sum = |text: &str| -> u32 {
        text.lines()
            .map(|line| line.split_whitespace().next().expect("a number").parse::<u32>().expect("a number"))
            .sum()
    };
    let parts = ["gettysburg", "sonnet-18", "tyger", "ozymandias"];
    let counted: u32 = parts.iter().map(|part| sum(&host.read(&format!("wordcount/out/{part}.counts")))).sum();
    assert_eq!(sum(&host.read("wordcount/out/total.txt")), counted);
    host.assert_nothing_left();
}

#[test]
fn compile_builds_a_program_that_works() {
    let host = Host::new();
    run(&host, "compile", "workflow.yaml").success();
    assert_eq!(host.read("compile/out/counts.txt"), "4 words, 2 lines\n");
    let program = host.dir().join("compile/out/words");
    let output = host.command(program.to_str().expect("UTF-8"), ["--version"]).output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "words 1.10\n");
}

#[test]
fn logs_reports_and_lets_the_alarm_fail() {
    let host = Host::new();
    let done = run(&host, "logs", "workflow.yaml").success();
    let report = host.read("logs/out/report.txt");
    assert_eq!(report.lines().count(), 7, "{report}");
    let requests: u32 = report
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().nth(1).expect("requests").parse::<u32>().expect("a number"))
        .sum();
    assert_eq!(requests, 20_000);
    assert!(done.stderr.contains("alarm"), "the summary names the task that failed\n{done:?}");
}

#[test]
fn sweep_plots_every_point() {
    let host = Host::new();
    run(&host, "sweep", "workflow.yaml").success();
    let plot = host.read("sweep/out/plot.svg");
    assert!(plot.starts_with("<svg ") && plot.trim_end().ends_with("</svg>"));
    assert_eq!(plot.matches("<circle ").count(), 4 * 60 * 40);
}

#[test]
fn cleanup_fails_reports_and_cleans_up() {
    let host = Host::new();
    let done = run(&host, "cleanup", "workflow.yaml").expect(1);
    assert!(done.stderr.contains("line 6: `six` is no number"), "the summary shows why\n{done:?}");
    let logs = host.qmanager(["logs", "@last", "add"]).success();
    assert!(logs.stdout.contains("line 6: `six` is no number"), "{logs:?}");
    let out = host.dir().join("cleanup/out");
    assert_eq!(host.read("cleanup/out/failure.txt"), "the sum was not published\n");
    assert_eq!(host.read("cleanup/out/header"), "fine\n");
    assert!(!out.join("published").exists() && !out.join("sum").exists());
    assert!(!host.dir().join("cleanup/scratch").exists());
    host.assert_nothing_left();
}

#[test]
fn retry_succeeds_in_the_third_attempt() {
    let host = Host::new();
    run(&host, "retry", "workflow.yaml").success();
    assert_eq!(host.read("retry/out/result"), "the answer is 42\n");
    assert_eq!(host.read("retry/out/attempts.last"), "attempt 1\nattempt 2\nattempt 3\n");
    let explained = host.qmanager(["explain", "@last", "fetch"]).success();
    assert!(explained.stdout.contains('3'), "{explained:?}");
}

#[test]
fn nightly_is_a_job_definition_for_run_and_submit() {
    let host = Host::new();
    run(&host, "nightly", "job.yaml").success();
    assert_eq!(host.read("nightly/value.txt"), "1894.70 EUR\n");
    let daemon = host.start(&["--workers", "1"]);
    let done = host.qmanager(["submit", "--wait", "nightly/job.yaml"]).success();
    host.qmanager(["files", "get", "@last", "value.txt", "reorder.txt", "got"]).success();
    assert_eq!(host.read("got/reorder.txt"), "gears\nbelts\n", "{done:?}");
    let row = &host.qmanager(["status", "@last", "--json"]).success().json()[0];
    assert_eq!(row["name"], "nightly", "{row}");
    drop(daemon);
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}
