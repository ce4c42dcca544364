//! Running the tests and counting them: with cargo-nextest where it is installed, else with `cargo test`.
//!
//! A test that cannot do its work on this machine prints a line `skipped: reason`; both ways count these.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{suite::Outcome, workspace::Workspace};

const MARK: &str = "skipped: ";

/// Unit, property, conformance and end-to-end tests, and the examples.
pub(crate) fn tests(workspace: &Workspace) -> Result<Outcome> {
    if workspace.cargo().args(["nextest", "--version"]).answers() {
        nextest(workspace)
    } else {
        println!("(cargo-nextest is not installed: `cargo test` does the same, one test binary after the other)");
        cargo_test(workspace, &["--all-targets"])
    }
}

/// The examples in the documentation of the crates.
pub(crate) fn doc_tests(workspace: &Workspace) -> Result<Outcome> {
    cargo_test(workspace, &["--doc"])
}

fn nextest(workspace: &Workspace) -> Result<Outcome> {
    // Where nextest writes it, whatever the target folder.
    let report = workspace.root.join("target/nextest/default/junit.xml");
    if report.exists() {
        fs::remove_file(&report).with_context(|| format!("cannot remove {}", report.display()))?;
    }
    let args = ["nextest", "run", "--workspace", "--all-features", "--no-fail-fast", "--status-level", "slow"];
    let ok = workspace.cargo().args(args).ok()?;
    let Ok(xml) = fs::read_to_string(&report) else {
        return Ok(Outcome::of(vec!["the tests do not build, or nextest wrote no report".into()]));
    };
    let mut outcome = junit(&xml);
    if !ok && outcome.failed.is_empty() {
        outcome.failed.push("nextest ended with an error".into());
    }
    Ok(outcome)
}

/// Counts the cases of a report; names those that failed.
fn junit(xml: &str) -> Outcome {
    let mut outcome = Outcome { passed: 0, failed: Vec::new(), skipped: Vec::new() };
    for case in xml.split("<testcase ").skip(1) {
        let case = case.split("</testcase>").next().unwrap_or(case);
        let name = case.split_once("name=\"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?");
        let head = case.split("<system-out>").next().unwrap_or(case);
        let skip = case.lines().find_map(|line| skip_reason(line.trim_start_matches("<system-out>")));
        if head.contains("<failure") || head.contains("<error") {
            outcome.failed.push(format!("test {}", unescape(name)));
        } else if let Some(reason) = skip {
            outcome.skipped.push(format!("{}: {}", unescape(name), unescape(reason)));
        } else {
            outcome.passed += 1;
        }
    }
    outcome
}

fn skip_reason(line: &str) -> Option<&str> {
    let at = line.find(MARK)?;
    // Inside a case, the first line follows the tag directly.
    (at == 0 || line[..at].ends_with('>')).then(|| line[at + MARK.len()..].split("</").next().unwrap_or_default())
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'").replace("&amp;", "&")
}

fn cargo_test(workspace: &Workspace, what: &[&str]) -> Result<Outcome> {
    let args = ["test", "--workspace", "--all-features", "--no-fail-fast", "--quiet"];
    let mut outcome = Outcome { passed: 0, failed: Vec::new(), skipped: Vec::new() };
    let cmd = workspace.cargo().args(args).args(what).args(["--", "--show-output", "--format=pretty"]);
    let mut failures = false; // what the failed tests wrote, after what the others wrote
    let ok = cmd.lines(|line| {
        if let Some(reason) = skip_reason(line) {
            outcome.skipped.push(reason.to_owned());
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            outcome.failed.push(format!("test {name}"));
            println!("{line}");
        } else if line.starts_with("test result:") {
            failures = false;
            outcome.passed += counted(line, "passed");
            println!("{line}");
        } else {
            failures |= line == "failures:";
            if failures {
                println!("{line}");
            }
        }
    })?;
    outcome.passed = outcome.passed.saturating_sub(outcome.skipped.len());
    if !ok && outcome.failed.is_empty() {
        outcome.failed.push("`cargo test` ended with an error".into());
    }
    Ok(outcome)
}

/// The number before a word in `test result: ok. 5 passed; 0 failed; …`.
fn counted(line: &str, word: &str) -> usize {
    let before = line.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
    before.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_junit_report_is_counted() {
        let xml = r#"<testsuites><testsuite name="a"><testcase name="one" time="1"></testcase>
            <testcase name="two"><failure type="x">skipped: no</failure><system-out>skipped: no
</system-out></testcase><testcase name="three"><system-out>running 1 test
skipped: no docker &amp; co
test ok</system-out></testcase><testcase name="four" time="0"/></testsuite></testsuites>"#;
        let outcome = junit(xml);
        assert_eq!(outcome.passed, 2);
        assert_eq!(outcome.failed, ["test two"]);
        assert_eq!(outcome.skipped, ["three: no docker & co"]);
    }

    #[test]
    fn the_result_line_of_cargo_test_is_counted() {
        let line = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s";
        assert_eq!(counted(line, "passed"), 12);
        assert_eq!(counted(line, "filtered out"), 3);
        assert_eq!(counted("nothing", "passed"), 0);
    }
}
