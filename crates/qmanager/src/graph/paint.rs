//! A sketch as terminal cells.

use std::collections::BTreeMap;

use super::canvas::{Arms, Canvas, DOWN, LEFT, RIGHT, UP};
use super::dag::Options;
use super::route::{Channel, Joint, Net};
use super::sketch::{Sketch, Style};
use super::view::width_of;
use crate::text::Tone;

/// Puts a sketch into cells.
pub(super) fn paint(sketch: &Sketch, style: Style, options: &Options) -> Canvas {
    let mut canvas = Canvas::default();
    let mut row = 0;
    for (l, layer) in sketch.graph.layers.iter().enumerate() {
        let text_rows = sketch.captions.iter().map(Vec::len).max().unwrap_or(1);
        let height = text_rows + 2 * usize::from(style.boxed);
        for &v in layer {
            paint_vertex(&mut canvas, sketch, (style, options), v, (row, height));
        }
        row += height;
        if let Some(channel) = sketch.channels.get(l) {
            let rows = channel.tracks.max(1);
            paint_channel(&mut canvas, channel, row, rows);
            row += rows;
            if style.boxed {
                paint_ends(&mut canvas, sketch, (l, row), options.ascii);
                row += 1;
            }
        }
    }
    canvas
}

fn paint_vertex(
    canvas: &mut Canvas,
    sketch: &Sketch,
    (style, options): (Style, &Options),
    v: usize,
    (row, height): (usize, usize),
) {
    let vertex = &sketch.graph.vertices[v];
    let left = sketch.left[v];
    let weight = if sketch.critical[v] { 2 } else { 1 };
    let Some(item) = vertex.item else {
        for (r, column, arms) in NetCells::of(&piece(sketch, v, height), height) {
            canvas.join(row + r, column, arms, true);
        }
        return;
    };
    if style.boxed {
        canvas.frame(row, left, vertex.width, height, weight);
    }
    for (i, line) in sketch.captions[item].iter().enumerate() {
        let indent = (vertex.width - width_of(line)) / 2;
        let bold = sketch.critical[v] && !style.boxed;
        let spans: Vec<_> = line
            .iter()
            .map(|(text, tone)| (text.clone(), if bold && *tone == Tone::Plain { Tone::Bold } else { *tone }))
            .collect();
        if !style.boxed && vertex.width > width_of(line) {
            // A short label that many lines leave: shows how far it reaches.
            let dot = if options.ascii { "." } else { "·" };
            canvas.write(row, left, &[(dot.repeat(vertex.width), Tone::Dim)]);
        }
        canvas.write(row + i + usize::from(style.boxed), left + indent, &spans);
    }
}

/// A piece of a trunk as lines of its own: where several lines come in or go out, they join within the layer.
pub(super) fn piece(sketch: &Sketch, v: usize, height: usize) -> Net {
    let vertex = &sketch.graph.vertices[v];
    let within = |column: &usize| (sketch.left[v]..sketch.left[v] + vertex.width).contains(column);
    let above = vertex.layer.checked_sub(1).map(|l| &sketch.channels[l]).into_iter().flat_map(|channel| &channel.nets);
    let below = sketch.channels.get(vertex.layer).into_iter().flat_map(|channel| &channel.nets);
    let tops: Vec<usize> = above.clone().flat_map(|net| &net.bottoms).copied().filter(within).collect();
    let bottoms: Vec<usize> = below.clone().flat_map(|net| &net.tops).copied().filter(within).collect();
    let heavy_top = above.flat_map(|net| &net.heavy).map(|&(_, bottom)| bottom).find(within);
    let heavy_bottom = below.flat_map(|net| &net.heavy).map(|&(top, _)| top).find(within);
    let heavy = heavy_top.zip(heavy_bottom).into_iter().collect();
    Net { tops, bottoms, heavy, joint: None, track: Some(height / 2) }
}

fn vertical(weight: u8) -> Arms {
    [weight, 0, weight, 0]
}

