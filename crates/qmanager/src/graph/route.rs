//! The lines between two layers: which edges share a line, where it leaves and arrives, and in which row it runs.
//!
//! Edges are drawn as *nets*: a set of sources, all of which feed all of a set of targets. A reader who follows a line
//! downwards and sideways from a source therefore reaches its targets and nothing else (a test reads drawings so).

use super::layers::Layered;

/// A line with its ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Net {
    /// Columns where it leaves the layer above.
    pub(super) tops: Vec<usize>,
    /// Columns where it reaches the layer below.
    pub(super) bottoms: Vec<usize>,
    /// Top and bottom columns that the critical path connects.
    pub(super) heavy: Vec<(usize, usize)>,
    /// Where it goes on as another net, or comes from one.
    pub(super) joint: Option<Joint>,
    /// The row in which it runs sideways; none for a straight line.
    pub(super) track: Option<usize>,
}

/// Where a broken net changes its row: the upper piece runs down to the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joint {
    pub(super) column: usize,
    /// For the lower piece: the row of the upper one.
    pub(super) from: Option<usize>,
    is_upper: bool,
}

impl Net {
    /// The columns it spans.
    pub(super) fn span(&self) -> (usize, usize) {
        let joint = self.joint.map(|joint| joint.column);
        let all = || self.tops.iter().chain(&self.bottoms).copied().chain(joint);
        (all().min().unwrap_or(0), all().max().unwrap_or(0))
    }

    fn covers(&self, column: usize) -> bool {
        let (low, high) = self.span();
        (low..=high).contains(&column)
    }
}

/// The nets between two layers and how many rows they need.
#[derive(Debug, Clone, Default)]
pub(super) struct Channel {
    pub(super) nets: Vec<Net>,
    pub(super) tracks: usize,
}

/// What the router must know of a drawing.
pub(super) struct Ground<'a> {
    pub(super) graph: &'a Layered,
    /// Leftmost column of each vertex.
    pub(super) left: &'a [usize],
    /// Columns at either side of an item where no line may end.
    pub(super) margin: usize,
    /// Columns there are.
    pub(super) width: usize,
    /// Pairs of vertices that the critical path connects.
    pub(super) heavy: &'a [(usize, usize)],
}

/// The most lines that end at one side of each vertex: what it must be wide enough for.
pub(super) fn ports(graph: &Layered) -> Vec<usize> {
    let mut most = vec![0; graph.vertices.len()];
    for upper in 0..graph.layers.len().saturating_sub(1) {
        let bundles = bundle(graph, upper);
        for side in [0, 1] {
            let mut here = std::collections::HashMap::<usize, usize>::new();
            for b in &bundles {
                for &v in if side == 0 { &b.sources } else { &b.targets } {
                    *here.entry(v).or_default() += 1;
                }
            }
            here.into_iter().for_each(|(v, n)| most[v] = most[v].max(n));
        }
    }
    most
}

/// Routes between layer `upper` and the next; `None` if there is no room.
pub(super) fn route(ground: &Ground<'_>, upper: usize) -> Option<Channel> {
    let bundles = bundle(ground.graph, upper);
    let mut ends = Ends::new(ground, &bundles)?;
    ends.straighten(&bundles);
    let mut nets: Vec<Net> = Vec::with_capacity(bundles.len());
    for (n, bundle) in bundles.iter().enumerate() {
        let heavy = ground.heavy.iter().filter(|(s, t)| bundle.sources.contains(s) && bundle.targets.contains(t));
        nets.push(Net {
            heavy: heavy.map(|&(s, t)| (ends.column(0, s, n), ends.column(1, t, n))).collect(),
            tops: bundle.sources.iter().map(|&s| ends.column(0, s, n)).collect(),
            bottoms: bundle.targets.iter().map(|&t| ends.column(1, t, n)).collect(),
            joint: None,
            track: None,
        });
    }
    let tracks = assign_tracks(&mut nets, ground.width)?;
    Some(Channel { nets, tracks })
}

/// Sources that all feed the same targets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bundle {
    sources: Vec<usize>,
    targets: Vec<usize>,
}

/// Partitions the edges below a layer into few bundles.
fn bundle(graph: &Layered, upper: usize) -> Vec<Bundle> {
    let by_target = grouped(&graph.layers[upper + 1], &graph.up);
    let by_source = grouped(&graph.layers[upper], &graph.down);
    let (swap, groups) = if by_source.len() < by_target.len() { (true, by_source) } else { (false, by_target) };
    groups
        .into_iter()
        .map(|(near, far)| {
            let (sources, targets) = if swap { (near, far) } else { (far, near) };
            Bundle { sources, targets }
        })
        .collect()
}

