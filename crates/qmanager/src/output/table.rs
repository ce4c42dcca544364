//! Columns for people.

use crate::text;

/// Rows whose columns line up.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its heading.
    #[must_use]
    pub fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|name| (*name).to_owned()).collect()] }
    }

    /// A table without one.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// Adds a row. The texts are expected to be [`text::safe`].
    pub fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// The lines; the last column is not padded.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                self.rows.iter().filter_map(|row| row.get(column)).map(|cell| text::width(cell)).max().unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| text::pad(cell, *width)).collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_what_a_terminal_shows() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(vec!["日本".into(), "a".into()]);
        table.row(vec!["x".into(), "b".into()]);
        assert_eq!(table.lines(), ["ID    NAME", "日本  a", "x     b"]);
    }
}
