//! The workloads as workflows, makefiles and ninja files: the same tasks and edges for everyone.

use std::fmt::Write as _;

use serde_json::json;

/// A graph of tasks of `true`: for each task the tasks before it, all with lower numbers.
#[derive(Debug)]
pub(crate) struct Shape {
    after: Vec<Vec<usize>>,
}

impl Shape {
    /// W1: tasks that depend on nothing.
    pub(crate) fn independent(count: usize) -> Self {
        Self { after: vec![Vec::new(); count] }
    }

    /// W2: each after the one before.
    pub(crate) fn chain(count: usize) -> Self {
        Self { after: (0..count).map(|task| task.checked_sub(1).into_iter().collect()).collect() }
    }

    /// W3: layers; each task after three of the layer before.
    pub(crate) fn layers(layers: usize, width: usize) -> Self {
        let before = |task: usize| -> Vec<usize> {
            let (layer, place) = (task / width, task % width);
            let above = |step: usize| (layer - 1) * width + (place + step) % width;
            if layer == 0 { Vec::new() } else { vec![above(0), above(1), above(7)] }
        };
        Self { after: (0..layers * width).map(before).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.after.len()
    }

    /// As a workflow in JSON.
    pub(crate) fn workflow(&self) -> String {
        let task = |(task, after): (usize, &Vec<usize>)| {
            let depends: Vec<String> = after.iter().map(|before| format!("t{before}")).collect();
            let mut object = json!({"name": format!("t{task}"), "params": {"command": "true"}});
            if !depends.is_empty() {
                object["depends"] = json!(depends);
            }
            object
        };
        let tasks: Vec<_> = self.after.iter().enumerate().map(task).collect();
        format!("{}\n", json!(tasks))
    }

    /// As a makefile; make starts `sh` directly, one process a task.
    pub(crate) fn makefile(&self) -> String {
        let mut text = String::from("all:");
        (0..self.len()).for_each(|task| {
            let _ = write!(text, " t{task}");
        });
        text.push('\n');
        for (task, after) in self.after.iter().enumerate() {
            let _ = write!(text, "t{task}:");
            after.iter().for_each(|before| {
                let _ = write!(text, " t{before}");
            });
            text.push_str("\n\t@sh -c true\n");
        }
        text
    }

    /// As a ninja file; ninja starts `/bin/sh -c` itself.
    pub(crate) fn ninja(&self) -> String {
        let mut text = String::from("rule r\n  command = true\n");
        for (task, after) in self.after.iter().enumerate() {
            let _ = write!(text, "build t{task}: r");
            after.iter().for_each(|before| {
                let _ = write!(text, " t{before}");
            });
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_are_what_their_names_say() {
        assert_eq!(Shape::independent(3).after, [[0_usize; 0]; 3]);
        assert_eq!(Shape::chain(3).after, [vec![], vec![0], vec![1]]);
        let layers = Shape::layers(10, 100);
        assert_eq!(layers.len(), 1000);
        assert_eq!(layers.after[199], [99, 0, 6]);
        assert!(layers.after.iter().enumerate().all(|(task, after)| after.iter().all(|before| *before < task)));
    }

    #[test]
    fn all_forms_have_all_tasks_and_edges() {
        let shape = Shape::chain(2);
        let workflow =
            r#"[{"name":"t0","params":{"command":"true"}},{"depends":["t0"],"name":"t1","params":{"command":"true"}}]"#;
        assert_eq!(shape.workflow().trim(), workflow);
        assert_eq!(shape.makefile(), "all: t0 t1\nt0:\n\t@sh -c true\nt1: t0\n\t@sh -c true\n");
        assert_eq!(shape.ninja(), "rule r\n  command = true\nbuild t0: r\nbuild t1: r t0\n");
    }
}
