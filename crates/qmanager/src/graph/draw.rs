//! The drawing for a terminal: boxes if they fit, else bare labels, else a list, else a summary by layers.

use super::canvas::Canvas;
use super::dag::{Graph, Options};
use super::list;
use super::paint::paint;
use super::sketch::{Sketch, Style, sketch};
use super::view::{View, width_of};

/// Beyond so many items a drawing is no longer read; the list is.
pub(super) const MOST_ITEMS: usize = 160;
/// Boxes are for graphs that then still fit on about one screen.
const MOST_BOXES: usize = 24;
/// Columns between parts that are not connected.
const BETWEEN: usize = 4;

/// Draws the graph in lines of at most `options.width` columns, each ended by a newline.
#[must_use]
pub fn draw(graph: &Graph, options: &Options) -> String {
    let options = Options { width: options.width.max(20), ..*options };
    let view = View::new(graph, &options);
    let mut lines = if view.items.is_empty() {
        Vec::new()
    } else {
        match picture(&view, &options) {
            Some(canvas) => canvas.lines(options.color, options.ascii),
            None => list::lines(&view, &options),
        }
    };
    lines.push(String::new());
    lines.extend(list::footer(&view, &options));
    let mut out = lines.join("\n");
    out.push('\n');
    out
}

/// The drawing, if there is a readable one.
fn picture(view: &View, options: &Options) -> Option<Canvas> {
    if view.items.len() > MOST_ITEMS {
        return None;
    }
    let (parts, single) = parts(view);
    styles(view.items.len()).into_iter().find_map(|style| {
        let sketches: Option<Vec<Sketch>> =
            parts.iter().map(|part| sketch(view, part, style, options.width, options.ascii)).collect();
        let sketches = sketches?;
        if !sketches.iter().all(readable) {
            return None;
        }
        let blocks: Vec<Canvas> = sketches.iter().map(|sketch| paint(sketch, style, options)).collect();
        let mut canvas = arrange(&blocks, options.width)?;
        let blocks: Vec<Canvas> = single.iter().map(|&item| alone(view, item, style, options)).collect();
        let below = canvas.height() + usize::from(canvas.height() > 0);
        canvas.paste(&arrange(&blocks, options.width)?, below, 0);
        Some(canvas)
    })
}

/// From the most beautiful to the most frugal.
fn styles(items: usize) -> Vec<Style> {
    let of = |boxed, label, wrap| Style { boxed, label, wrap };
    let mut styles = Vec::new();
    if items <= MOST_BOXES {
        styles.push(of(true, 30, false));
    }
    styles.push(of(false, 40, false));
    if items <= MOST_BOXES {
        styles.push(of(true, 30, true));
    }
    styles.extend([of(false, 30, true), of(false, 18, false), of(false, 18, true)]);
    styles
}

/// A drawing is read by following lines: many crossings or a thick bundle of parallel lines defeat that.
fn readable(sketch: &Sketch) -> bool {
    let tracks = sketch.channels.iter().map(|channel| channel.tracks).max().unwrap_or(0);
    sketch.crossings <= 8 + sketch.items.len() / 2 && tracks <= 10
}

/// Connected parts with at least one edge, and items without any; both in the order of their first items.
pub(super) fn parts(view: &View) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut part_of = vec![usize::MAX; view.items.len()];
    let mut count = 0;
    for root in 0..view.items.len() {
        if part_of[root] != usize::MAX {
            continue;
        }
        let mut stack = vec![root];
        while let Some(item) = stack.pop() {
            if std::mem::replace(&mut part_of[item], count) == usize::MAX {
                stack.extend(view.needs[item].iter().chain(&view.feeds[item]).filter(|&&i| part_of[i] == usize::MAX));
            }
        }
        count += 1;
    }
    let mut parts = vec![Vec::new(); count];
    for &item in &view.order {
        parts[part_of[item]].push(item);
    }
    let single = parts.iter().filter(|part| part.len() == 1).map(|part| part[0]).collect();
    parts.retain(|part| part.len() > 1);
    (parts, single)
}

/// Puts blocks side by side, and into new rows when the width is used up.
fn arrange(blocks: &[Canvas], width: usize) -> Option<Canvas> {
    let mut canvas = Canvas::default();
    let (mut row, mut column, mut height) = (0, 0, 0);
    for block in blocks {
        if block.width() > width {
            return None;
        }
        if column > 0 && column + BETWEEN + block.width() > width {
            row += height + 1;
            (column, height) = (0, 0);
        }
        let at = if column == 0 { 0 } else { column + BETWEEN };
        canvas.paste(block, row, at);
        column = at + block.width();
        height = height.max(block.height());
    }
    Some(canvas)
}

/// An item without edges.
fn alone(view: &View, item: usize, style: Style, options: &Options) -> Canvas {
    let caption = view.items[item].caption(style.label.min(options.width - 4), options.ascii);
    let mut canvas = Canvas::default();
    let weight = if view.critical.contains(&item) { 2 } else { 1 };
    if style.boxed {
        canvas.frame(0, 0, width_of(&caption) + 4, 3, weight);
        canvas.write(1, 2, &caption);
    } else {
        canvas.write(0, 0, &caption);
    }
    canvas
}
