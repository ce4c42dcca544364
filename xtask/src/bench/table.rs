//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use super::sample::Sample;

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// W1 .. W6, growth, memory, idle.
    pub(crate) workload: String,
    /// Who was measured.
    pub(crate) subject: String,
    #[serde(flatten)]
    pub(crate) sample: Sample,
    pub(crate) unit: &'static str,
    /// What the budgets say about it; empty for floors and peers.
    pub(crate) checks: Vec<Check>,
}

/// A figure held against its budget.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// E.g. "floor", "make"; empty for an absolute figure.
    pub(crate) against: String,
    pub(crate) value: f64,
    pub(crate) limit: f64,
    /// `true`: at most the limit; `false`: at least.
    pub(crate) at_most: bool,
    pub(crate) ok: bool,
}

impl Check {
    pub(crate) fn at_most(against: &str, value: f64, limit: f64) -> Self {
        Self { against: against.into(), value, limit, at_most: true, ok: value <= limit }
    }

    pub(crate) fn at_least(against: &str, value: f64, limit: f64) -> Self {
        Self { against: against.into(), value, limit, at_most: false, ok: value >= limit }
    }

    fn text(&self) -> String {
        let (sign, verdict) = (if self.at_most { "<=" } else { ">=" }, if self.ok { "ok" } else { "OVER" });
        if self.against.is_empty() {
            format!("{sign} {} {verdict}", figure(self.limit))
        } else {
            format!("{:.2}x {} ({sign} {}) {verdict}", self.value, self.against, self.limit)
        }
    }
}

impl Row {
    pub(crate) fn new(workload: &str, subject: &str, sample: Sample, unit: &'static str) -> Self {
        Self { workload: workload.into(), subject: subject.into(), sample, unit, checks: Vec::new() }
    }

    pub(crate) fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    fn cells(&self) -> [String; 5] {
        let Sample { median, min, max } = self.sample;
        let spread = if min < max { format!("{} .. {}", figure(min), figure(max)) } else { String::new() };
        let checks: Vec<String> = self.checks.iter().map(Check::text).collect();
        let value = format!("{} {}", figure(median), self.unit);
        [self.workload.clone(), self.subject.clone(), value, spread, checks.join("; ")]
    }
}

const HEAD: [&str; 5] = ["workload", "subject", "median", "min .. max", "against the budget"];

/// The table in a markdown that also reads well on a terminal.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let cells: Vec<[String; 5]> = rows.iter().map(Row::cells).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).chain([HEAD[column].len()]).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    let mut line = |row: &[String]| {
        let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(text, "| {} |", padded.join(" | "));
    };
    line(&HEAD.map(str::to_owned));
    line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
    cells.iter().for_each(|row| line(row));
    text
}

/// Three significant digits.
fn figure(value: f64) -> String {
    match value.abs() {
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_it_stands_to_its_budget() {
        let row = Row::new("W1", "qmanager run", Sample::of(&[0.5, 0.75, 1.0]), "ms");
        let text =
            markdown(&[row.check(Check::at_most("floor", 1.5, 1.25)).check(Check::at_least("HyperQueue", 3.0, 2.4))]);
        let last = text.lines().last().expect("a row");
        assert!(
            last.contains("0.750 ms | 0.500 .. 1.00 | 1.50x floor (<= 1.25) OVER; 3.00x HyperQueue (>= 2.4) ok"),
            "{text}"
        );
    }
}
