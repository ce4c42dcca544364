//! The graph as one SVG file: the terminal's layout on a wider sheet; no scripts, no styles, nothing loaded.

use std::fmt::Write as _;

use super::dag::{Graph, Options};
use super::dot::fill;
use super::draw::{MOST_ITEMS, parts};
use super::list;
use super::paint::piece;
use super::route::{Joint, Net};
use super::sketch::{Sketch, Style, sketch};
use super::view::View;
use crate::text;

/// Pixels of a column and of a line of text; a 14 px monospaced font is about 8.4 wide.
const COLUMN: usize = 9;
const LINE: usize = 18;
/// Pixels between two parallel lines, and above the first and below the last of them.
const TRACK: usize = 16;
const CLEAR: usize = 16;
const MARGIN: usize = 16;
/// Columns of a sheet.
const SHEET: usize = 200;
const STYLE: Style = Style { boxed: true, label: 40, wrap: true };

/// Writes SVG. `options.width` and `options.color` do not matter: a sheet is as wide as it needs to be, up to 200
/// columns, and statuses have their colours. What is too large for a drawing becomes the same list as in a terminal.
#[must_use]
pub fn svg(graph: &Graph, options: &Options) -> String {
    let view = View::new(graph, options);
    match sheet(&view, options.ascii) {
        Some(sheet) => sheet,
        None => page(&view, &Options { width: 100, color: false, ..*options }),
    }
}

/// The drawing, if the graph is not too large for one.
fn sheet(view: &View, ascii: bool) -> Option<String> {
    if view.items.is_empty() || view.items.len() > MOST_ITEMS {
        return None;
    }
    let (mut parts, single) = parts(view);
    parts.extend(single.into_iter().map(|item| vec![item]));
    let (mut body, mut row, mut wide) = (String::new(), Shelf { x: MARGIN, y: MARGIN, height: 0 }, 0);
    for part in parts {
        let sketch = sketch(view, &part, STYLE, SHEET, ascii)?;
        let rows = Rows::of(&sketch);
        let width = sketch.width * COLUMN;
        if row.x > MARGIN && row.x + width > SHEET * COLUMN {
            row = Shelf { x: MARGIN, y: row.y + row.height + 2 * MARGIN, height: 0 };
        }
        let _ = writeln!(body, "<g transform=\"translate({} {})\">", row.x, row.y);
        Sheet { view, sketch: &sketch, rows: &rows, out: &mut body }.draw();
        body.push_str("</g>\n");
        row.x += width + 3 * MARGIN;
        row.height = row.height.max(rows.height);
        wide = wide.max(row.x - 2 * MARGIN);
    }
    Some(document(wide, row.y + row.height + MARGIN, &body))
}

struct Shelf {
    x: usize,
    y: usize,
    height: usize,
}

/// Where the layers are, from top to bottom.
struct Rows {
    /// Top of each layer.
    tops: Vec<usize>,
    /// Height of a box.
    boxed: usize,
    height: usize,
}

impl Rows {
    fn of(sketch: &Sketch) -> Self {
        let boxed = sketch.captions.iter().map(Vec::len).max().unwrap_or(1) * LINE + 14;
        let (mut y, mut tops) = (0, Vec::new());
        for layer in 0..sketch.graph.layers.len() {
            tops.push(y);
            y += boxed;
            if let Some(channel) = sketch.channels.get(layer) {
                y += 2 * CLEAR + channel.tracks.saturating_sub(1) * TRACK;
            }
        }
        Self { tops, boxed, height: y }
    }
}

struct Sheet<'a> {
    view: &'a View,
    sketch: &'a Sketch,
    rows: &'a Rows,
    out: &'a mut String,
}

