//! What stands in for a drawing that would not be readable: a list of the items with what they depend on, or, for
//! huge graphs, a summary by layers. And the lines below every drawing.

use std::fmt::Write as _;

use workflow_model::TaskStatus;

use super::dag::Options;
use super::view::{Item, View, width_of};
use crate::text::{self, Tone, paint};

/// Beyond so many items or lines of dependencies the list becomes a summary.
const MOST_LISTED: usize = 600;
const MOST_EDGES: usize = 3000;
/// Rows of a summary; deeper graphs have several layers in one row.
const MOST_ROWS: usize = 30;

/// The list or the summary.
pub(super) fn lines(view: &View, options: &Options) -> Vec<String> {
    let edges: usize = view.needs.iter().map(Vec::len).sum();
    if view.items.len() > MOST_LISTED || edges > MOST_EDGES { summary(view, options) } else { list(view, options) }
}

/// Below the drawing: the critical path, and how large the graph is and what was left out.
pub(super) fn footer(view: &View, options: &Options) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(chain) = view.critical_text(options.ascii) {
        for line in wrapped(&chain, options) {
            lines.push(paint(&line, Tone::Bold, options.color).into_owned());
        }
    }
    let depth = view.depths().into_iter().max().map_or(0, |depth| depth + 1);
    let mut size = format!(
        "{}, {}, {} deep",
        text::counted(view.tasks, "task"),
        if view.edges == 1 { "1 dependency".to_owned() } else { format!("{} dependencies", text::count(view.edges)) },
        text::counted(depth, "layer")
    );
    if view.implied > 0 {
        let follow = if view.implied == 1 { "follows" } else { "follow" };
        let _ = write!(size, " ({} that {follow} from others not shown)", text::count(view.implied));
    }
    for line in wrapped(&size, options) {
        lines.push(paint(&line, Tone::Dim, options.color).into_owned());
    }
    lines
}

/// Every item after what it depends on, by layers; dependencies refer back by name.
fn list(view: &View, options: &Options) -> Vec<String> {
    let depths = view.depths();
    let captions: Vec<_> = view.items.iter().map(|item| item.caption(options.width / 2 - 2, options.ascii)).collect();
    let column = captions.iter().map(|caption| width_of(caption)).max().unwrap_or(0) + 4;
    let arrow = if options.ascii { "<- " } else { "← " };
    let mut by_depth: Vec<usize> = view.order.clone();
    by_depth.sort_by_key(|&item| depths[item]);
    let mut lines = Vec::new();
    let mut layer = None;
    for item in by_depth {
        if layer != Some(depths[item]) {
            layer = Some(depths[item]);
            let title = if depths[item] == 0 { "at once".to_owned() } else { format!("layer {}", depths[item] + 1) };
            lines.push(paint(&title, Tone::Dim, options.color).into_owned());
        }
        let critical = view.critical.contains(&item);
        let sign = match (critical, options.ascii) {
            (false, _) => "  ",
            (true, false) => "┃ ",
            (true, true) => "# ",
        };
        let mut line = paint(sign, Tone::Bold, options.color).into_owned();
        for (text, tone) in &captions[item] {
            line.push_str(&paint(
                text,
                if critical && *tone == Tone::Plain { Tone::Bold } else { *tone },
                options.color,
            ));
        }
        let room = options.width - column - 3;
        let names = view.needs[item].iter().map(|&need| reference(&view.items[need], room - 1, options));
        let rows = filled(names, room);
        for (i, row) in rows.iter().enumerate() {
            let from = if i == 0 { 2 + width_of(&captions[item]) } else { 0 };
            line.push_str(&" ".repeat(column - from));
            line.push_str(&paint(if i == 0 { arrow } else { "  " }, Tone::Dim, options.color));
            line.push_str(row);
            lines.push(std::mem::take(&mut line));
        }
        if rows.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// An item by its name, in at most `room` columns.
fn reference(item: &Item, room: usize, options: &Options) -> String {
    let times = if options.ascii { 'x' } else { '×' };
    let suffix = if item.members > 1 { format!(" {times}{}", text::count(item.members)) } else { String::new() };
    let name = text::cut_middle(&item.name, room.saturating_sub(text::width(&suffix)).max(4), options.ascii);
    text::cut_middle(&format!("{name}{suffix}"), room, options.ascii).into_owned()
}

/// Names with commas between them, in rows of at most `width` columns.
fn filled(names: impl Iterator<Item = String>, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for name in names {
        match rows.last_mut() {
            Some(row) if text::width(row) + 2 + text::width(&name) < width => {
                row.push_str(", ");
                row.push_str(&name);
            }
            Some(row) => {
                row.push(',');
                rows.push(name);
            }
            None => rows.push(name),
        }
    }
    rows
}

/// A text in lines that fit, broken at blanks where there are any.
fn wrapped(text: &str, options: &Options) -> Vec<String> {
    let width = options.width;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = text::cut_middle(word, width - 2, options.ascii);
        match lines.last_mut() {
            Some(line) if text::width(line) + 1 + text::width(&word) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.into_owned()),
        }
    }
    lines
}

