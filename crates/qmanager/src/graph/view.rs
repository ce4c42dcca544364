//! The graph as it is shown: fan-outs as one item, edges that follow from others left out, the critical path known.

use std::time::Duration;

use workflow_model::TaskStatus;

use super::dag::{Graph, Options};
use super::fold::folds;
use crate::text::{self, Tone};

/// Beyond so many items implied edges are drawn too: finding them takes quadratic memory.
const REDUCE_LIMIT: usize = 3000;

/// One task or one fan-out.
#[derive(Debug)]
pub(super) struct Item {
    /// The name, safe to print, whole.
    pub(super) name: String,
    /// The first task.
    pub(super) first: u32,
    /// How many tasks.
    pub(super) members: usize,
    /// Of a job: how many tasks have which status, without empty ones, worst first.
    pub(super) tally: Vec<(TaskStatus, usize)>,
    /// The longest time of a task.
    pub(super) duration: Option<Duration>,
}

/// A stretch of text in one tone.
pub(super) type Span = (String, Tone);

impl Item {
    /// The one status that stands for all tasks: the worst that has ended badly, else what is under way.
    pub(super) fn status(&self) -> Option<TaskStatus> {
        use TaskStatus::{Cancelled, Failed, Retrying, Running, Skipped, Succeeded, Waiting};
        let has = |status| self.tally.iter().any(|&(s, _)| s == status);
        let begun = has(Succeeded) && has(Waiting);
        if begun && !has(Failed) && !has(Retrying) {
            return Some(Running);
        }
        [Failed, Retrying, Running, Cancelled, Waiting, Skipped, Succeeded].into_iter().find(|&s| has(s))
    }

    /// What is written for it, in at most `max` columns: mark, name, number of tasks, how many are how.
    pub(super) fn caption(&self, max: usize, ascii: bool) -> Vec<Span> {
        let mut spans = Vec::new();
        let tone = self.status().map_or(Tone::Plain, Tone::of_task);
        if let Some(status) = self.status() {
            spans.push((format!("{} ", text::mark(status, ascii)), tone));
        }
        let mut suffix = Vec::new();
        if self.members > 1 {
            suffix.push((format!(" {}{}", if ascii { 'x' } else { '×' }, text::count(self.members)), Tone::Bold));
            if self.tally.len() > 1 {
                for &(status, count) in &self.tally {
                    suffix
                        .push((format!(" {}{}", text::count(count), text::mark(status, ascii)), Tone::of_task(status)));
                }
            }
        }
        let rest = max.saturating_sub(width_of(&spans) + width_of(&suffix));
        if rest < 4 && suffix.len() > 1 {
            suffix.truncate(1);
        }
        let rest = max.saturating_sub(width_of(&spans) + width_of(&suffix)).max(1);
        let name_tone = if tone == Tone::Good { Tone::Plain } else { tone };
        spans.push((text::cut_middle(&self.name, rest, ascii).into_owned(), name_tone));
        spans.extend(suffix);
        spans
    }
}

/// How many columns spans take.
pub(super) fn width_of(spans: &[Span]) -> usize {
    spans.iter().map(|(text, _)| text::width(text)).sum()
}

/// The items and what is drawn between them.
#[derive(Debug)]
pub(super) struct View {
    pub(super) items: Vec<Item>,
    /// What each item depends on, without what follows from others; ascending.
    pub(super) needs: Vec<Vec<usize>>,
    /// The reverse.
    pub(super) feeds: Vec<Vec<usize>>,
    /// Every item after what it depends on.
    pub(super) order: Vec<usize>,
    /// How many edges between items were left out since they follow from others.
    pub(super) implied: usize,
    /// The longest chain, if it is to be marked.
    pub(super) critical: Vec<usize>,
    /// Tasks, dependencies of the whole graph.
    pub(super) tasks: usize,
    pub(super) edges: usize,
}

impl View {
    pub(super) fn new(graph: &Graph, options: &Options) -> Self {
        let folds = folds(graph, options.fold);
        let mut item_of = vec![0; graph.nodes().len()];
        for (item, fold) in folds.iter().enumerate() {
            for &task in &fold.members {
                item_of[task as usize] = item;
            }
        }
        let mut needs: Vec<Vec<usize>> = Vec::with_capacity(folds.len());
        for fold in &folds {
            let mut list: Vec<usize> =
                graph.needs(fold.members[0] as usize).iter().map(|&need| item_of[need as usize]).collect();
            list.sort_unstable();
            list.dedup();
            needs.push(list);
        }
        let items: Vec<Item> = folds.into_iter().map(|fold| item(graph, fold.label, &fold.members, options)).collect();
        let mut seen = vec![false; items.len()];
        let mut order = graph.order().iter().map(|&task| item_of[task as usize]).collect::<Vec<_>>();
        order.retain(|&item| !std::mem::replace(&mut seen[item], true));

        let implied = if items.len() <= REDUCE_LIMIT { reduce(&mut needs, &order) } else { 0 };
        let mut feeds = vec![Vec::new(); items.len()];
        for (to, list) in needs.iter().enumerate() {
            for &from in list {
                feeds[from].push(to);
            }
        }
        let critical = if options.critical_path { longest_chain(&items, &needs, &order) } else { Vec::new() };
        Self { items, needs, feeds, order, implied, critical, tasks: graph.nodes().len(), edges: graph.edge_count() }
    }

