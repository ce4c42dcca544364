//! A grid of terminal cells: text and box-drawing lines that join by themselves.

use unicode_segmentation::UnicodeSegmentation as _;

use super::view::Span;
use crate::text::{self, Tone};

/// How heavy a line leaves a cell upwards, to the right, downwards, to the left: 0 = not at all, 1 = light, 2 = heavy.
pub(super) type Arms = [u8; 4];

/// Upwards.
pub(super) const UP: usize = 0;
/// To the right.
pub(super) const RIGHT: usize = 1;
/// Downwards.
pub(super) const DOWN: usize = 2;
/// To the left.
pub(super) const LEFT: usize = 3;

/// The glyph of arms `up + 3 right + 9 down + 27 left`.
const GLYPHS: &str = " ╵╹╶└┖╺┕┗╷│╿┌├┞┍┝┡╻╽┃┎┟┠┏┢┣╴┘┚─┴┸╼┶┺┐┤┦┬┼╀┮┾╄┒┧┨┰╁╂┲╆╊╸┙┛╾┵┹━┷┻┑┥┩┭┽╃┯┿╇┓┪┫┱╅╉┳╈╋";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Cell {
    #[default]
    Blank,
    /// What a reader sees as one character.
    Text(String, Tone),
    /// The second column of a wide character.
    Covered,
    /// A line; `soft` corners are round.
    Line { arms: Arms, soft: bool },
}

/// A grid that grows downwards.
#[derive(Debug, Clone, Default)]
pub(super) struct Canvas {
    rows: Vec<Vec<Cell>>,
}

impl Canvas {
    /// Rows so far.
    pub(super) fn height(&self) -> usize {
        self.rows.len()
    }

    /// Columns of the longest row.
    pub(super) fn width(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Writes spans from a column on.
    pub(super) fn write(&mut self, row: usize, mut column: usize, spans: &[Span]) {
        for (text, tone) in spans {
            for grapheme in text.graphemes(true) {
                let width = text::width(grapheme);
                if width == 0 {
                    // Stays with what it modifies.
                    if let Some(Cell::Text(before, _)) = column.checked_sub(1).map(|c| self.cell(row, c)) {
                        before.push_str(grapheme);
                    }
                    continue;
                }
                *self.cell(row, column) = Cell::Text(grapheme.to_owned(), *tone);
                for covered in 1..width {
                    *self.cell(row, column + covered) = Cell::Covered;
                }
                column += width;
            }
        }
    }

    /// Adds arms to the line in a cell.
    pub(super) fn join(&mut self, row: usize, column: usize, arms: Arms, soft: bool) {
        let cell = self.cell(row, column);
        if let Cell::Line { arms: here, .. } = cell {
            here.iter_mut().zip(arms).for_each(|(a, b)| *a = (*a).max(b));
        } else {
            *cell = Cell::Line { arms, soft };
        }
    }

    /// Puts a line into a cell, over whatever line was there.
    pub(super) fn cross(&mut self, row: usize, column: usize, arms: Arms) {
        *self.cell(row, column) = Cell::Line { arms, soft: true };
    }

    /// A rectangle of lines.
    pub(super) fn frame(&mut self, row: usize, column: usize, width: usize, height: usize, weight: u8) {
        let (bottom, right) = (row + height - 1, column + width - 1);
        for c in column..=right {
            let sides = [0, if c < right { weight } else { 0 }, 0, if c > column { weight } else { 0 }];
            self.join(row, c, sides, false);
            self.join(bottom, c, sides, false);
        }
        for r in row..=bottom {
            let sides = [if r > row { weight } else { 0 }, 0, if r < bottom { weight } else { 0 }, 0];
            self.join(r, column, sides, false);
            self.join(r, right, sides, false);
        }
    }

    /// Copies another canvas into this one.
    pub(super) fn paste(&mut self, from: &Self, row: usize, column: usize) {
        for (r, cells) in from.rows.iter().enumerate() {
            for (c, cell) in cells.iter().enumerate() {
                *self.cell(row + r, column + c) = cell.clone();
            }
        }
    }

    /// The lines of text, without blanks at their ends.
    pub(super) fn lines(&self, color: bool, ascii: bool) -> Vec<String> {
        self.rows.iter().map(|row| line(row, color, ascii)).collect()
    }

    fn cell(&mut self, row: usize, column: usize) -> &mut Cell {
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let cells = &mut self.rows[row];
        if cells.len() <= column {
            cells.resize_with(column + 1, Cell::default);
        }
        &mut cells[column]
    }
}

fn line(cells: &[Cell], color: bool, ascii: bool) -> String {
    let end = cells.iter().rposition(|cell| *cell != Cell::Blank).map_or(0, |at| at + 1);
    let mut out = String::with_capacity(end + 16);
    let mut tone_now = Tone::Plain;
    for cell in &cells[..end] {
        let tone = match cell {
            Cell::Text(_, tone) => *tone,
            Cell::Line { arms, .. } if arms.contains(&2) => Tone::Bold,
            Cell::Line { .. } => Tone::Dim,
            Cell::Blank => Tone::Plain,
            Cell::Covered => continue,
        };
        if color && tone != tone_now {
            if tone_now != Tone::Plain {
                out.push_str("\x1b[0m");
            }
            out.push_str(tone.sequence());
            tone_now = tone;
        }
        match cell {
            Cell::Text(text, _) => out.push_str(text),
            Cell::Line { arms, soft } => out.push(if ascii { plain(*arms) } else { glyph(*arms, *soft) }),
            Cell::Blank | Cell::Covered => out.push(' '),
        }
    }
    if color && tone_now != Tone::Plain {
        out.push_str("\x1b[0m");
    }
    out
}

fn glyph(arms: Arms, soft: bool) -> char {
    if soft {
        match arms {
            [0, 1, 1, 0] => return '╭',
            [0, 0, 1, 1] => return '╮',
            [1, 1, 0, 0] => return '╰',
            [1, 0, 0, 1] => return '╯',
            _ => {}
        }
    }
    let at = arms.iter().rev().fold(0usize, |sum, &arm| sum * 3 + usize::from(arm));
    GLYPHS.chars().nth(at).unwrap_or(' ')
}

fn plain(arms: Arms) -> char {
    let heavy = arms.contains(&2);
    match (arms[UP] + arms[DOWN] > 0, arms[LEFT] + arms[RIGHT] > 0) {
        (true, true) if heavy => '#',
        (true, true) => '+',
        (true, false) if heavy => 'H',
        (true, false) => '|',
        (false, true) if heavy => '=',
        (false, true) => '-',
        (false, false) => ' ',
    }
}

/// Every glyph that a line may be drawn with, and its arms.
#[cfg(test)]
pub(super) fn all_glyphs() -> Vec<(String, Arms)> {
    let mut all = Vec::new();
    for at in 1..81u8 {
        let arms = [at % 3, at / 3 % 3, at / 9 % 3, at / 27];
        all.push((glyph(arms, false).to_string(), arms));
        all.push((glyph(arms, true).to_string(), arms));
    }
    all
}
