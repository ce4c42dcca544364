//! The graph as a Mermaid flowchart, for Markdown pages: fan-outs folded, implied edges left out.

use std::fmt::Write as _;

use workflow_model::TaskStatus;

use super::dag::{Graph, Options};
use super::dot::fill;
use super::view::View;
use crate::text;

/// Writes a Mermaid flowchart. Items are `t0`, `t1`, … by the place of their first task in the workflow.
#[must_use]
pub fn mermaid(graph: &Graph, options: &Options) -> String {
    let view = View::new(graph, options);
    let mut out = String::from("flowchart TD\n");
    let id = |item: usize| format!("t{}", view.items[item].first);
    for (i, item) in view.items.iter().enumerate() {
        let mut label = escaped(&item.name);
        if item.members > 1 {
            let _ = write!(label, " {}{}", if options.ascii { 'x' } else { '×' }, text::count(item.members));
        }
        let _ = write!(out, "  {}[\"{label}\"]", id(i));
        if let Some(status) = item.status() {
            let _ = write!(out, ":::{status}");
        }
        out.push('\n');
    }
    let (mut edges, mut heavy) = (0usize, Vec::new());
    for (to, needs) in view.needs.iter().enumerate() {
        for &from in needs {
            let _ = writeln!(out, "  {} --> {}", id(from), id(to));
            if view.is_critical(from, to) {
                heavy.push(edges.to_string());
            }
            edges += 1;
        }
    }
    for &status in TaskStatus::ALL {
        if view.items.iter().any(|item| item.status() == Some(status)) {
            let _ = writeln!(out, "  classDef {status} fill:{},stroke:#444444,color:#000000", fill(status));
        }
    }
    for &item in &view.critical {
        let _ = writeln!(out, "  style {} stroke-width:4px", id(item));
    }
    if !heavy.is_empty() {
        let _ = writeln!(out, "  linkStyle {} stroke-width:4px", heavy.join(","));
    }
    out
}

/// Mermaid takes entity codes (`#35;`) within quotes. All that it, Markdown or HTML could read as markup becomes one.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | ';' | '`' | '\\' | '*' | '_' | '~' | '[' | ']' | '{' | '}' | '(' | ')'
            | '|' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
