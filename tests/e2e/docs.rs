//! What the documentation says is true: its workflows are accepted, its generated files are current.

use std::{fs, path::PathBuf};

use crate::harness::{Host, repository, until};

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

/// The unit is what systemd takes, and a backup that is made while tasks run is a queue that goes on.
#[test]
fn the_operations_page_works_as_it_stands() {
    let page = fs::read_to_string(repository("docs/operations.md")).expect("the page");
    let blocks: Vec<Block> = blocks().into_iter().filter(|block| block.place.contains("operations.md")).collect();
    let unit = &blocks.iter().find(|block| block.language == "ini").expect("the unit").text;
    for line in ["Type=notify", "KillMode=process", "Delegate=yes"] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let host = Host::new();
    let tool =
        |program: &str| host.command("sh", ["-c", &format!("command -v {program}")]).output().expect("sh").status;
    if tool("systemd-analyze").success() {
        let unit = unit.replace("/usr/local/bin/qmanager", "/bin/true");
        let file = host.write("qmanager.service", unit);
        let verified =
            host.command("systemd-analyze", ["verify", file.to_str().expect("text")]).output().expect("it runs");
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    } else {
        crate::harness::skipped("no systemd-analyze: the unit is not verified");
    }
    assert!(page.contains("VACUUM INTO"));
    if !tool("sqlite3").success() {
        return crate::harness::skipped("no sqlite3: the backup of the page is not tried");
    }
    let go = host.dir().join("go");
    let wait = format!("- name: a\n  params: {{command: 'while [ ! -e {} ]; do sleep 0.02; done'}}\n", go.display());
    let file = host.write("w.yaml", wait);
    let mut daemon = host.start(&["--workers", "1"]);
    let job = host.submit(&[file.to_str().expect("text")]);
    until("it runs", || host.job(&job)["status"] == "running");
    // The page's own lines, with this host's folders.
    host.write("backup/.keep", "");
    let script = |with: &str| {
        let block = blocks.iter().find(|block| block.language == "text" && block.text.contains(with)).expect("a block");
        let text = block.text.replace("/var/lib/qmanager", host.state_dir().to_str().expect("text"));
        let text = text.replace("/backup", host.dir().join("backup").to_str().expect("text"));
        let text = text.replace("qmanager st", &format!("'{}' st", crate::harness::QMANAGER));
        let done = host.command("sh", ["-euc", &text]).output().expect("sh");
        assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert_eq!(script("VACUUM INTO").trim(), "ok");
    script("cp /backup/queue.db");
    daemon.wait().success();
    host.write("go", "");
    host.qmanager(["wait", &job, "--timeout", "60s"]).success();
    host.qmanager(["stop"]).success();
    host.assert_nothing_left();
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
