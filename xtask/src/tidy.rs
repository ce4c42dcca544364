//! House rules that no compiler checks: headers, lengths, words, the code map, links.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{links, workspace::Workspace};

/// Most lines a Rust file may have; tests are not counted.
const LINES: usize = 600;
/// The programs are thin: they hand the library its registries and no more.
const PROGRAM_LINES: usize = 80;

/// What no file may say, and why. Written in halves so that this file does not say it either.
const WORDS: &[(&str, &str)] = &[
    (concat!("TO", "DO"), "finish it or file it"),
    (concat!("FIX", "ME"), "finish it or file it"),
    (concat!("XX", "X:"), "finish it or file it"),
    (concat!("index.", "crates.io"), "no host names of registries"),
    (concat!("static.", "crates.io"), "no host names of registries"),
    (concat!("registry.", "npmjs"), "no host names of registries"),
    (concat!("files.", "pythonhosted"), "no host names of registries"),
    (concat!("deb.", "debian.org"), "no host names of registries"),
    (concat!("/work", "/main"), "no folders of somebody's machine"),
    (concat!("/tmp", "/wt/"), "no folders of somebody's machine"),
    (concat!("/tmp", "/tgt/"), "no folders of somebody's machine"),
];

/// What no Rust file may say.
const RUST_WORDS: &[(&str, &str)] = &[
    (concat!("#[", "ignore"), "a test that cannot run here prints `skipped: reason`"),
    (concat!("should_", "panic"), "assert on the error"),
    (concat!("#[", "allow("), "`expect` with a reason"),
    (concat!("#![", "allow("), "`expect` with a reason"),
    (concat!("mod ", "util"), "name the module after what it does"),
    (concat!("mod ", "common;"), "name the module after what it does"),
    (concat!("mod ", "helpers"), "name the module after what it does"),
];

/// The task executor holds no queue credential: it may not even name these crates.
const EXECUTOR_PROGRAM: &str = "bins/task-executor.rs";
const EXECUTOR_BANS: &[&str] = &["job_queue", "qmanager::", "dag_scheduler"];

/// Looks at every file of the repository; one sentence a problem.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let files = workspace.files()?;
    let mut problems = Vec::new();
    for file in &files {
        if let Ok(text) = workspace.text(file) {
            problems.extend(file_problems(file, &text));
        }
    }
    problems.extend(code_map(workspace)?);
    problems.extend(links::check(workspace, &files)?);
    Ok(problems)
}

fn file_problems(file: &Path, text: &str) -> Vec<String> {
    if file.ends_with("Cargo.lock") || data(file) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut say = |line: usize, what: &str| problems.push(format!("{}:{line}: {what}", file.display()));
    let rust = file.extension().is_some_and(|extension| extension == "rs");
    let words = WORDS.iter().chain(if rust { RUST_WORDS } else { &[] });
    for (index, line) in text.lines().enumerate() {
        if line.trim_end() != line {
            say(index + 1, "blanks at the end of the line");
        }
        for (word, why) in words.clone() {
            if line.contains(word) {
                say(index + 1, &format!("`{word}`: {why}"));
            }
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        say(text.lines().count(), "the last line does not end");
    }
    if rust {
        rust_problems(file, text, &mut say);
    }
    problems
}

fn rust_problems(file: &Path, text: &str, say: &mut impl FnMut(usize, &str)) {
    if !text.starts_with("//!") {
        say(1, "a file opens with `//!` and says what it is for");
    }
    let length = code_lines(text);
    if !is_test(file) && length > LINES {
        say(length, &format!("{length} lines, at most {LINES}: split it"));
    }
    if file.parent() == Some(Path::new("bins")) && length > PROGRAM_LINES {
        say(length, "a program is thin: move this into a crate");
    }
    if file == Path::new(EXECUTOR_PROGRAM) {
        for name in EXECUTOR_BANS.iter().filter(|name| text.contains(**name)) {
            say(1, &format!("`{name}`: the task executor knows no queue and no scheduler"));
        }
    }
}

/// Lines up to the file's own test module.
fn code_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

fn is_test(file: &Path) -> bool {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    file.iter().any(|part| part == "tests" || part == "conformance")
        || ["tests", "properties", "conformance"].contains(&name.as_ref())
        || name.ends_with("_tests")
}

/// Fixtures and inputs are what they are, to the byte.
fn data(file: &Path) -> bool {
    let fixture = ["tests/workflows", "examples", "bench"].iter().any(|folder| file.starts_with(folder));
    let in_crate =
        file.iter().any(|part| ["fixtures", "corpus", "seeds", "snapshots", "golden"].iter().any(|name| part == *name));
    let ours = file.extension().is_some_and(|extension| extension == "rs" || extension == "md");
    let regressions = file.extension().is_some_and(|extension| extension == "proptest-regressions");
    (fixture || in_crate || regressions) && !ours
}

/// Every crate has a paragraph in the code map.
fn code_map(workspace: &Workspace) -> Result<Vec<String>> {
    let map = workspace.text(Path::new("ARCHITECTURE.md")).unwrap_or_default();
    let missing = workspace.packages()?.into_iter().filter(|package| {
        let heading = format!("### `{}`", package.name);
        !map.lines().any(|line| line.starts_with(&heading))
    });
    let folder =
        |path: PathBuf| path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let mut problems = Vec::new();
    for package in missing {
        problems.push(format!("ARCHITECTURE.md: the code map lacks a paragraph headed ### `{}`", package.name));
    }
    for package in workspace.packages()? {
        if folder(package.manifest_path).as_deref() != Some(package.name.as_str()) {
            problems.push(format!("{}: the folder is not called like the package", package.name));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, text: &str) -> Vec<String> {
        file_problems(Path::new(file), text)
    }

    #[test]
    fn a_clean_file_has_no_problem() {
        assert!(problems("crates/x/src/lib.rs", "//! What it is for.\n").is_empty());
        assert!(problems("docs/x.md", "# Title\n").is_empty());
    }

    #[test]
    fn each_rule_is_seen() {
        let cases = [
            ("crates/x/src/a.rs", "fn main() {}\n".to_owned(), "opens with"),
            ("crates/x/src/a.rs", "//! A. \n".into(), "a.rs:1: blanks"),
            ("docs/a.md", "x".into(), "does not end"),
            ("docs/a.md", format!("a\n{}: later\n", WORDS[0].0), "a.md:2: `"),
            ("crates/x/src/a.rs", format!("//! A.\n{}]\n", RUST_WORDS[0].0), "a.rs:2: `"),
            ("crates/x/src/a.rs", "//! A.\n".repeat(LINES + 1), "split it"),
            ("bins/x.rs", "//! A.\n".repeat(PROGRAM_LINES + 1), "thin"),
            ("bins/task-executor.rs", "//! A.\nuse job_queue::JobQueue;\n".into(), "knows no queue"),
        ];
        for (file, text, expected) in cases {
            let found = problems(file, &text);
            assert!(found.iter().any(|problem| problem.contains(expected)), "{file} {expected}: {found:?}");
        }
    }

    #[test]
    fn tests_and_data_are_judged_by_their_own_rules() {
        assert!(problems("crates/x/src/properties.rs", &"//! A.\n".repeat(LINES + 1)).is_empty());
        assert!(problems("tests/workflows/blanks.yaml", "- name: a \n").is_empty());
        let inline = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    // x\n".repeat(LINES));
        assert!(problems("crates/x/src/a.rs", &inline).is_empty());
    }
}