/// Vertices with the same neighbours, and those neighbours.
fn grouped(row: &[usize], neighbours: &[Vec<usize>]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut groups: Vec<(Vec<usize>, Vec<usize>)> = Vec::new();
    for &v in row.iter().filter(|&&v| !neighbours[v].is_empty()) {
        match groups.iter_mut().find(|(_, far)| *far == neighbours[v]) {
            Some((near, _)) => near.push(v),
            None => groups.push((vec![v], neighbours[v].clone())),
        }
    }
    groups
}

/// Where a line meets a vertex.
#[derive(Debug, Clone, Copy)]
struct End {
    bundle: usize,
    column: usize,
}

/// Where lines meet the layer above (side 0) and the one below (side 1), from left to right per vertex.
struct Ends<'a> {
    ground: &'a Ground<'a>,
    sides: [std::collections::HashMap<usize, Vec<End>>; 2],
}

impl<'a> Ends<'a> {
    fn new(ground: &'a Ground<'a>, bundles: &[Bundle]) -> Option<Self> {
        let mut ends = Self { ground, sides: Default::default() };
        let middle = |v: &usize| ground.left[*v] as f64 + ground.graph.vertices[*v].width as f64 / 2.0;
        let mean = |list: &[usize]| list.iter().map(middle).sum::<f64>() / list.len() as f64;
        for (n, bundle) in bundles.iter().enumerate() {
            for (side, list) in [(0, &bundle.sources), (1, &bundle.targets)] {
                for &v in list {
                    ends.sides[side].entry(v).or_default().push(End { bundle: n, column: 0 });
                }
            }
        }
        for side in [0, 1] {
            let far =
                |end: &End| mean(if side == 0 { &bundles[end.bundle].targets } else { &bundles[end.bundle].sources });
            for (&v, list) in &mut ends.sides[side] {
                list.sort_by(|a, b| far(a).total_cmp(&far(b)));
                let (low, high) = inner(ground, v);
                let room = high.checked_sub(low)?;
                let gaps = list.len() - 1;
                if gaps > room {
                    return None;
                }
                let step = room.checked_div(gaps).unwrap_or(0).min(4);
                let first = low + (room - step * gaps) / 2;
                for (i, end) in list.iter_mut().enumerate() {
                    end.column = first + i * step;
                }
            }
        }
        Some(ends)
    }

    fn column(&self, side: usize, vertex: usize, bundle: usize) -> usize {
        self.sides[side][&vertex].iter().find(|end| end.bundle == bundle).expect("BUG: every end was made").column
    }

    fn set(&mut self, side: usize, vertex: usize, bundle: usize, column: usize) {
        let list = self.sides[side].get_mut(&vertex).expect("BUG: every end was made");
        list.iter_mut().find(|end| end.bundle == bundle).expect("BUG: every end was made").column = column;
    }

    /// The columns an end may move to without passing or touching its neighbours.
    fn range(&self, side: usize, vertex: usize, bundle: usize) -> (usize, usize) {
        let (low, high) = inner(self.ground, vertex);
        let list = &self.sides[side][&vertex];
        let at = list.iter().position(|end| end.bundle == bundle).expect("BUG: every end was made");
        let here = list[at].column;
        let low = if at > 0 { here.min(list[at - 1].column + 2) } else { low };
        let high = list.get(at + 1).map_or(high, |next| here.max(next.column.saturating_sub(2)));
        (low, high)
    }

    /// Moves ends so that lines need no bend: single edges wherever both sides allow, of a fan the one nearest.
    fn straighten(&mut self, bundles: &[Bundle]) {
        for (n, bundle) in bundles.iter().enumerate() {
            if let ([source], [target]) = (&*bundle.sources, &*bundle.targets) {
                let (a, b) = (self.range(0, *source, n), self.range(1, *target, n));
                let (low, high) = (a.0.max(b.0), a.1.min(b.1));
                if low <= high {
                    let middle = (self.column(0, *source, n) + self.column(1, *target, n)) / 2;
                    self.set(0, *source, n, middle.clamp(low, high));
                    self.set(1, *target, n, middle.clamp(low, high));
                }
                continue;
            }
            let (one, fan, side) = match (&*bundle.sources, &*bundle.targets) {
                ([source], fan) => (*source, fan, 1),
                (fan, [target]) => (*target, fan, 0),
                _ => continue,
            };
            let column = self.column(1 - side, one, n);
            let Some(&nearest) = fan.iter().min_by_key(|&&v| self.column(side, v, n).abs_diff(column)) else {
                continue;
            };
            let off = self.column(side, nearest, n).abs_diff(column);
            let (low, high) = self.range(side, nearest, n);
            if off <= 2 && (low..=high).contains(&column) {
                self.set(side, nearest, n, column);
            } else if off <= 2 {
                let (low, high) = self.range(1 - side, one, n);
                let there = self.column(side, nearest, n);
                if (low..=high).contains(&there) {
                    self.set(1 - side, one, n, there);
                }
            }
        }
    }
}

