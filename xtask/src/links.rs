//! Links of the documentation: every relative link leads to a file of the repository and to a heading in it, every
//! page of the book stands in its summary. Links to other hosts are left alone: the check works offline.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use anyhow::Result;

use crate::workspace::Workspace;

const SUMMARY: &str = "docs/SUMMARY.md";

/// One sentence for each link that leads nowhere.
pub(crate) fn check(workspace: &Workspace, files: &[PathBuf]) -> Result<Vec<String>> {
    let mut pages = BTreeMap::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        pages.insert(file.clone(), workspace.text(file)?);
    }
    let exists = |path: &Path| files.iter().any(|file| file == path || file.starts_with(path));
    let mut problems = Vec::new();
    for (page, text) in &pages {
        for (line, target) in links(text) {
            if let Some(problem) = dead(page, &target, &pages, &exists) {
                problems.push(format!("{}:{line}: {problem}", page.display()));
            }
        }
    }
    problems.extend(forgotten(&pages));
    Ok(problems)
}

/// Targets of inline links outside code, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let target = after.split([')', ' ']).next().unwrap_or_default();
            found.push((number, target.trim_matches(['<', '>']).to_owned()));
            rest = after;
        }
    }
    found
}

/// Lines outside fenced code, without what stands between backticks.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let outside = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
            lines.push((index + 1, outside));
        }
    }
    lines
}

fn dead(
    page: &Path,
    target: &str,
    pages: &BTreeMap<PathBuf, String>,
    exists: &impl Fn(&Path) -> bool,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_path_buf() } else { resolve(page, path) };
    if !exists(&file) {
        return Some(format!("the link `{target}` leads nowhere"));
    }
    let text = pages.get(&file)?;
    let missing = !anchor.is_empty() && !headings(text).iter().any(|heading| heading == anchor);
    missing.then(|| format!("`{}` has no heading `#{anchor}`", file.display()))
}

fn resolve(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            Component::Normal(name) => path.push(name),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// The anchors of a page's headings, as forges and mdBook make them.
fn headings(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let title = line.trim_start_matches('#');
        if !fenced && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.push(kept.collect::<String>().to_lowercase().replace(' ', "-"));
        }
    }
    found
}

/// Pages of the book that its summary does not name.
fn forgotten(pages: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let summary = Path::new(SUMMARY);
    let Some(text) = pages.get(summary) else { return vec![format!("{SUMMARY} is missing")] };
    let named: Vec<PathBuf> = links(text).iter().map(|(_, target)| resolve(summary, target)).collect();
    let of_book = pages.keys().filter(|page| page.starts_with("docs") && *page != summary && !named.contains(*page));
    of_book.map(|page| format!("{}: not in {SUMMARY}", page.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(list: &[(&str, &str)]) -> BTreeMap<PathBuf, String> {
        list.iter().map(|(name, text)| (PathBuf::from(name), (*text).to_owned())).collect()
    }

    #[test]
    fn links_in_code_are_none() {
        let text = "[a](x.md)\n`[b](y.md)`\n```\n[c](z.md)\n```\n[d](w.md#e) [f](v.md)\n";
        let found: Vec<_> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, ["x.md", "w.md#e", "v.md"]);
    }

    #[test]
    fn a_dead_link_and_a_missing_heading_are_named() {
        let pages = pages(&[("docs/a.md", ""), ("docs/sub/b.md", "# One `two`, three\n")]);
        let exists = |path: &Path| pages.contains_key(path);
        let dead = |target| dead(Path::new("docs/sub/b.md"), target, &pages, &exists);
        assert_eq!(dead("../a.md"), None);
        assert_eq!(dead("#one-two-three"), None);
        assert_eq!(dead("https://example.org/x"), None);
        assert!(dead("../c.md").is_some());
        assert!(dead("b.md#four").is_some());
    }

    #[test]
    fn a_page_outside_the_summary_is_named() {
        let pages = pages(&[(SUMMARY, "- [A](a.md)\n"), ("docs/a.md", ""), ("docs/b.md", ""), ("README.md", "")]);
        assert_eq!(forgotten(&pages), ["docs/b.md: not in docs/SUMMARY.md"]);
    }
}
