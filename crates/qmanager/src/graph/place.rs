//! Columns for the vertices: each near the middle of its neighbours, none overlapping, all within the width.

use super::layers::{Layered, Vertex};

const ROUNDS: usize = 24;

/// The leftmost column of each vertex. Every layer must fit into `width` with `gap` columns between vertices.
pub(super) fn place(graph: &Layered, gap: usize, width: usize) -> Vec<usize> {
    let mut centers = vec![0.0; graph.vertices.len()];
    let mut left = vec![0usize; graph.vertices.len()];
    for row in 0..graph.layers.len() {
        settle_row(graph, row, gap, width, &mut Columns { centers: &mut centers, left: &mut left }, Near::None);
    }
    for round in 0..ROUNDS {
        let near = if round + 3 >= ROUNDS {
            Near::Both
        } else if round % 2 == 0 {
            Near::Up
        } else {
            Near::Down
        };
        let depth = graph.layers.len();
        for step in 0..depth {
            let row = if matches!(near, Near::Down) { depth - 1 - step } else { step };
            settle_row(graph, row, gap, width, &mut Columns { centers: &mut centers, left: &mut left }, near);
        }
    }
    straighten_trunks(graph, gap, width, &mut left);
    let first = left.iter().copied().min().unwrap_or(0);
    left.iter_mut().for_each(|column| *column -= first);
    left
}

/// How many columns there are between two neighbours: lines need less than texts.
pub(super) fn space(a: &Vertex, b: &Vertex, gap: usize) -> usize {
    if a.item.is_none() && b.item.is_none() { 1 } else { gap }
}

/// The best non-decreasing sequence within `0..=most` for wished values with weights: least squares, by pooling
/// adjacent violators.
pub(super) fn isotonic(wishes: &[(f64, f64)], most: usize) -> Vec<usize> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::with_capacity(wishes.len());
    for &(wish, weight) in wishes {
        let mut pool = (wish, weight, 1);
        while let Some(&(mean, mass, size)) = pools.last() {
            if mean <= pool.0 {
                break;
            }
            pools.pop();
            pool = ((mean * mass + pool.0 * pool.1) / (mass + pool.1), mass + pool.1, size + pool.2);
        }
        pools.push(pool);
    }
    let mut values = Vec::with_capacity(wishes.len());
    for (mean, _, size) in pools {
        let value = mean.round().clamp(0.0, most as f64);
        values.extend(std::iter::repeat_n(value as usize, size));
    }
    values
}

#[derive(Debug, Clone, Copy)]
enum Near {
    None,
    Up,
    Down,
    Both,
}

struct Columns<'a> {
    centers: &'a mut [f64],
    left: &'a mut [usize],
}

fn settle_row(graph: &Layered, row: usize, gap: usize, width: usize, columns: &mut Columns<'_>, near: Near) {
    let row = &graph.layers[row];
    let mut offset = 0;
    let mut offsets = Vec::with_capacity(row.len());
    for (i, &v) in row.iter().enumerate() {
        if i > 0 {
            offset += space(&graph.vertices[row[i - 1]], &graph.vertices[v], gap);
        }
        offsets.push(offset);
        offset += graph.vertices[v].width;
    }
    let slack = width.saturating_sub(offset);
    let half = |v: usize| (graph.vertices[v].width as f64 - 1.0) / 2.0;
    let wishes: Vec<(f64, f64)> = row
        .iter()
        .zip(&offsets)
        .map(|(&v, &offset)| match wish(graph, v, columns.centers, near) {
            Some((center, weight)) => (center - half(v) - offset as f64, weight),
            None if matches!(near, Near::None) => (slack as f64 / 2.0, 1.0),
            None => (columns.centers[v] - half(v) - offset as f64, 0.05),
        })
        .collect();
    for ((&v, &offset), y) in row.iter().zip(&offsets).zip(isotonic(&wishes, slack)) {
        columns.left[v] = y + offset;
        columns.centers[v] = columns.left[v] as f64 + half(v);
    }
}

/// Moves pieces of trunks below (then above) their neighbours in the trunk where their rows have room for it.
fn straighten_trunks(graph: &Layered, gap: usize, width: usize, left: &mut [usize]) {
    let depth = graph.layers.len();
    for step in 0..2 * depth {
        let (row, near) = if step < depth { (step, &graph.up) } else { (2 * depth - 1 - step, &graph.down) };
        let row = &graph.layers[row];
        for (i, &v) in row.iter().enumerate() {
            let piece = |w: usize| graph.vertices[w].item.is_none() && graph.vertices[w].width == 1;
            let [next] = near[v][..] else { continue };
            if !piece(v) || !piece(next) {
                continue;
            }
            let edge = |w: usize| left[w] + graph.vertices[w].width;
            let low =
                if i > 0 { edge(row[i - 1]) + space(&graph.vertices[row[i - 1]], &graph.vertices[v], gap) } else { 0 };
            let high = row
                .get(i + 1)
                .map_or(width, |&w| left[w].saturating_sub(space(&graph.vertices[v], &graph.vertices[w], gap)));
            left[v] = left[next].clamp(low, high.saturating_sub(1).max(low));
        }
    }
}

/// Where a vertex would like its center, and how much; `None` if it has no neighbours there.
fn wish(graph: &Layered, v: usize, centers: &[f64], near: Near) -> Option<(f64, f64)> {
    let (up, down): (&[usize], &[usize]) = match near {
        Near::None => return None,
        Near::Up => (&graph.up[v], &[]),
        Near::Down => (&[], &graph.down[v]),
        Near::Both => (&graph.up[v], &graph.down[v]),
    };
    let (mut sum, mut weight) = (0.0, 0.0);
    for &w in up.iter().chain(down) {
        // A trunk should run straight.
        let pull = match (graph.vertices[v].item, graph.vertices[w].item) {
            (None, None) => 8.0,
            (Some(_), Some(_)) => 1.0,
            _ => 2.0,
        };
        sum += pull * centers[w];
        weight += pull;
    }
    (weight > 0.0).then(|| (sum / weight, weight))
}