/// The columns of a vertex where lines may end.
fn inner(ground: &Ground<'_>, vertex: usize) -> (usize, usize) {
    let left = ground.left[vertex];
    let v = &ground.graph.vertices[vertex];
    let margin = if v.item.is_some() { ground.margin } else { 0 };
    (left + margin, (left + v.width).saturating_sub(1 + margin))
}

/// Chooses rows so that no two nets lie on each other: whatever comes from above in a column must run above what goes
/// on downwards in it. Nets that wait for each other in a circle are broken in two with a bend in a free column.
fn assign_tracks(nets: &mut Vec<Net>, width: usize) -> Option<usize> {
    let bends = |net: &Net| net.span().0 < net.span().1;
    let mut waiting: Vec<usize> = (0..nets.len()).filter(|&n| bends(&nets[n])).collect();
    let mut placed: Vec<usize> = Vec::new();
    let mut tracks = 0;
    while !waiting.is_empty() {
        let free = |&a: &usize| waiting.iter().all(|&b| a == b || !must_precede(&nets[b], &nets[a]));
        let cost = |&a: &usize| {
            let of_pair =
                |&b: &usize| crossings(&nets[a], &nets[b]).cast_signed() - crossings(&nets[b], &nets[a]).cast_signed();
            (waiting.iter().filter(|&&b| a != b).map(of_pair).sum::<isize>(), nets[a].span().0)
        };
        let Some(next) = waiting.iter().copied().filter(free).min_by_key(cost) else {
            // Pieces of broken nets wait for nothing in a circle: the upper follows nobody, nobody follows the lower.
            let stuck = |&&n: &&usize| {
                let others = || waiting.iter().filter(|&&other| other != n);
                let before = others().any(|&other| must_precede(&nets[other], &nets[n]));
                nets[n].joint.is_none() && before && others().any(|&other| must_precede(&nets[n], &nets[other]))
            };
            let broken = *waiting.iter().filter(stuck).min_by_key(|&&n| nets[n].tops.len() + nets[n].bottoms.len())?;
            let (upper, lower) = bend(nets, broken, width)?;
            nets[broken] = upper;
            nets.push(lower);
            waiting.push(nets.len() - 1);
            continue;
        };
        let (low, high) = nets[next].span();
        // Lines that only touch would look joined in ASCII.
        let meets = |&&p: &&usize| nets[p].span().0 <= high + 1 && low <= nets[p].span().1 + 1;
        let track = placed.iter().filter(meets).filter_map(|&p| nets[p].track).max().map_or(0, |t| t + 1);
        nets[next].track = Some(track);
        tracks = tracks.max(track + 1);
        if let Some(joint) = nets[next].joint.filter(|joint| !joint.is_upper) {
            let upper = |n: &&Net| n.joint.is_some_and(|other| other.column == joint.column && other.is_upper);
            let from = nets.iter().find(upper).and_then(|net| net.track);
            nets[next].joint = Some(Joint { from, ..joint });
        }
        waiting.retain(|&n| n != next);
        placed.push(next);
    }
    Some(tracks)
}

fn must_precede(above: &Net, below: &Net) -> bool {
    let joined = match (above.joint, below.joint) {
        (Some(a), Some(b)) => a.column == b.column && a.is_upper && !b.is_upper,
        _ => false,
    };
    joined || above.tops.iter().any(|column| below.bottoms.contains(column))
}

/// How many lines cross if the one runs above the other.
fn crossings(above: &Net, below: &Net) -> usize {
    below.tops.iter().filter(|&&c| above.covers(c)).count() + above.bottoms.iter().filter(|&&c| below.covers(c)).count()
}

/// Breaks a net in two that meet in a free column.
fn bend(nets: &[Net], broken: usize, width: usize) -> Option<(Net, Net)> {
    let net = &nets[broken];
    let (low, high) = net.span();
    let used = |column: usize| {
        let joint = |n: &Net| n.joint.is_some_and(|joint| joint.column == column);
        nets.iter().any(|n| n.tops.contains(&column) || n.bottoms.contains(&column) || joint(n))
    };
    let middle = usize::midpoint(low, high);
    let column = (0..width).filter(|&c| !used(c)).min_by_key(|&c| c.abs_diff(middle))?;
    let piece = |is_upper: bool| Net {
        tops: if is_upper { net.tops.clone() } else { Vec::new() },
        bottoms: if is_upper { Vec::new() } else { net.bottoms.clone() },
        heavy: net.heavy.iter().map(|&(t, b)| if is_upper { (t, column) } else { (column, b) }).collect(),
        joint: Some(Joint { column, from: None, is_upper }),
        track: None,
    };
    Some((piece(true), piece(false)))
}
