//! The graph in Graphviz' language: every task and every dependency, as written.

use std::fmt::Write as _;

use workflow_model::TaskStatus;

use super::dag::{Graph, Options};
use super::view::View;

/// Writes DOT. Tasks are `t0`, `t1`, … by their place in the workflow; with `critical_path`, that path is heavy.
#[must_use]
pub fn dot(graph: &Graph, options: &Options) -> String {
    let view = View::new(graph, &Options { fold: 0, ..*options });
    let mut out = String::from(
        "digraph workflow {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, fontname=\"Helvetica\"];\n",
    );
    for (task, node) in graph.nodes().iter().enumerate() {
        let _ = write!(out, "  t{task} [label=\"{}\"", escaped(&node.label));
        if let Some(status) = node.status {
            let _ = write!(out, ", fillcolor=\"{}\", tooltip=\"{status}\"", fill(status));
        }
        if view.critical.contains(&task) {
            out.push_str(", penwidth=3");
        }
        out.push_str("];\n");
    }
    for to in 0..graph.nodes().len() {
        for &from in graph.needs(to) {
            let heavy = if view.is_critical(from as usize, to) { " [penwidth=3]" } else { "" };
            let _ = writeln!(out, "  t{from} -> t{to}{heavy};");
        }
    }
    out.push_str("}\n");
    out
}

/// Within double quotes a backslash begins an escape of Graphviz' own (`\n`, `\N`, …), so it is doubled.
fn escaped(name: &str) -> String {
    crate::text::safe(name).replace('\\', "\\\\").replace('"', "\\\"")
}

/// The colour that stands for a status in pictures; light, so that black text can be read on it.
pub(super) fn fill(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Waiting => "#ffffff",
        TaskStatus::Running => "#cfe8ff",
        TaskStatus::Retrying => "#ffe8b3",
        TaskStatus::Succeeded => "#d5f2d5",
        TaskStatus::Skipped => "#e6e6e6",
        TaskStatus::Cancelled => "#f0e0f0",
        TaskStatus::Failed => "#ffd0d0",
    }
}