    /// Whether the edge lies on the critical path.
    pub(super) fn is_critical(&self, from: usize, to: usize) -> bool {
        self.critical.windows(2).any(|pair| pair == [from, to])
    }

    /// How deep each item lies: 0 without dependencies, else one more than its deepest dependency.
    pub(super) fn depths(&self) -> Vec<usize> {
        let mut depths = vec![0; self.items.len()];
        for &item in &self.order {
            depths[item] = self.needs[item].iter().map(|&need| depths[need] + 1).max().unwrap_or(0);
        }
        depths
    }

    /// The critical path in words, `None` if it is not to be marked: `fetch → train (2 tasks, 12.3 s)`.
    pub(super) fn critical_text(&self, ascii: bool) -> Option<String> {
        const ENDS: usize = 6;
        if self.critical.is_empty() {
            return None;
        }
        let arrow = if ascii { " -> " } else { " → " };
        let names: Vec<&str> = self.critical.iter().map(|&item| &*self.items[item].name).collect();
        let chain = if names.len() > 2 * ENDS + 1 {
            let dots = if ascii { "..." } else { "…" };
            let (head, tail) = (names[..ENDS].join(arrow), names[names.len() - ENDS..].join(arrow));
            [&head, dots, &tail].join(arrow)
        } else {
            names.join(arrow)
        };
        let time: Duration = self.critical.iter().filter_map(|&item| self.items[item].duration).sum();
        let time = if time.is_zero() { String::new() } else { format!(", {}", text::duration(time)) };
        Some(format!("critical path: {chain} ({}{time})", text::counted(names.len(), "task")))
    }
}

fn item(graph: &Graph, label: String, members: &[u32], options: &Options) -> Item {
    let nodes = || members.iter().map(|&task| &graph.nodes()[task as usize]);
    let mut tally = Vec::new();
    for &status in TaskStatus::ALL.iter().rev() {
        let count = nodes().filter(|node| node.status == Some(status)).count();
        if count > 0 {
            tally.push((status, count));
        }
    }
    let name = if options.ascii { text::safe_ascii(&label) } else { text::safe(&label) };
    let duration = nodes().filter_map(|node| node.duration).max();
    Item { name: name.into_owned(), first: members[0], members: members.len(), tally, duration }
}

/// Removes edges that follow from others; answers how many.
fn reduce(needs: &mut [Vec<usize>], order: &[usize]) -> usize {
    let words = needs.len().div_ceil(64);
    let mut ancestors = vec![0u64; words * needs.len()];
    let mut removed = 0;
    for &item in order {
        let mut all = vec![0u64; words];
        for &need in &needs[item] {
            let of_need = &ancestors[need * words..(need + 1) * words];
            all.iter_mut().zip(of_need).for_each(|(a, b)| *a |= b);
        }
        let before = needs[item].len();
        // What is an ancestor of another dependency follows from that one.
        needs[item].retain(|&need| all[need / 64] >> (need % 64) & 1 == 0);
        removed += before - needs[item].len();
        for &need in &needs[item] {
            all[need / 64] |= 1 << (need % 64);
        }
        ancestors[item * words..(item + 1) * words].copy_from_slice(&all);
    }
    removed
}

fn longest_chain(items: &[Item], needs: &[Vec<usize>], order: &[usize]) -> Vec<usize> {
    // One microsecond each, so that of chains of equal time the longer one wins.
    let weight = |item: usize| items[item].duration.map_or(0, |d| d.as_micros()) + 1;
    let mut total = vec![0u128; items.len()];
    let mut from = vec![None; items.len()];
    for &item in order {
        from[item] = needs[item].iter().copied().max_by_key(|&need| (total[need], std::cmp::Reverse(need)));
        total[item] = weight(item) + from[item].map_or(0, |need| total[need]);
    }
    let mut chain = Vec::new();
    let mut next = (0..items.len()).max_by_key(|&item| (total[item], std::cmp::Reverse(item)));
    while let Some(item) = next {
        chain.push(item);
        next = from[item];
    }
    chain.reverse();
    chain
}
