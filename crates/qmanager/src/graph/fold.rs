//! Fan-outs: tasks with equal dependencies and dependents whose names differ in one run of digits, or of one `group`
//! (design.md §10). They are shown as one row or box: `resize ×1000`.

use std::collections::HashMap;

use super::dag::Graph;

/// Tasks that are shown as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fold {
    /// The name of the whole, without the number of members: `resize`, `lib/x*.o`, or the group's.
    pub(crate) label: String,
    /// The tasks, ascending; one for a task that stands alone.
    pub(crate) members: Vec<u32>,
}

/// Partitions the tasks, in the order of their first members. Fan-outs have at least `least` members (0 = none fold).
pub(crate) fn folds(graph: &Graph, least: usize) -> Vec<Fold> {
    let alone = |task: u32| Fold { label: graph.nodes()[task as usize].label.clone(), members: vec![task] };
    let tasks = 0..u32::try_from(graph.nodes().len()).unwrap_or(u32::MAX);
    if least == 0 {
        return tasks.map(alone).collect();
    }
    let mut folds = Vec::new();
    let mut taken = vec![false; graph.nodes().len()];
    for alike in alike(graph) {
        if alike.len() >= least.max(2) {
            for fold in families(graph, &alike, least.max(2)) {
                for &task in &fold.members {
                    taken[task as usize] = true;
                }
                folds.push(fold);
            }
        }
    }
    folds.extend(tasks.filter(|&task| !taken[task as usize]).map(alone));
    folds.sort_by_key(|fold| fold.members[0]);
    folds
}

/// Sets of tasks with equal dependencies and dependents.
fn alike(graph: &Graph) -> Vec<Vec<u32>> {
    let dependents = graph.dependents();
    let mut sets: HashMap<(&[u32], &[u32]), Vec<u32>> = HashMap::new();
    for (task, after) in (0u32..).zip(&dependents) {
        sets.entry((graph.needs(task as usize), after)).or_default().push(task);
    }
    sets.into_values().collect()
}

/// Within tasks that are alike: those of one group, then those whose names differ in one run of digits.
fn families(graph: &Graph, tasks: &[u32], least: usize) -> Vec<Fold> {
    let mut found = Vec::new();
    let mut rest = Vec::new();
    let mut groups: HashMap<&str, Vec<u32>> = HashMap::new();
    for &task in tasks {
        match &graph.nodes()[task as usize].group {
            Some(group) => groups.entry(group).or_default().push(task),
            None => rest.push(task),
        }
    }
    for (group, members) in groups {
        if members.len() >= least {
            found.push(Fold { label: group.to_owned(), members });
        } else {
            rest.extend(members);
        }
    }
    rest.sort_unstable();
    found.extend(numbered(graph, &rest, least));
    found
}

/// A name with one run of digits taken out: what stands before and after it.
type Pattern<'a> = (&'a str, &'a str);

fn numbered(graph: &Graph, tasks: &[u32], least: usize) -> Vec<Fold> {
    let mut sizes: HashMap<Pattern<'_>, usize> = HashMap::new();
    for &task in tasks {
        for pattern in patterns(&graph.nodes()[task as usize].label) {
            *sizes.entry(pattern).or_default() += 1;
        }
    }
    // A name with several numbers belongs to its largest family, of equal ones to that of its last number.
    let mut families: HashMap<Pattern<'_>, Vec<u32>> = HashMap::new();
    for &task in tasks {
        let best = patterns(&graph.nodes()[task as usize].label).max_by_key(|pattern| sizes[pattern]);
        if let Some(pattern) = best {
            families.entry(pattern).or_default().push(task);
        }
    }
    families
        .into_iter()
        .filter(|(_, members)| members.len() >= least)
        .map(|(pattern, members)| Fold { label: family_name(pattern), members })
        .collect()
}

fn patterns(name: &str) -> impl Iterator<Item = Pattern<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + name[from..].find(|c: char| c.is_ascii_digit())?;
        let end = name[start..].find(|c: char| !c.is_ascii_digit()).map_or(name.len(), |at| start + at);
        from = end;
        Some((&name[..start], &name[end..]))
    })
}

/// `resize-` + nothing is `resize`; a number elsewhere shows as `*`.
fn family_name((before, after): Pattern<'_>) -> String {
    let stem = before.trim_end_matches(['-', '_', '.', '#', ':', '/', ' ', '=']);
    if after.is_empty() && !stem.is_empty() { stem.to_owned() } else { format!("{before}*{after}") }
}

#[cfg(test)]
mod tests {
    use super::super::dag::Node;
    use super::*;

    fn fold(names: &[&str], edges: &[(u32, u32)], least: usize) -> String {
        let nodes = names.iter().map(|&name| Node::new(name)).collect();
        let folds = folds(&Graph::new(nodes, edges.iter().copied()), least);
        folds.iter().map(|f| format!("{} {:?}", f.label, f.members)).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn numbered_tasks_with_equal_neighbours_fold() {
        let edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)];
        assert_eq!(fold(&["get", "x-1", "x-2", "x-10", "end"], &edges, 3), "get [0]; x [1, 2, 3]; end [4]");
        assert_eq!(fold(&["get", "x-1", "x-2", "y-3", "end"], &edges, 2), "get [0]; x [1, 2]; y-3 [3]; end [4]");
        assert_eq!(
            fold(&["get", "x-1", "x-2", "x-10", "end"], &edges[..5], 3),
            "get [0]; x-1 [1]; x-2 [2]; x-10 [3]; end [4]"
        );
    }

    #[test]
    fn of_several_numbers_the_one_that_differs_counts() {
        assert_eq!(fold(&["s3-a1.o", "s3-a2.o", "s3-a3.o"], &[], 3), "s3-a*.o [0, 1, 2]");
        assert_eq!(fold(&["7", "8", "9"], &[], 3), "* [0, 1, 2]");
        assert_eq!(fold(&["étape 1", "étape 2"], &[], 2), "étape [0, 1]");
    }

    #[test]
    fn groups_fold_whatever_the_names() {
        let mut nodes = ["cat.jpg", "dog.jpg", "x1"].map(Node::new).to_vec();
        nodes[0].group = Some("resize".into());
        nodes[1].group = Some("resize".into());
        let folds = folds(&Graph::new(nodes, []), 2);
        assert_eq!(folds[0], Fold { label: "resize".into(), members: vec![0, 1] });
    }

    #[test]
    fn cycles_and_edges_to_nowhere_are_left_out() {
        let graph = Graph::new(["a", "b", "c"].map(Node::new).to_vec(), [(0, 1), (1, 2), (2, 0), (1, 1), (7, 0)]);
        assert_eq!(graph.edge_count(), 2);
        assert_eq!(graph.order().len(), 3);
    }
}
