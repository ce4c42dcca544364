//! A drawing of one connected part of the graph, placed and routed but not yet put into cells: the terminal and SVG
//! are painted from it.

use super::layers::{self, Layered};
use super::order;
use super::place;
use super::rank;
use super::route::{self, Channel, Ground};
use super::view::{Span, View, width_of};

/// How the items look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    /// Boxes with arrows between them, or bare labels.
    pub(super) boxed: bool,
    /// Columns of the longest label; longer ones are cut.
    pub(super) label: usize,
    /// Whether a layer that is too wide may become several.
    pub(super) wrap: bool,
}

impl Style {
    /// Columns at either side of a box's text, its border included.
    pub(super) fn margin(self) -> usize {
        if self.boxed { 2 } else { 0 }
    }

    fn gap(self) -> usize {
        if self.boxed { 2 } else { 3 }
    }
}

/// One connected part, ready to paint.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) graph: Layered,
    /// Leftmost column of each vertex.
    pub(super) left: Vec<usize>,
    /// Between each layer and the next.
    pub(super) channels: Vec<Channel>,
    /// What is written for each item of the part, line by line.
    pub(super) captions: Vec<Vec<Vec<Span>>>,
    /// The item of the view that each item of the part is.
    pub(super) items: Vec<usize>,
    /// Whether each vertex lies on the critical path.
    pub(super) critical: Vec<bool>,
    /// Crossings of edges.
    pub(super) crossings: usize,
    /// Columns.
    pub(super) width: usize,
}

/// Times a too wide layer may be split before it is given up.
const MOST_SPLITS: usize = 12;

/// Draws the given items (a connected part, topologically sorted) in at most `width` columns, or not at all.
pub(super) fn sketch(view: &View, items: &[usize], style: Style, width: usize, ascii: bool) -> Option<Sketch> {
    let local = |item: usize| items.iter().position(|&i| i == item).expect("BUG: a part is closed under edges");
    let needs: Vec<Vec<usize>> = items
        .iter()
        .map(|&item| {
            let mut list: Vec<usize> = view.needs[item].iter().map(|&need| local(need)).collect();
            list.sort_unstable();
            list
        })
        .collect();
    let captions: Vec<Vec<Vec<Span>>> = items.iter().map(|&item| caption(view, item, style, ascii)).collect();
    let widths: Vec<usize> = captions
        .iter()
        .map(|lines| lines.iter().map(|line| width_of(line)).max().unwrap_or(0) + 2 * style.margin())
        .collect();
    let everything: Vec<usize> = (0..items.len()).collect();
    let mut layer = rank::assign(&needs, &everything);
    let mut graph = ordered(&needs, &widths, &layer, style);
    for _ in 0..MOST_SPLITS {
        if graph.0.layers.iter().enumerate().all(|(l, _)| graph.0.layer_width(l, style.gap()) <= width) {
            return finish(view, items, captions, graph, style, width);
        }
        if !style.wrap || !split_wide(&graph.0, &mut layer, style.gap(), width) {
            return None;
        }
        graph = ordered(&needs, &widths, &layer, style);
    }
    None
}

fn caption(view: &View, item: usize, style: Style, ascii: bool) -> Vec<Vec<Span>> {
    let mut lines = vec![view.items[item].caption(style.label, ascii)];
    if style.boxed && view.items.iter().any(|item| item.duration.is_some()) {
        let time = view.items[item].duration.map_or(String::new(), crate::text::duration);
        lines.push(vec![(time, crate::text::Tone::Dim)]);
    }
    lines
}

/// Layers with trunks, in an order with few crossings, each item wide enough for the lines that end there.
fn ordered(needs: &[Vec<usize>], widths: &[usize], layer: &[usize], style: Style) -> (Layered, usize) {
    let mut graph = Layered::new(needs, widths, layer);
    let ports = route::ports(&graph);
    for (vertex, ports) in graph.vertices.iter_mut().zip(ports) {
        if ports > 1 {
            let borders = 2 * usize::from(style.boxed && vertex.item.is_some());
            vertex.width = vertex.width.max(2 * ports - 1 + borders);
        }
    }
    let crossings = order::uncross(&mut graph);
    (graph, crossings)
}

/// Splits every layer that is too wide; `false` if one cannot be.
fn split_wide(graph: &Layered, layer: &mut [usize], gap: usize, width: usize) -> bool {
    for l in (0..graph.layers.len()).rev() {
        let columns = graph.layer_width(l, gap);
        if columns <= width {
            continue;
        }
        let row: Vec<usize> = graph.layers[l].iter().copied().filter(|&v| graph.vertices[v].item.is_some()).collect();
        let lines = columns - row.iter().map(|&v| graph.vertices[v].width + gap).sum::<usize>().min(columns);
        // Below and above the new rows run the trunks of what is split.
        let room = width.saturating_sub(lines + 4);
        if row.len() < 2 || room == 0 {
            return false;
        }
        let rows = (columns - lines).div_ceil(room).clamp(2, row.len());
        layers::split(layer, &row, rows);
    }
    true
}

fn finish(
    view: &View,
    items: &[usize],
    captions: Vec<Vec<Vec<Span>>>,
    (graph, crossings): (Layered, usize),
    style: Style,
    width: usize,
) -> Option<Sketch> {
    let left = place::place(&graph, style.gap(), width);
    let mut heavy = Vec::new();
    let mut critical = vec![false; graph.vertices.len()];
    for (v, &item) in items.iter().enumerate() {
        critical[v] = view.critical.contains(&item);
    }
    for (&(from, to), path) in &graph.paths {
        if view.is_critical(items[from], items[to]) {
            heavy.extend(path.windows(2).map(|pair| (pair[0], pair[1])));
            path.iter().for_each(|&v| critical[v] = true);
        }
    }
    let ground = Ground { graph: &graph, left: &left, margin: usize::from(style.boxed), width, heavy: &heavy };
    let depth = graph.layers.len();
    let channels: Option<Vec<Channel>> =
        (0..depth.saturating_sub(1)).map(|upper| route::route(&ground, upper)).collect();
    let channels = channels?;
    let right = left.iter().zip(&graph.vertices).map(|(&left, vertex)| left + vertex.width).max().unwrap_or(0);
    let nets = channels.iter().flat_map(|channel| &channel.nets).map(|net| net.span().1 + 1).max().unwrap_or(0);
    let width = right.max(nets);
    Some(Sketch { items: items.to_vec(), critical, crossings, width, channels, captions, left, graph })
}
