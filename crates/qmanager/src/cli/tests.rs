//! What parses, and what the reference says.

use clap::Parser;

use super::{Cli, Verb, reference};

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("qmanager").chain(line.iter().copied()))
}

#[test]
fn the_structs_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_reference_is_that_of_the_docs() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli-reference.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == reference(), "docs/cli-reference.md is old: run this test with UPDATE_DOCS=1");
}

#[test]
fn every_line_of_the_page_parses() {
    for line in include_str!("lines.txt").lines().filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split(' ').collect();
        if let Err(error) = parse(&words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    for line in [
        "run",
        "run a.yaml --resume",
        "run a.yaml --fresh --jobfiles d",
        "submit a.yaml --wait --follow",
        "stop --drain --now",
        "cancel",
        "cancel @last --label a=b",
        "retry @last --all --only x",
        "start --workers 0",
        "list --frob",
        "graph x --dot --svg",
        "run a.yaml --executor podman",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let error = parse(&words).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn strange_names_reach_the_verb_whole() {
    let cli = parse(&["logs", "@last", "--", "-rf", "a b", "lib/x.o", "👩‍🔬", "'\""]).unwrap();
    let Verb::Logs(args) = cli.verb else { panic!("not logs") };
    assert_eq!(args.task, ["-rf", "a b", "lib/x.o", "👩‍🔬", "'\""]);
    let cli = parse(&["retry", "@last", "--from", "-rf"]).unwrap();
    let Verb::Retry(args) = cli.verb else { panic!("not retry") };
    assert_eq!(args.from, ["-rf"]);
}

#[test]
fn global_flags_stand_anywhere() {
    for line in [&["--json", "-q", "list"][..], &["list", "--json", "-q"]] {
        let cli = parse(line).unwrap();
        assert!(cli.global.json && cli.global.quiet);
    }
}
