//! Which layer each item goes to, so that the edges are as short as can be in sum: network simplex, after Gansner,
//! Koutsofios, North and Vo, "A technique for drawing directed graphs" (1993).

/// Layers from 0 for a connected part. `needs` is free of cycles and `order` is topological.
pub(super) fn assign(needs: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    let mut simplex = Simplex::new(needs, order);
    simplex.tighten();
    // Each exchange shortens the sum, or leaves it; the bound ends what would go on exchanging for nothing.
    for _ in 0..4 * needs.len() {
        let Some((leave, enter)) = simplex.exchange() else { break };
        simplex.tree[leave] = enter;
        simplex.settle();
    }
    let top = simplex.rank.iter().min().copied().unwrap_or(0);
    simplex.rank.iter().map(|&rank| (rank - top).unsigned_abs()).collect()
}

struct Simplex {
    edges: Vec<(usize, usize)>,
    rank: Vec<isize>,
    /// Edges that form a spanning tree in which each is as short as it can be.
    tree: Vec<usize>,
}

impl Simplex {
    fn new(needs: &[Vec<usize>], order: &[usize]) -> Self {
        let mut rank = vec![0isize; needs.len()];
        for &item in order {
            rank[item] = needs[item].iter().map(|&need| rank[need] + 1).max().unwrap_or(0);
        }
        let edges = needs.iter().enumerate().flat_map(|(to, list)| list.iter().map(move |&from| (from, to))).collect();
        Self { edges, rank, tree: Vec::new() }
    }

    /// How much longer an edge is than it must be.
    fn slack(&self, edge: usize) -> isize {
        let (from, to) = self.edges[edge];
        self.rank[to] - self.rank[from] - 1
    }

    /// Grows a tree of tight edges over all items, by moving what it has so far to the nearest item outside.
    fn tighten(&mut self) {
        let mut inside = vec![false; self.rank.len()];
        if let Some(first) = inside.first_mut() {
            *first = true;
        }
        loop {
            let leaving = (0..self.edges.len()).filter(|&e| inside[self.edges[e].0] != inside[self.edges[e].1]);
            let Some(edge) = leaving.min_by_key(|&e| self.slack(e)) else { break };
            let (from, to) = self.edges[edge];
            let shift = if inside[from] { self.slack(edge) } else { -self.slack(edge) };
            for (rank, _) in self.rank.iter_mut().zip(&inside).filter(|(_, inside)| **inside) {
                *rank += shift;
            }
            (inside[from], inside[to]) = (true, true);
            self.tree.push(edge);
        }
    }

    /// A place in the tree whose edge makes the sum longer than need be, and the edge to put there instead.
    fn exchange(&self) -> Option<(usize, usize)> {
        (0..self.tree.len()).find_map(|place| {
            let tail = self.side(place);
            let crosses = |&e: &usize| tail[self.edges[e].0] != tail[self.edges[e].1];
            let along = |e: usize| tail[self.edges[e].0];
            let crossing = || (0..self.edges.len()).filter(crosses);
            let cut: isize = crossing().map(|e| if along(e) { 1 } else { -1 }).sum();
            if cut >= 0 {
                return None;
            }
            let enter = crossing().filter(|&e| !along(e)).min_by_key(|&e| self.slack(e))?;
            Some((place, enter))
        })
    }

    /// Which items hang together with the tail of a tree edge when that edge is taken away.
    fn side(&self, place: usize) -> Vec<bool> {
        let near = self.neighbours(Some(place));
        let mut tail = vec![false; self.rank.len()];
        let mut stack = vec![self.edges[self.tree[place]].0];
        while let Some(item) = stack.pop() {
            if !std::mem::replace(&mut tail[item], true) {
                stack.extend(near[item].iter().map(|&(other, _)| other).filter(|&other| !tail[other]));
            }
        }
        tail
    }

    /// Ranks anew from the tree.
    fn settle(&mut self) {
        let near = self.neighbours(None);
        let mut seen = vec![false; self.rank.len()];
        let mut stack = vec![0];
        while let Some(item) = stack.pop() {
            seen[item] = true;
            for &(other, step) in &near[item] {
                if !seen[other] {
                    self.rank[other] = self.rank[item] + step;
                    stack.push(other);
                }
            }
        }
    }

    /// For each item, its neighbours in the tree and whether they are one layer below or above.
    fn neighbours(&self, without: Option<usize>) -> Vec<Vec<(usize, isize)>> {
        let mut near = vec![Vec::new(); self.rank.len()];
        for (place, &edge) in self.tree.iter().enumerate() {
            if Some(place) != without {
                let (from, to) = self.edges[edge];
                near[from].push((to, 1));
                near[to].push((from, -1));
            }
        }
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(n: usize, edges: &[(usize, usize)]) -> Vec<usize> {
        let mut needs = vec![Vec::new(); n];
        edges.iter().for_each(|&(from, to)| needs[to].push(from));
        assign(&needs, &(0..n).collect::<Vec<_>>())
    }

    #[test]
    fn sources_stand_right_above_what_needs_them() {
        // A chain of five, and a chain of two that joins at its end.
        assert_eq!(layers(7, &[(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 4)]), [0, 1, 2, 3, 4, 2, 3]);
    }

    #[test]
    fn a_whole_part_moves_where_single_items_could_not() {
        // 4 -> 5 -> 6 hangs below 0 only; each alone would gain nothing by moving.
        assert_eq!(layers(7, &[(0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (4, 6)]), [0, 1, 2, 3, 1, 2, 2]);
    }
}
