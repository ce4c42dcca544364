//! The order of the vertices within each layer: few crossings, by barycenter sweeps and swaps of neighbours.

use super::layers::Layered;

/// Sweeps without gain after which it ends.
const PATIENCE: usize = 4;
const MOST_SWEEPS: usize = 24;

/// Orders the layers; answers the number of crossings that remain.
pub(super) fn uncross(graph: &mut Layered) -> usize {
    let mut best = (usize::MAX, graph.layers.clone());
    for start in [depth_first(graph), graph.layers.clone()] {
        graph.layers = start;
        let mut stale = 0;
        for sweep in 0..MOST_SWEEPS {
            sweep_once(graph, sweep % 2 == 0);
            swap_neighbours(graph);
            let crossings = count(graph);
            if crossings < best.0 {
                best = (crossings, graph.layers.clone());
                stale = 0;
            } else {
                stale += 1;
            }
            if crossings == 0 || stale == PATIENCE {
                break;
            }
        }
        if best.0 == 0 {
            break;
        }
    }
    graph.layers = best.1;
    best.0
}

/// A start that keeps what hangs together together.
fn depth_first(graph: &Layered) -> Vec<Vec<usize>> {
    let mut layers = vec![Vec::new(); graph.layers.len()];
    let mut seen = vec![false; graph.vertices.len()];
    let mut stack: Vec<usize> = Vec::new();
    for root in graph.layers.iter().flatten() {
        stack.push(*root);
        while let Some(v) = stack.pop() {
            if std::mem::replace(&mut seen[v], true) {
                continue;
            }
            layers[graph.vertices[v].layer].push(v);
            stack.extend(graph.down[v].iter().rev().filter(|&&w| !seen[w]));
        }
    }
    layers
}

fn sweep_once(graph: &mut Layered, downwards: bool) {
    let mut place = places(graph);
    let depth = graph.layers.len();
    let rows: Vec<usize> = if downwards { (1..depth).collect() } else { (0..depth.saturating_sub(1)).rev().collect() };
    for row in rows {
        let near = if downwards { &graph.up } else { &graph.down };
        let key = |v: usize| {
            let list = &near[v];
            if list.is_empty() {
                return place[v];
            }
            list.iter().map(|&w| place[w]).sum::<f64>() / list.len() as f64
        };
        let mut keyed: Vec<(f64, usize)> = graph.layers[row].iter().map(|&v| (key(v), v)).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        graph.layers[row] = keyed.into_iter().map(|(_, v)| v).collect();
        number(&graph.layers[row], &mut place);
    }
}

/// Where each vertex stands in its layer, from 0 to 1.
fn places(graph: &Layered) -> Vec<f64> {
    let mut place = vec![0.0; graph.vertices.len()];
    for row in &graph.layers {
        number(row, &mut place);
    }
    place
}

fn number(row: &[usize], place: &mut [f64]) {
    for (i, &v) in row.iter().enumerate() {
        place[v] = (i as f64 + 0.5) / row.len() as f64;
    }
}

fn swap_neighbours(graph: &mut Layered) {
    let mut rank = ranks(graph);
    for row in 0..graph.layers.len() {
        for i in 1..graph.layers[row].len() {
            let (a, b) = (graph.layers[row][i - 1], graph.layers[row][i]);
            let both = |x: usize, y: usize| {
                inversions(&graph.up[x], &graph.up[y], &rank) + inversions(&graph.down[x], &graph.down[y], &rank)
            };
            if both(b, a) < both(a, b) {
                graph.layers[row].swap(i - 1, i);
                rank.swap(a, b);
            }
        }
    }
}

/// Crossings between the edges of a vertex and those of one to its right.
fn inversions(left: &[usize], right: &[usize], rank: &[usize]) -> usize {
    left.iter().map(|&l| right.iter().filter(|&&r| rank[r] < rank[l]).count()).sum()
}

fn ranks(graph: &Layered) -> Vec<usize> {
    let mut rank = vec![0; graph.vertices.len()];
    for row in &graph.layers {
        for (i, &v) in row.iter().enumerate() {
            rank[v] = i;
        }
    }
    rank
}

fn count(graph: &Layered) -> usize {
    let rank = ranks(graph);
    let mut crossings = 0;
    for row in &graph.layers {
        for (i, &a) in row.iter().enumerate() {
            crossings += row[i + 1..].iter().map(|&b| inversions(&graph.down[a], &graph.down[b], &rank)).sum::<usize>();
        }
    }
    crossings
}
