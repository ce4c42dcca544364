//! Progress and summaries as they look, and what they must never do: tell a task twice, print raw control characters,
//! outgrow the terminal, slow down with the size of a job.

use job_queue::{Counts, JobRow, Micros, TaskRow};
use proptest::prelude::*;
use workflow_model::{Attempt, Cause, Epoch, JobId, JobStatus, QueueName, TaskIx, TaskStatus};

use super::*;
use crate::graph::{Graph, Node};
use crate::text;

const SECOND: Micros = 1_000_000;

fn graph() -> Graph {
    let mut nodes: Vec<Node> = ["fetch", "it's \x1b[31m-\"x\"", "flaky"].map(Node::new).into();
    nodes.extend((0..120).map(|i| Node::new(format!("resize-{i}"))));
    nodes.push(Node::new("montage"));
    let last = nodes.len() as u32 - 1;
    Graph::new(nodes, (3..last).flat_map(|i| [(0, i), (i, last)]).chain([(0, 1), (0, 2)]))
}

fn row(task: u32, status: TaskStatus, attempt: u32, started: Micros, ended: Option<Micros>) -> TaskRow {
    let bad = status == TaskStatus::Failed || status == TaskStatus::Retrying;
    TaskRow {
        task: TaskIx(task),
        status,
        attempt: Attempt(attempt),
        retries: attempt.saturating_sub(1),
        losses: 0,
        cause: bad.then_some(Cause::UserExit),
        message: (status == TaskStatus::Failed).then(|| format!("task {task} of job x: exit code 3")),
        code: bad.then_some(3),
        started: (attempt > 0).then_some(started),
        ended,
        retry_at: (status == TaskStatus::Retrying).then_some(started + 4 * SECOND),
        attempt_process: None,
        stopping: None,
    }
}

fn job(status: JobStatus) -> JobRow {
    JobRow {
        id: "01890a5d-ac96-774b-bcce-b302099a8057".parse::<JobId>().expect("an id"),
        queue: QueueName::default(),
        name: None,
        status,
        cause: None,
        message: None,
        labels: Default::default(),
        key: None,
        limit_key: None,
        priority: 0,
        run_at: None,
        submitter: String::new(),
        hash: String::new(),
        tasks: 124,
        counts: Counts::default(),
        created: 0,
        started: Some(0),
        ended: Some(12_345_678),
        round: 1,
        epoch: Epoch(1),
        owner: None,
        lease_until: None,
        cancel: None,
        store: None,
    }
}

/// What happened, with its time.
fn history() -> Vec<(Micros, TaskRow)> {
    use TaskStatus::{Failed, Retrying, Running, Skipped, Succeeded};
    let mut history = vec![
        (0, row(0, Running, 1, 0, None)),
        (SECOND, row(0, Succeeded, 1, 0, Some(SECOND))),
        (SECOND, row(1, Running, 1, SECOND, None)),
        (SECOND, row(2, Running, 1, SECOND, None)),
        (2 * SECOND, row(2, Retrying, 1, SECOND, Some(2 * SECOND))),
    ];
    for task in 3..=60 {
        let status = if task % 25 == 0 { Failed } else { Succeeded };
        let at = 2 * SECOND + Micros::from(task) * 10_000;
        history.push((at, row(task, Running, 1, at, None)));
        history.push((at + SECOND, row(task, status, 1, at, Some(at + SECOND))));
    }
    history.push((4 * SECOND, row(61, Running, 1, 4 * SECOND, None)));
    history.push((5 * SECOND, row(2, Running, 2, 5 * SECOND, None)));
    history.push((6 * SECOND, row(1, Failed, 1, SECOND, Some(6 * SECOND))));
    history.push((6 * SECOND, row(123, Skipped, 0, 0, None)));
    history
}

fn options(live: bool) -> Options {
    Options { live, job: Some(job(JobStatus::Running).id), parallel: Some(8), ..Options::default() }
}

/// The frame without what moves the cursor.
fn screen(frame: &str) -> String {
    frame.replace("\x1b[K\r\n", "\n").replace("\x1b[J", "")
}

#[test]
fn live_shows_every_row_that_fits() {
    let mut progress = Progress::new(&graph(), options(true));
    for (now, row) in history() {
        progress.update(&row, now);
    }
    let frame = progress.render(7 * SECOND).expect("something to show");
    insta::assert_snapshot!(screen(&frame));
    assert_eq!(progress.render(7 * SECOND), None, "nothing changed");
    progress.note("a note\x1b[2J");
    let frame = progress.render(8 * SECOND).expect("the time has changed");
    assert!(frame.starts_with("\r\x1b[6Aa note\\x1b[2J\x1b[K\r\n"), "{frame:?}");
    assert_eq!(progress.finish(9 * SECOND), "\r\x1b[6A\x1b[J");
}

