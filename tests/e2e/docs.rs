//! What the documentation says is true: its workflows are accepted, its generated files are current.

use std::{fs, path::PathBuf};

use crate::harness::{Host, repository};

/// A page's block of code.
struct Block {
    place: String,
    /// What the fence says, e.g. `yaml`.
    language: String,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let entries = fs::read_dir(repository("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain([repository("README.md")]).collect()
}

fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let mut open: Option<Block> = None;
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    let place = format!("{}:{}", page.display(), index + 1);
                    open = Some(Block { place, language: language.into(), text: String::new() });
                }
                (Some(_), Some(block)) => blocks.push(block),
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
    }
    blocks
}

/// The tutorial shows one file that is wrong on purpose.
fn is_wrong_on_purpose(text: &str) -> bool {
    text.contains("comand:")
}

#[test]
fn the_workflows_of_the_documentation_are_accepted() {
    let host = Host::new();
    host.write("workflow.yaml", "- name: a\n  params: {command: 'true'}\n");
    host.write("data/x", "");
    let workflows: Vec<Block> = blocks().into_iter().filter(|block| block.language == "yaml").collect();
    assert!(workflows.len() >= 6, "only {} workflows found", workflows.len());
    for block in workflows {
        host.write("block.yaml", &block.text);
        let code = if is_wrong_on_purpose(&block.text) { 3 } else { 0 };
        let done = host.qmanager(["check", "block.yaml"]);
        assert_eq!(done.code(), code, "{}\n{done:?}", block.place);
    }
}

#[test]
fn the_tutorials_mistakes_are_all_told_at_once() {
    let host = Host::new();
    let wrong = blocks().into_iter().find(|block| is_wrong_on_purpose(&block.text)).expect("the tutorial's mistakes");
    host.write("hello.yaml", &wrong.text);
    let done = host.qmanager(["check", "hello.yaml"]).expect(3);
    for expected in ["hello.yaml:2:", "comand", "greeet", "timeout"] {
        assert!(done.stderr.contains(expected), "{expected}\n{done:?}");
    }
}

#[test]
fn the_configuration_of_the_documentation_is_accepted() {
    let host = Host::new();
    let block = blocks().into_iter().find(|block| block.language == "toml").expect("a configuration");
    let home = host.home();
    let text = block.text.replace("/var/lib/qmanager", home.to_str().expect("UTF-8"));
    host.write("qmanager.toml", text);
    host.qmanager(["config", "--origin", "--config", "qmanager.toml"]).success();
}

#[test]
fn the_published_schemas_are_those_of_the_program() {
    let host = Host::new();
    for (file, args) in [("workflow.json", &["schema"][..]), ("job.json", &["schema", "--job"])] {
        let published = fs::read_to_string(repository("docs/schema").join(file)).unwrap_or_default();
        let printed = host.qmanager(args).success().stdout;
        assert!(published == printed, "docs/schema/{file} is old: `cargo xtask gen`");
    }
}
