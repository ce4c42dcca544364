//! Writes a run into docs/performance.md, between two marks.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;

const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- cargo xtask bench --record: begin -->";
const END: &str = "<!-- cargo xtask bench --record: end -->";

pub(crate) fn record(
    workspace: &Workspace,
    machine: &BTreeMap<&'static str, String>,
    table: &str,
    notes: &[String],
) -> Result<()> {
    let page = workspace.text(Path::new(PAGE))?;
    let mut section = String::from("\n");
    for (name, value) in machine {
        let _ = writeln!(section, "- {name}: {value}");
    }
    let _ = write!(section, "\n{table}\n");
    notes.iter().for_each(|note| {
        let _ = writeln!(section, "{note}\n");
    });
    let new = between_marks(&page, &section).with_context(|| format!("{PAGE} lacks the marks `{BEGIN}`, `{END}`"))?;
    fs::write(workspace.root.join(PAGE), new).with_context(|| format!("cannot write {PAGE}"))
}

fn between_marks(page: &str, section: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_marks_changes() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between_marks(&page, "new\n"), Some(format!("a\n{BEGIN}\nnew\n{END}\nb\n")));
        assert_eq!(between_marks("no marks", "new"), None);
    }
}
