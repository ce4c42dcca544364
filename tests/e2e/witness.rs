//! What tasks themselves write about their runs, outside of the system: the ground truth of the crash tests.
//!
//! Every test task appends `B task attempt pid` when it begins and `E task attempt pid` when it ends well, each with
//! one append to a file that qmanager knows nothing of.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// The witness log of one job.
#[derive(Debug)]
pub(crate) struct Witness {
    path: PathBuf,
}

/// What a witness log says.
#[derive(Debug, Default)]
pub(crate) struct Testimony {
    /// Beginnings and ends in the order in which they happened.
    pub(crate) lines: Vec<(Mark, String, u32)>,
}

/// A beginning or an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// `B`.
    Begin,
    /// `E`.
    End,
}

impl Witness {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join("witness.log") }
    }

    /// A task that testifies around `body`.
    pub(crate) fn task(&self, name: &str, depends: &[String], body: &str) -> String {
        let log = self.path.display();
        let mut text = String::new();
        writeln!(text, "- name: {name}").expect("a string");
        if !depends.is_empty() {
            writeln!(text, "  depends: [{}]", depends.join(", ")).expect("a string");
        }
        // One write each, to a file opened for append: lines never mix.
        let say = |mark: &str| format!("echo \"{mark} $QM_TASK $QM_ATTEMPT $$\" >>'{log}'");
        writeln!(text, "  params:\n    command: |\n      {}\n      {body}\n      {}", say("B"), say("E"))
            .expect("a string");
        text
    }

    /// How much it says so far.
    pub(crate) fn len(&self) -> usize {
        std::fs::read(&self.path).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
    }

    pub(crate) fn read(&self) -> Testimony {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let mark = match words.next() {
                Some("B") => Mark::Begin,
                Some("E") => Mark::End,
                _ => panic!("a torn line in the witness log: {line:?}"),
            };
            let task = words.next().expect("a task").to_owned();
            (mark, task, words.next().and_then(|n| n.parse().ok()).expect("an attempt"))
        };
        Testimony { lines: text.lines().map(line).collect() }
    }
}

impl Testimony {
    /// How often each task began.
    pub(crate) fn begins(&self) -> BTreeMap<&str, u32> {
        let mut begins = BTreeMap::new();
        for (_, task, _) in self.lines.iter().filter(|(mark, ..)| *mark == Mark::Begin) {
            *begins.entry(task.as_str()).or_default() += 1;
        }
        begins
    }

    /// Tasks that ended well at least once.
    pub(crate) fn ended(&self) -> BTreeSet<&str> {
        self.lines.iter().filter(|(mark, ..)| *mark == Mark::End).map(|(_, task, _)| task.as_str()).collect()
    }

    /// I3: no task began before each task it depends on had ended well.
    pub(crate) fn assert_order(&self, depends: &BTreeMap<String, Vec<String>>) {
        let mut ended = BTreeSet::new();
        for (mark, task, attempt) in &self.lines {
            match mark {
                Mark::End => drop(ended.insert(task.as_str())),
                Mark::Begin => {
                    for needed in depends.get(task).into_iter().flatten() {
                        assert!(
                            ended.contains(needed.as_str()),
                            "{task} (attempt {attempt}) began before {needed} ended"
                        );
                    }
                }
            }
        }
    }

    /// No attempt began twice: attempt numbers are never used again (I4, I6).
    pub(crate) fn assert_attempts_distinct(&self) {
        let mut seen = BTreeSet::new();
        for (_, task, attempt) in self.lines.iter().filter(|(mark, ..)| *mark == Mark::Begin) {
            assert!(seen.insert((task, attempt)), "attempt {attempt} of {task} began twice");
        }
    }
}
