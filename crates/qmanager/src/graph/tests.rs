//! Drawings of graphs as they occur, and: no drawing ever shows another graph than the one it was made from.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use workflow_model::TaskStatus;

use super::reader::{edges_of, nodes_of};
use super::view::View;
use super::*;
use crate::text;

/// `a b c / 0-1 1-2`: names, then edges by index.
fn graph(names: &[&str], edges: &str) -> Graph {
    let index = |text: &str| text.parse().expect("an index");
    let edges = edges.split_whitespace().map(|edge| edge.split_once('-').expect("from-to"));
    Graph::new(names.iter().map(|&name| Node::new(name)).collect(), edges.map(|(a, b)| (index(a), index(b))))
}

fn drawn(graph: &Graph) -> String {
    check(graph, &Options { fold: 0, ..Options::default() });
    check(graph, &Options { fold: 0, critical_path: true, ..Options::default() });
    draw(graph, &Options::default())
}

/// The drawing fits, and a reader finds in it every item and exactly the edges of the graph.
fn check(graph: &Graph, options: &Options) {
    let drawing = draw(graph, options);
    for line in drawing.lines() {
        assert!(text::width(line) <= options.width, "{} columns: {line}\n{drawing}", text::width(line));
    }
    let view = View::new(graph, options);
    let names: Vec<String> = view.items.iter().map(|item| item.name.clone()).collect();
    let mut expected = BTreeSet::new();
    for (to, needs) in view.needs.iter().enumerate() {
        expected.extend(needs.iter().map(|&from| (names[from].clone(), names[to].clone())));
    }
    assert_eq!(nodes_of(&drawing, &names), names.iter().cloned().collect(), "nodes of\n{drawing}");
    assert_eq!(edges_of(&drawing, &names), expected, "edges of\n{drawing}");
}