#[test]
fn a_low_terminal_shows_what_runs_then_what_ended() {
    let nodes = (0..200).map(|i| Node::new(format!("t{i} x"))).collect();
    let options = Options { height: 9, fold: 0, color: true, ..options(true) };
    let mut progress = Progress::new(&Graph::new(nodes, []), options);
    for task in 0..30 {
        let at = Micros::from(task) * SECOND;
        progress.update(&row(task, TaskStatus::Running, 1, at, None), at);
        if task % 10 != 0 {
            progress.update(&row(task, TaskStatus::Succeeded, 1, at, Some(at + 500_000)), at + SECOND);
        }
    }
    let frame = screen(&progress.render(40 * SECOND).expect("something to show"));
    insta::assert_snapshot!(frame.replace('\x1b', "^"));
}

#[test]
fn plain_lines_tell_each_thing_once() {
    let mut progress = Progress::new(&graph(), options(false));
    let mut out = String::new();
    for (now, row) in history() {
        progress.update(&row, now);
        progress.update(&row, now);
        out.extend(progress.render(now));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn a_new_round_runs_and_ends_again() {
    let nodes = (0..60).map(|i| Node::new(format!("t{i} x"))).collect();
    let mut progress = Progress::new(&Graph::new(nodes, []), Options { fold: 0, height: 9, ..options(true) });
    for (status, attempt) in
        [(TaskStatus::Failed, 1), (TaskStatus::Waiting, 1), (TaskStatus::Running, 2), (TaskStatus::Succeeded, 2)]
    {
        progress.update(&row(7, status, attempt, 0, status.is_terminal().then_some(SECOND)), 0);
    }
    let frame = screen(&progress.render(SECOND).expect("a frame"));
    assert_eq!(frame.matches("t7 x").count(), 1, "{frame}");
    assert!(frame.contains("✓ t7 x       1.0 s  attempt 2\n"), "{frame}");
    assert!(frame.contains("1 of 60 tasks"), "{frame}");
}

#[test]
fn a_time_that_becomes_known_later_is_shown() {
    let mut progress = Progress::new(&graph(), options(true));
    progress.update(&TaskRow { started: None, ..row(0, TaskStatus::Running, 1, 0, None) }, 0);
    progress.update(&row(0, TaskStatus::Running, 1, SECOND, None), SECOND);
    let frame = screen(&progress.render(4 * SECOND).expect("a frame"));
    assert!(frame.contains("● fetch                   3.0 s\n"), "{frame}");
}

#[test]
fn what_began_and_ended_between_two_looks_is_one_line() {
    let mut progress = Progress::new(&graph(), options(false));
    progress.update(&row(0, TaskStatus::Running, 1, 0, None), 0);
    progress.update(&row(0, TaskStatus::Succeeded, 1, 0, Some(SECOND)), SECOND);
    assert_eq!(progress.render(SECOND).expect("a line"), "[   1.0 s] ✓ fetch succeeded after 1.0 s\n");
    assert_eq!(progress.render(SECOND), None);
}

#[test]
fn many_skipped_tasks_are_one_line() {
    let nodes = (0..40).map(|i| Node::new(format!("t{i}"))).collect();
    let mut progress = Progress::new(&Graph::new(nodes, []), Options { fold: 0, ..options(false) });
    for task in 0..40 {
        progress.update(&row(task, TaskStatus::Skipped, 0, 0, None), 0);
    }
    assert_eq!(progress.finish(0), "[     0 s] ⊘ 40 tasks skipped: t0, t1, t2, t3, t4, …\n");
}

fn tail(task: TaskIx, _: Attempt) -> Option<String> {
    let lines: String = (1..=12).map(|line| format!("line {line} of task {task}\n")).collect();
    Some(format!("{lines}\x1b[31merror:\x1b[0m no\tsuch file\n\n"))
}

fn ended() -> Vec<TaskRow> {
    let mut rows = std::collections::BTreeMap::new();
    for (_, row) in history() {
        rows.insert(row.task, row);
    }
    rows.into_values().collect()
}

#[test]
fn a_summary_of_failures() {
    let summary = Summary::new(&graph(), &job(JobStatus::Failed), &ended(), tail);
    insta::assert_snapshot!(summary.text(&Look::default()));
    let flags = vec!["--state-dir".into(), "/tmp/my state".into()];
    let look = Look { flags, ascii: true, width: 60, ..Look::default() };
    let text = summary.text(&look);
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("qmanager --state-dir '/tmp/my state' retry 099a8057\n"), "{text}");
}

#[test]
fn a_summary_of_success_is_short() {
    let rows: Vec<TaskRow> = (0..124).map(|task| row(task, TaskStatus::Succeeded, 1, 0, Some(SECOND))).collect();
    let summary = Summary::new(&graph(), &job(JobStatus::Succeeded), &rows, |_, _| panic!("nothing failed"));
    insta::assert_snapshot!(summary.text(&Look::default()));
}

#[test]
fn a_summary_of_many_rows_shows_those_that_did_not_succeed() {
    let nodes: Vec<Node> = (0..5000).map(|i| Node::new(format!("{i} of many"))).collect();
    let rows: Vec<TaskRow> = (0..5000)
        .map(|task| {
            row(task, if task % 1000 == 7 { TaskStatus::Failed } else { TaskStatus::Succeeded }, 1, 0, Some(SECOND))
        })
        .collect();
    // Chained, so that nothing folds.
    let graph = Graph::new(nodes, (1..5000).map(|i| (i - 1, i)));
    let text = Summary::new(&graph, &job(JobStatus::Failed), &rows, |_, _| None).text(&Look::default());
    insta::assert_snapshot!(text);
}

#[test]
fn a_job_that_failed_before_its_tasks_says_why() {
    let job = JobRow { message: Some("no image\nfor x".into()), cause: Some(Cause::Invalid), ..job(JobStatus::Failed) };
    let text = Summary::new(&Graph::new(vec![Node::new("a")], []), &job, &[], |_, _| None).text(&Look::default());
    insta::assert_snapshot!(text);
}

#[test]
fn the_json_form_is_stable() {
    let graph = Graph::new(vec![Node::new("a"), Node::new("b")], [(0, 1)]);
    let rows = [row(0, TaskStatus::Failed, 2, 0, Some(SECOND)), row(1, TaskStatus::Skipped, 0, 0, None)];
    let summary = Summary::new(&graph, &job(JobStatus::Failed), &rows, |_, _| Some("why\n".into()));
    insta::assert_snapshot!(serde_json::to_string_pretty(&summary).expect("plain data"));
}

#[test]
fn an_update_does_not_cost_more_in_a_large_job() {
    let nodes = (0..100_000).map(|i| Node::new(format!("{i}th"))).collect();
    let graph = Graph::new(nodes, (1..100_000).map(|i| (i - 1, i)));
    for live in [true, false] {
        let mut progress = Progress::new(&graph, options(live));
        let mut bytes = 0;
        for task in 0..100_000 {
            progress.update(&row(task, TaskStatus::Running, 1, 0, None), 0);
            progress.update(&row(task, TaskStatus::Succeeded, 1, 0, Some(1)), 1);
            if task % 1000 == 0 {
                bytes += progress.render(Micros::from(task)).map_or(0, |text| text.len());
            }
        }
        assert!(bytes < 400_000, "{bytes}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_outgrows_the_terminal_and_nothing_raw_is_printed(
        names in prop::collection::vec(any::<String>(), 1..30),
        events in prop::collection::vec((0u32..40, 0usize..7, 0u32..4, any::<bool>()), 0..60),
        width in 10usize..100,
        height in 2usize..30,
        output in any::<String>(),
        ascii: bool,
    ) {
        let graph = Graph::new(names.into_iter().map(Node::new).collect(), []);
        for live in [true, false] {
            let mut progress = Progress::new(&graph, Options { width, height, live, ascii, color: live, ..options(live) });
            let mut rows = Vec::new();
            for &(task, status, attempt, ended) in &events {
                let row = row(task, TaskStatus::ALL[status], attempt, 5, ended.then_some(7 * SECOND));
                progress.update(&row, 9 * SECOND);
                rows.push(row);
            }
            if let Some(frame) = progress.render(10 * SECOND) {
                let frame = screen(&frame);
                if live {
                    prop_assert!(frame.lines().count() <= height.max(3), "{frame}");
                    prop_assert!(frame.lines().all(|line| text::width(&text::safe_output(line)) < width.max(11)), "{frame:?}");
                }
                prop_assert!(!frame.chars().any(|c| c.is_control() && c != '\n' && (!live || c != '\x1b' && c != '\r')), "{frame:?}");
                prop_assert!(!ascii || frame.is_ascii(), "{frame}");
            }
            let summary = Summary::new(&graph, &job(JobStatus::Failed), &rows, |_, _| Some(output.clone()));
            let text = summary.text(&Look { width, ascii, ..Look::default() });
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
