//! Which layer each item is drawn in, and the trunks that carry edges through the layers between.
//!
//! A long edge passes the layers between its ends as a *trunk*: a vertical line that all long edges of one source (or
//! into one target) share. Trunks keep the picture narrow and, since each belongs to one end only, unambiguous.

use std::collections::HashMap;

use super::place::space;

/// Something that takes columns in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vertex {
    pub(super) layer: usize,
    /// The item; a piece of a trunk has none.
    pub(super) item: Option<usize>,
    /// Columns.
    pub(super) width: usize,
}

/// A graph whose edges lead from each layer to the next only.
#[derive(Debug, Clone)]
pub(super) struct Layered {
    /// The items come first, in their order; then pieces of trunks.
    pub(super) vertices: Vec<Vertex>,
    /// The vertices of each layer, from left to right.
    pub(super) layers: Vec<Vec<usize>>,
    pub(super) down: Vec<Vec<usize>>,
    pub(super) up: Vec<Vec<usize>>,
    /// For each edge between items, the vertices from one to the other.
    pub(super) paths: HashMap<(usize, usize), Vec<usize>>,
}

impl Layered {
    /// Builds trunks for items in given layers (0 on top).
    pub(super) fn new(needs: &[Vec<usize>], widths: &[usize], layer: &[usize]) -> Self {
        let depth = layer.iter().max().map_or(0, |&l| l + 1);
        let mut vertices: Vec<Vertex> = Vec::with_capacity(needs.len());
        for (item, &width) in widths.iter().enumerate() {
            vertices.push(Vertex { layer: layer[item], item: Some(item), width });
        }
        let mut build = Builder { vertices, trunks: HashMap::new(), edges: Vec::new() };
        let long = |from: usize, to: usize| layer[to] - layer[from] > 1;
        let mut long_out = vec![0usize; needs.len()];
        for (to, list) in needs.iter().enumerate() {
            list.iter().filter(|&&from| long(from, to)).for_each(|&from| long_out[from] += 1);
        }
        let mut paths = HashMap::new();
        for (to, list) in needs.iter().enumerate() {
            let long_in = list.iter().filter(|&&from| long(from, to)).count();
            for &from in list {
                let end = if long_in > long_out[from] { End::Target(to) } else { End::Source(from) };
                let mut path = vec![from];
                path.extend((layer[from] + 1..layer[to]).map(|at| build.piece(end, at)));
                path.push(to);
                build.edges.extend(path.windows(2).map(|pair| (pair[0], pair[1])));
                paths.insert((from, to), path);
            }
        }
        build.finish(depth, paths)
    }

    /// How many columns a layer takes, with `gap` columns between its vertices.
    pub(super) fn layer_width(&self, layer: usize, gap: usize) -> usize {
        let row = &self.layers[layer];
        let spaces = row.windows(2).map(|pair| space(&self.vertices[pair[0]], &self.vertices[pair[1]], gap));
        row.iter().map(|&v| self.vertices[v].width).sum::<usize>() + spaces.sum::<usize>()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum End {
    Source(usize),
    Target(usize),
}

struct Builder {
    vertices: Vec<Vertex>,
    trunks: HashMap<(End, usize), usize>,
    edges: Vec<(usize, usize)>,
}

impl Builder {
    /// The piece of an end's trunk in a layer.
    fn piece(&mut self, end: End, layer: usize) -> usize {
        *self.trunks.entry((end, layer)).or_insert_with(|| {
            self.vertices.push(Vertex { layer, item: None, width: 1 });
            self.vertices.len() - 1
        })
    }

    fn finish(mut self, depth: usize, paths: HashMap<(usize, usize), Vec<usize>>) -> Layered {
        self.edges.sort_unstable();
        self.edges.dedup();
        let mut down = vec![Vec::new(); self.vertices.len()];
        let mut up = vec![Vec::new(); self.vertices.len()];
        for (from, to) in self.edges {
            down[from].push(to);
            up[to].push(from);
        }
        let mut layers = vec![Vec::new(); depth];
        for (v, vertex) in self.vertices.iter().enumerate() {
            layers[vertex.layer].push(v);
        }
        Layered { vertices: self.vertices, layers, down, up, paths }
    }
}

/// Spreads the items of a layer, in their present order, over `rows` layers; everything below moves down.
pub(super) fn split(layer: &mut [usize], items: &[usize], rows: usize) {
    let Some(&first) = items.first() else { return };
    let at = layer[first];
    for l in layer.iter_mut().filter(|l| **l > at) {
        *l += rows - 1;
    }
    for (i, &item) in items.iter().enumerate() {
        layer[item] = at + i * rows / items.len();
    }
}