fn random(names: Vec<String>, seeds: &[(usize, usize)]) -> Graph {
    let n = names.len();
    let edges = seeds.iter().map(|&(a, b)| (a % n, b % n)).filter(|(a, b)| a != b);
    let edges: Vec<(u32, u32)> = edges.map(|(a, b)| (a.min(b) as u32, a.max(b) as u32)).collect();
    Graph::new(names.into_iter().map(Node::new).collect(), edges)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_drawing_shows_exactly_the_graph(
        lengths in prop::collection::vec(1usize..14, 1..30),
        seeds in prop::collection::vec((0usize..1000, 0usize..1000), 0..60),
        width in prop_oneof![Just(80usize), 60usize..130],
        critical_path: bool,
    ) {
        let letter = |i: usize| char::from_u32(0x61 + i as u32).expect("a letter");
        let names = lengths.iter().enumerate().map(|(i, &length)| format!("{}{}", "x".repeat(length), letter(i)));
        check(&random(names.collect(), &seeds), &Options { width, critical_path, fold: 0, ..Options::default() });
    }

    #[test]
    fn so_it_does_with_wide_names_and_little_room(
        lengths in prop::collection::vec(1usize..7, 1..30),
        seeds in prop::collection::vec((0usize..1000, 0usize..1000), 0..40),
        width in 40usize..80,
    ) {
        let letter = |i: usize| char::from_u32(0x61 + i as u32).expect("a letter");
        let names = lengths.iter().enumerate().map(|(i, &length)| format!("{}{}", "語👩‍🔬".repeat(length / 2), letter(i)));
        check(&random(names.collect(), &seeds), &Options { width, fold: 0, ..Options::default() });
    }

    #[test]
    fn any_name_in_any_form_stays_within_the_width_and_on_its_line(
        names in prop::collection::vec(any::<String>(), 1..12),
        seeds in prop::collection::vec((0usize..1000, 0usize..1000), 0..12),
        width in 20usize..90,
        ascii: bool,
    ) {
        let graph = random(names, &seeds);
        let options = Options { width, ascii, critical_path: true, ..Options::default() };
        let drawing = draw(&graph, &options);
        prop_assert!(drawing.lines().all(|line| text::width(line) <= width), "{drawing}");
        prop_assert!(!ascii || drawing.is_ascii(), "{drawing}");
        for text in [drawing, mermaid(&graph, &options), dot(&graph, &options), svg(&graph, &options)] {
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}

#[test]
fn chain() {
    insta::assert_snapshot!(drawn(&graph(&["fetch", "train", "report"], "0-1 1-2")));
}

#[test]
fn diamond() {
    insta::assert_snapshot!(drawn(&graph(&["fetch", "left side", "right", "report"], "0-1 0-2 1-3 2-3")));
}

#[test]
fn two_components_and_single_tasks() {
    let names = ["fetch", "parse", "store", "lint", "test", "publish", "clean", "notify"];
    insta::assert_snapshot!(drawn(&graph(&names, "0-1 1-2 3-5 4-5")));
}

#[test]
fn long_skip_edges_run_beside_what_they_skip() {
    let names = ["config", "fetch", "clean", "train", "evaluate", "report", "archive"];
    insta::assert_snapshot!(drawn(&graph(&names, "1-2 2-3 3-4 4-5 0-3 0-6 5-6 1-5 2-6")));
    let names = ["fetch", "unpack", "read", "scale", "predict", "model", "train", "report", "upload"];
    insta::assert_snapshot!(drawn(&graph(&names, "0-1 1-2 2-3 3-4 0-5 5-6 6-4 4-7 5-7 1-8 7-8 0-4")));
}

#[test]
fn names_of_every_kind() {
    let names = ["it's \"quoted\" <b>", "日本語のタスク", "👩‍🔬 étape 1", "-rf *", "a\x1b[31mb", "完成 & done"];
    let graph = graph(&names, "0-1 0-2 1-3 2-3 3-5 4-5");
    insta::assert_snapshot!(draw(&graph, &Options::default()));
    insta::assert_snapshot!(draw(&graph, &Options { ascii: true, ..Options::default() }));
    insta::assert_snapshot!(mermaid(&graph, &Options::default()));
    insta::assert_snapshot!(dot(&graph, &Options::default()));
}

fn fan_out(count: usize) -> Graph {
    let mut nodes = vec![Node::new("fetch")];
    nodes.extend((0..count).map(|i| Node::new(format!("resize-{i:04}"))));
    nodes.push(Node::new("montage"));
    let last = nodes.len() as u32 - 1;
    Graph::new(nodes, (1..last).flat_map(|i| [(0, i), (i, last)]))
}

#[test]
fn a_fan_out_folds_to_one_box() {
    insta::assert_snapshot!(draw(&fan_out(1000), &Options::default()));
    let mut graph = fan_out(20);
    let rows: Vec<job_queue::TaskRow> = [
        (0, TaskStatus::Succeeded, 9),
        (1, TaskStatus::Succeeded, 4),
        (2, TaskStatus::Failed, 2),
        (3, TaskStatus::Running, 0),
    ]
    .map(|(task, status, seconds)| row(task, status, seconds))
    .into();
    graph = graph.with_rows(&rows, 20_000_000);
    insta::assert_snapshot!(draw(&graph, &Options { critical_path: true, ..Options::default() }));
}

fn row(task: u32, status: TaskStatus, seconds: i64) -> job_queue::TaskRow {
    job_queue::TaskRow {
        task: workflow_model::TaskIx(task),
        status,
        attempt: workflow_model::Attempt(1),
        retries: 0,
        losses: 0,
        cause: None,
        message: None,
        code: None,
        started: Some(10_000_000),
        ended: status.is_terminal().then_some(10_000_000 + seconds * 1_000_000),
        retry_at: None,
        attempt_process: None,
        stopping: None,
    }
}

#[test]
fn a_wide_layer_wraps() {
    let animals = "cat dog mouse horse cow elephant giraffe lion tiger bear eagle shark otter seal whale";
    let mut names = vec!["download"];
    names.extend(animals.split(' '));
    names.push("montage");
    let edges: Vec<String> = (1..names.len() - 1).map(|i| format!("0-{i} {i}-{}", names.len() - 1)).collect();
    insta::assert_snapshot!(drawn(&graph(&names, &edges.join(" "))));
}

/// A compile of a small C project: 24 sources, headers, libraries, programs, tests, packages.
fn build() -> Graph {
    let mut names: Vec<String> = ["configure", "config.h", "version.h"].map(Into::into).to_vec();
    let mut edges = vec![(0, 1), (0, 2)];
    let libs = ["base", "net", "store", "ui"];
    let mut archives = Vec::new();
    for (l, lib) in libs.iter().enumerate() {
        let first = names.len();
        for part in ["alloc", "list", "hash", "file", "log", "main"] {
            edges.push((1, names.len()));
            names.push(format!("{lib}/{part}.o"));
        }
        edges.push((2, names.len() - 1));
        archives.push(names.len());
        edges.extend((first..names.len()).map(|object| (object, first + 6)));
        names.push(format!("lib{lib}.a"));
        if l > 0 {
            edges.push((archives[l - 1], names.len() - 1));
        }
    }
    for (program, lib) in [("server", 2), ("client", 3), ("admin", 3)] {
        edges.push((archives[lib], names.len()));
        names.push(program.to_owned());
        for test in ["unit", "load"] {
            edges.push((names.len() - if test == "unit" { 1 } else { 2 }, names.len()));
            names.push(format!("{program} {test} test"));
        }
    }
    let tests: Vec<usize> = (0..names.len()).filter(|&i| names[i].ends_with("test")).collect();
    edges.extend(tests.iter().map(|&test| (test, names.len())));
    names.push("package".into());
    for kind in ["deb", "rpm", "container image", "source archive"] {
        edges.push((names.len() - 1 - usize::from(kind != "deb") * (names.len() - 1 - tests[5] - 1), names.len()));
        names.push(kind.into());
    }
    Graph::new(names.into_iter().map(Node::new).collect(), edges.into_iter().map(|(a, b)| (a as u32, b as u32)))
}

#[test]
fn a_build_of_some_fifty_tasks() {
    let graph = build();
    insta::assert_snapshot!(drawn(&graph));
}

/// Layers of tasks, each of which depends on three of the layer before.
fn layered(layers: usize, width: usize) -> Graph {
    let nodes = (0..layers * width).map(|i| Node::new(format!("task {} of layer {}", i % width, i / width))).collect();
    let edges = (width..layers * width).flat_map(|i| {
        [3, 7, 31].map(|k| (i / width - 1) * width + (i * k + k) % width).map(|from| (from as u32, i as u32))
    });
    Graph::new(nodes, edges)
}

#[test]
fn what_cannot_be_drawn_is_listed() {
    insta::assert_snapshot!(drawn(&layered(5, 12)));
}

#[test]
fn huge_graphs_are_summed_up() {
    insta::assert_snapshot!(draw(&layered(40, 1000), &Options { critical_path: true, ..Options::default() }));
    let jobs = layered(3, 400).with_rows(&[row(1, TaskStatus::Succeeded, 1), row(2, TaskStatus::Failed, 1)], 0);
    insta::assert_snapshot!(draw(&jobs, &Options::default()));
}

#[test]
fn one_line_of_ten_thousand_tasks_is_bounded() {
    let nodes = (0..10_000).map(|i| Node::new(format!("{i}"))).collect();
    let graph = Graph::new(nodes, (1..10_000).map(|i| (i - 1, i)));
    let drawing = draw(&graph, &Options { critical_path: true, ..Options::default() });
    assert!(drawing.lines().count() < 60, "{drawing}");
}

#[test]
fn colours_end_on_their_line() {
    let graph = fan_out(3).with_rows(&[row(0, TaskStatus::Succeeded, 61), row(1, TaskStatus::Failed, 1)], 0);
    let drawing = draw(&graph, &Options { color: true, ..Options::default() });
    assert!(drawing.contains("\x1b[32m✓ \x1b[0m"), "{drawing}");
    for line in drawing.lines() {
        let on = line.matches("\x1b[").count() - line.matches("\x1b[0m").count();
        assert!(on == 0 || line.ends_with("\x1b[0m"), "{line:?}");
    }
}

#[test]
fn pictures_for_pages() {
    let graph = graph(&["fetch", "a_b*c", "report"], "0-1 1-2 0-2").with_rows(&[row(0, TaskStatus::Succeeded, 3)], 0);
    let options = Options { critical_path: true, ..Options::default() };
    insta::assert_snapshot!(mermaid(&graph, &options));
    insta::assert_snapshot!(svg(&graph, &options));
}

#[test]
fn empty_and_single() {
    assert_eq!(draw(&Graph::default(), &Options::default()), "\n0 tasks, 0 dependencies, 0 layers deep\n");
    insta::assert_snapshot!(drawn(&graph(&["alone"], "")));
    let time =
        Node { status: Some(TaskStatus::Succeeded), duration: Some(Duration::from_secs(75)), ..Node::new("alone") };
    insta::assert_snapshot!(draw(&Graph::new(vec![time], []), &Options::default()));
}