/// The lines of a channel in `rows` rows: sideways runs first, then what crosses them.
fn paint_channel(canvas: &mut Canvas, channel: &Channel, row: usize, rows: usize) {
    let cells: Vec<_> = channel.nets.iter().map(|net| NetCells::of(net, rows)).collect();
    let flat = |arms: Arms| arms[LEFT] + arms[RIGHT] > 0;
    for &(r, column, arms) in cells.iter().flatten().filter(|cell| flat(cell.2)) {
        canvas.join(row + r, column, arms, true);
    }
    for &(r, column, arms) in cells.iter().flatten().filter(|cell| !flat(cell.2)) {
        canvas.cross(row + r, column, arms);
    }
}

/// Of boxes: where lines leave the bottom borders above a channel, and the arrow heads below it.
fn paint_ends(canvas: &mut Canvas, sketch: &Sketch, (layer, row): (usize, usize), ascii: bool) {
    let channel = &sketch.channels[layer];
    let first = row - channel.tracks.max(1);
    let is_trunk = |l: usize, column: usize| {
        sketch.graph.layers[l].iter().any(|&v| {
            let (vertex, left) = (&sketch.graph.vertices[v], sketch.left[v]);
            vertex.item.is_none() && (left..left + vertex.width).contains(&column)
        })
    };
    for net in &channel.nets {
        for &column in &net.tops {
            let heavy = net.heavy.iter().any(|&(top, _)| top == column);
            if !is_trunk(layer, column) {
                canvas.join(first - 1, column, [0, 0, if heavy { 2 } else { 1 }, 0], false);
            }
        }
        for &column in &net.bottoms {
            let heavy = net.heavy.iter().any(|&(_, bottom)| bottom == column);
            if is_trunk(layer + 1, column) {
                canvas.join(row, column, vertical(if heavy { 2 } else { 1 }), true);
            } else {
                let head = if ascii { "v" } else { "▼" };
                canvas.write(row, column, &[(head.to_owned(), if heavy { Tone::Bold } else { Tone::Dim })]);
            }
        }
    }
}

/// The cells that a net's lines pass, by row and column.
struct NetCells {
    rows: usize,
    cells: BTreeMap<(usize, usize), Arms>,
}

impl NetCells {
    fn of(net: &Net, rows: usize) -> Vec<(usize, usize, Arms)> {
        let mut this = Self { rows, cells: BTreeMap::new() };
        this.run(net, &net.tops, &net.bottoms, 1);
        for &(top, bottom) in &net.heavy {
            // A joint's column stands for the end that this piece does not have.
            let real = |column: usize| net.joint.is_none_or(|joint| joint.column != column);
            let tops: Vec<usize> = [top].into_iter().filter(|&c| real(c)).collect();
            let bottoms: Vec<usize> = [bottom].into_iter().filter(|&c| real(c)).collect();
            this.run(net, &tops, &bottoms, 2);
        }
        this.cells.into_iter().map(|((row, column), arms)| (row, column, arms)).collect()
    }

    /// The lines that connect some of a net's ends.
    fn run(&mut self, net: &Net, tops: &[usize], bottoms: &[usize], weight: u8) {
        let all = || tops.iter().chain(bottoms).copied().chain(net.joint.map(|joint| joint.column));
        let (Some(low), Some(high)) = (all().min(), all().max()) else { return };
        let track = net.track.unwrap_or(0);
        for &column in tops {
            self.upright(column, 0, track, weight);
            self.arm(0, column, UP, weight);
        }
        for &column in bottoms {
            self.upright(column, track, self.rows - 1, weight);
            self.arm(self.rows - 1, column, DOWN, weight);
        }
        match net.joint {
            Some(Joint { column, from: Some(from), .. }) => {
                // The upper piece has the line's beginning in its own row.
                self.upright(column, from + 1, track, weight);
                self.arm(from + 1, column, UP, weight);
            }
            Some(Joint { column, from: None, .. }) => self.arm(track, column, DOWN, weight),
            None => {}
        }
        for column in low..high {
            self.arm(track, column, RIGHT, weight);
            self.arm(track, column + 1, LEFT, weight);
        }
    }

    fn upright(&mut self, column: usize, from: usize, to: usize, weight: u8) {
        for row in from..to {
            self.arm(row, column, DOWN, weight);
            self.arm(row + 1, column, UP, weight);
        }
    }

    fn arm(&mut self, row: usize, column: usize, side: usize, weight: u8) {
        let arms = self.cells.entry((row, column)).or_default();
        arms[side] = arms[side].max(weight);
    }
}