impl Sheet<'_> {
    fn draw(&mut self) {
        for (layer, channel) in self.sketch.channels.iter().enumerate() {
            let top = self.rows.tops[layer] + self.rows.boxed;
            let bottom = self.rows.tops[layer + 1];
            for net in &channel.nets {
                self.net(net, top, bottom, |track| top + CLEAR + track * TRACK, layer + 1);
            }
        }
        for (v, vertex) in self.sketch.graph.vertices.iter().enumerate() {
            let top = self.rows.tops[vertex.layer];
            match vertex.item {
                Some(item) => self.item(v, item, top),
                None => {
                    let net = piece(self.sketch, v, 1);
                    self.net(&net, top, top + self.rows.boxed, |_| top + self.rows.boxed / 2, usize::MAX);
                }
            }
        }
    }

    /// A net between two heights; arrow heads where it ends at an item of the layer `into`.
    fn net(&mut self, net: &Net, top: usize, bottom: usize, y_of: impl Fn(usize) -> usize, into: usize) {
        let track = y_of(net.track.unwrap_or(0));
        let joint = net.joint.map(|joint| joint.column);
        let mut pairs = Vec::new();
        for &from in net.tops.iter().chain(joint.filter(|_| net.tops.is_empty()).as_ref()) {
            for &to in net.bottoms.iter().chain(joint.filter(|_| net.bottoms.is_empty()).as_ref()) {
                pairs.push((from, to, net.heavy.contains(&(from, to))));
            }
        }
        // Heavy lines on top.
        pairs.sort_by_key(|&(_, _, heavy)| heavy);
        for (from, to, heavy) in pairs {
            let start = match net.joint {
                Some(Joint { column, from: Some(upper), .. }) if column == from => y_of(upper),
                _ => top,
            };
            let ends_here = joint == Some(to) && net.bottoms.is_empty();
            let arrow = self.is_item(into, to) && !ends_here;
            let end = if ends_here { track } else { bottom - usize::from(arrow) * 2 };
            let path = curve((x(from), start), track, (x(to), end));
            let width = if heavy { 3 } else { 1 };
            let head = if arrow { " marker-end=\"url(#head)\"" } else { "" };
            let _ = writeln!(
                self.out,
                "<path d=\"{path}\" fill=\"none\" stroke=\"#555555\" stroke-width=\"{width}\"{head}/>"
            );
        }
    }

    fn is_item(&self, layer: usize, column: usize) -> bool {
        self.sketch.graph.layers.get(layer).into_iter().flatten().any(|&v| {
            let (vertex, left) = (&self.sketch.graph.vertices[v], self.sketch.left[v]);
            vertex.item.is_some() && (left..left + vertex.width).contains(&column)
        })
    }

    fn item(&mut self, v: usize, index: usize, top: usize) {
        let item = &self.view.items[self.sketch.items[index]];
        let (left, width) = (self.sketch.left[v] * COLUMN, self.sketch.graph.vertices[v].width * COLUMN);
        let color = item.status().map_or("#ffffff", fill);
        let stroke = if self.sketch.critical[v] { 3 } else { 1 };
        let mut title = escaped(&item.name);
        if item.members > 1 {
            let _ = write!(title, " ×{}", text::count(item.members));
        }
        for (status, count) in &item.tally {
            let _ = write!(title, "; {} {status}", text::count(*count));
        }
        if let Some(duration) = item.duration {
            let _ = write!(title, "; {}", text::duration(duration));
        }
        let _ = writeln!(
            self.out,
            "<g id=\"t{}\"><title>{title}</title><rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{}\" rx=\"5\" fill=\"{color}\" stroke=\"#333333\" stroke-width=\"{stroke}\"/>",
            item.first, self.rows.boxed
        );
        for (i, line) in self.sketch.captions[index].iter().enumerate() {
            let line: String = line.iter().map(|(text, _)| text.as_str()).collect();
            if line.is_empty() {
                continue;
            }
            let _ = writeln!(
                self.out,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#000000\">{}</text>",
                left + width / 2,
                top + 7 + i * LINE + 14,
                escaped(&line)
            );
        }
        self.out.push_str("</g>\n");
    }
}

/// Down, sideways at a height, down, with round corners.
fn curve(from: (usize, usize), across: usize, to: (usize, usize)) -> String {
    let ((x0, y0), (x1, y1)) = (from, to);
    if x0 == x1 {
        return format!("M{x0} {y0}V{y1}");
    }
    let radius = 7.min(x0.abs_diff(x1) / 2).min(across.abs_diff(y0)).min(across.abs_diff(y1));
    let aside = |x: usize, towards: usize| if towards > x { x + radius } else { x - radius };
    format!(
        "M{x0} {y0}V{}Q{x0} {across} {} {across}H{}Q{x1} {across} {x1} {}V{y1}",
        across - radius,
        aside(x0, x1),
        aside(x1, x0),
        across + radius
    )
}

/// The middle of a column.
fn x(column: usize) -> usize {
    column * COLUMN + COLUMN / 2
}

/// Lines of text as SVG.
fn page(view: &View, options: &Options) -> String {
    let mut lines = if view.items.is_empty() { Vec::new() } else { list::lines(view, options) };
    lines.push(String::new());
    lines.extend(list::footer(view, options));
    let mut body = String::new();
    for (i, line) in lines.iter().enumerate() {
        let y = MARGIN + i * LINE + 14;
        let _ = writeln!(body, "<text x=\"{MARGIN}\" y=\"{y}\" xml:space=\"preserve\">{}</text>", escaped(line));
    }
    document(options.width * COLUMN + 2 * MARGIN, lines.len() * LINE + 2 * MARGIN, &body)
}

fn document(width: usize, height: usize, body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"'DejaVu Sans Mono', Menlo, Consolas, monospace\" font-size=\"14\">\n\
         <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555555\"/></marker></defs>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}

/// XML text; the two noncharacters that XML forbids are replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