/// One row for each layer (or for several): how many tasks, how that compares, some of the names.
fn summary(view: &View, options: &Options) -> Vec<String> {
    let depths = view.depths();
    let depth = depths.iter().max().map_or(0, |depth| depth + 1);
    let per_row = depth.div_ceil(MOST_ROWS).max(1);
    let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth.div_ceil(per_row)];
    for &item in &view.order {
        rows[depths[item] / per_row].push(item);
    }
    let tasks = |row: &[usize]| row.iter().map(|&item| view.items[item].members).sum::<usize>();
    let most = rows.iter().map(|row| tasks(row)).max().unwrap_or(1).max(1);
    let title = |first: usize| match per_row {
        1 => format!("{}", first + 1),
        _ => format!("{}-{}", first + 1, (first + per_row).min(depth)),
    };
    let title_width = title(depth - 1).len().max(5);
    let count_width = text::count(most).len().max(5);
    let mut lines = vec![
        paint(&format!("{:>title_width$}  {:>count_width$}", "layer", "tasks"), Tone::Dim, options.color).into_owned(),
    ];
    for (r, row) in rows.iter().enumerate() {
        const BAR: usize = 12;
        let count = tasks(row);
        let full = (count * BAR).div_ceil(most).min(BAR);
        let bar = if options.ascii { "=".repeat(full) } else { "█".repeat(full) };
        let mut line = format!("{:>title_width$}  {:>count_width$}  ", title(r * per_row), text::count(count));
        line.push_str(&paint(&text::pad(&bar, BAR), Tone::Live, options.color));
        line.push_str("  ");
        let room = options.width.saturating_sub(title_width + count_width + BAR + 6);
        let tally = tally(view, row);
        let words: Vec<String> = tally
            .iter()
            .map(|&(status, n)| format!("{}{}", text::count(n), text::mark(status, options.ascii)))
            .collect();
        if words.is_empty() {
            line.push_str(&examples(view, row, room, options));
        } else {
            line.push_str(&text::cut_middle(&words.join(" "), room, options.ascii));
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// Of a job: how many tasks of a row have which status.
fn tally(view: &View, row: &[usize]) -> Vec<(TaskStatus, usize)> {
    let of = |status| {
        let items = row.iter().flat_map(|&item| &view.items[item].tally);
        items.filter(|&&(s, _)| s == status).map(|&(_, n)| n).sum::<usize>()
    };
    TaskStatus::ALL.iter().rev().map(|&status| (status, of(status))).filter(|&(_, n)| n > 0).collect()
}

/// As many names as fit.
fn examples(view: &View, row: &[usize], room: usize, options: &Options) -> String {
    let dots = if options.ascii { ", ..." } else { ", …" };
    let mut out = String::new();
    for (i, &item) in row.iter().enumerate() {
        let name = reference(&view.items[item], room, options);
        let more = if out.is_empty() { name } else { format!(", {name}") };
        let rest = if i + 1 == row.len() { 0 } else { text::width(dots) };
        if text::width(&out) + text::width(&more) + rest > room {
            let short = if out.is_empty() {
                text::cut_middle(&more, room.saturating_sub(rest), options.ascii)
            } else {
                "".into()
            };
            return format!("{out}{short}{}", if rest > 0 || short.is_empty() { dots } else { "" });
        }
        out.push_str(&more);
    }
    out
}
