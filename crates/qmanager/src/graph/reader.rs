//! Reads drawings back as a person would: follows each line downwards and sideways, never up, straight over crossings.
//! What it finds must be the graph that was drawn.

use std::collections::{BTreeSet, HashMap};

use unicode_segmentation::UnicodeSegmentation as _;

use crate::text;

/// The edges that a picture or a list shows, by name.
pub(super) fn edges_of(drawing: &str, names: &[String]) -> BTreeSet<(String, String)> {
    if drawing.starts_with("at once") { list_edges(drawing) } else { Picture::new(drawing, names).edges() }
}

/// The names that it shows as nodes of their own.
pub(super) fn nodes_of(drawing: &str, names: &[String]) -> BTreeSet<String> {
    if drawing.starts_with("at once") {
        let first_words =
            body(drawing).map(|line| line.get(..).unwrap_or("").trim_start_matches(['┃', ' ']).to_owned());
        let lines: Vec<String> = first_words.collect();
        names.iter().filter(|n| lines.iter().any(|l| l.split("  ").next() == Some(n))).cloned().collect()
    } else {
        Picture::new(drawing, names).places.iter().map(|place| place.name.clone()).collect()
    }
}

fn body(drawing: &str) -> impl Iterator<Item = &str> {
    drawing.lines().take_while(|line| !line.is_empty())
}

fn list_edges(drawing: &str) -> BTreeSet<(String, String)> {
    let mut edges = BTreeSet::new();
    let mut to = String::new();
    for line in body(drawing).filter(|line| line.starts_with([' ', '┃'])) {
        let is_item = line.trim_start_matches(['┃', ' ']).len() + 2 >= line.replace('┃', " ").len();
        let line = line.trim_start_matches(['┃', ' ']);
        let needs = match line.split_once("← ") {
            Some((name, needs)) => {
                name.trim().clone_into(&mut to);
                needs
            }
            None if is_item => {
                line.clone_into(&mut to);
                continue;
            }
            None => line,
        };
        for need in needs.split(',').map(str::trim).filter(|need| !need.is_empty()) {
            edges.insert((need.to_owned(), to.clone()));
        }
    }
    edges
}

struct Place {
    name: String,
    row: usize,
    from: usize,
    to: usize,
}

struct Picture {
    rows: Vec<Vec<String>>,
    places: Vec<Place>,
}

impl Picture {
    fn new(drawing: &str, names: &[String]) -> Self {
        // The last empty line parts the picture from what is said below it.
        let picture = drawing.rsplit_once("\n\n").map_or("", |(picture, _)| picture);
        let rows: Vec<Vec<String>> = picture.lines().map(cells).collect();
        let mut places = Vec::new();
        for (r, row) in rows.iter().enumerate() {
            let mut c = 0;
            while c < row.len() {
                let end = (c..row.len()).find(|&e| !is_text(row, e)).unwrap_or(row.len());
                if end > c {
                    let label = row[c..end].concat();
                    let label = label.trim_matches('·');
                    if names.iter().any(|n| n == label) {
                        places.push(Place { name: label.to_owned(), row: r, from: c, to: end });
                    }
                }
                c = end + 1;
            }
        }
        Self { rows, places }
    }

    fn edges(&self) -> BTreeSet<(String, String)> {
        let mut edges = BTreeSet::new();
        let boxed = self.rows.iter().flatten().any(|cell| cell == "▼");
        for place in &self.places {
            let (from, to, row) = if boxed {
                let left = (0..place.from).rev().find(|&c| self.at(place.row, c).is_some()).expect("a box is closed");
                let right = (place.to..).find(|&c| self.at(place.row, c).is_some()).expect("a box is closed");
                let bottom =
                    (place.row..).find(|&r| self.at(r, left).is_some_and(|a| a[2] == 0)).expect("a box is closed");
                (left + 1, right, bottom + 1)
            } else {
                (place.from, place.to, place.row + 1)
            };
            for column in from..to {
                let leaves = !boxed || self.at(row - 1, column).is_some_and(|a| a[2] > 0);
                if leaves && self.at(row, column).is_some_and(|a| a[0] > 0) {
                    for reached in self.follow(row, column) {
                        edges.insert((place.name.clone(), reached));
                    }
                }
            }
        }
        edges
    }

    fn at(&self, row: usize, column: usize) -> Option<[u8; 4]> {
        self.rows.get(row)?.get(column).and_then(|cell| arms(cell))
    }

    /// Every node that a line entered from above leads to.
    fn follow(&self, row: usize, column: usize) -> Vec<String> {
        let mut reached = Vec::new();
        let mut seen = BTreeSet::new();
        let mut todo = vec![(row, column, 'd')];
        while let Some((r, c, heading)) = todo.pop() {
            if !seen.insert((r, c, heading)) {
                continue;
            }
            let cell = self.rows.get(r).and_then(|row| row.get(c)).map_or("", String::as_str);
            if cell == "▼" {
                // Below is a box's border, and below that its text.
                reached.push(self.name_at(r + 2, c, true));
                continue;
            }
            let Some(a) = arms(cell) else {
                assert_eq!(heading, 'd', "a line ends sideways at {r},{c}");
                reached.push(self.name_at(r, c, false));
                continue;
            };
            let entered = match heading {
                'd' => a[0],
                'l' => a[1],
                _ => a[3],
            };
            if entered == 0 {
                assert!(heading != 'd' && a[0] > 0 && a[2] > 0, "a line breaks off at {r},{c}");
                todo.push(if heading == 'l' { (r, c - 1, 'l') } else { (r, c + 1, 'r') });
                continue;
            }
            if a[2] > 0 {
                todo.push((r + 1, c, 'd'));
            }
            if a[3] > 0 && heading != 'r' {
                todo.push((r, c - 1, 'l'));
            }
            if a[1] > 0 && heading != 'l' {
                todo.push((r, c + 1, 'r'));
            }
        }
        reached
    }

    fn name_at(&self, row: usize, column: usize, boxed: bool) -> String {
        let place = self.places.iter().find(|p| {
            let reach = if boxed { 40 } else { 0 };
            let hit = p.from.saturating_sub(reach) <= column && column < p.to + reach;
            // In a box: no border between the name and the column.
            let (low, high) = (column.min(p.from), column.max(p.to));
            p.row == row && hit && !(low..high).any(|c| self.at(row, c).is_some())
        });
        place.unwrap_or_else(|| panic!("a line leads to no node at {row},{column}")).name.clone()
    }
}

/// A line as columns: a wide character is followed by an empty cell.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    for grapheme in line.graphemes(true) {
        cells.push(grapheme.to_owned());
        cells.extend((1..text::width(grapheme)).map(|_| String::new()));
    }
    cells
}

/// Whether a column belongs to a label: blanks do if there is text at both sides.
fn is_text(row: &[String], column: usize) -> bool {
    let solid = |c: usize| row.get(c).is_some_and(|cell| cell != " " && cell != "▼" && arms(cell).is_none());
    solid(column) || (row[column] == " " && column > 0 && solid(column - 1) && solid(column + 1))
}

fn arms(cell: &str) -> Option<[u8; 4]> {
    thread_local! {
        static TABLE: HashMap<String, [u8; 4]> = super::canvas::all_glyphs().into_iter().collect();
    }
    TABLE.with(|table| table.get(cell).copied())
}
