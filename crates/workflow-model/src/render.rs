//! How problems look: with the line of the source and a caret for people, or one line each.

use std::fmt::{self, Write as _};

use crate::{
    Place, Problem, Problems, Severity,
    shown::{columns, push_shown, quoted, safe},
};

/// The part of a line of the source around a place, safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Excerpt {
    text: String,
    /// Columns of the terminal before the caret.
    indent: usize,
    /// Columns under which the caret stands; at least 1.
    width: usize,
}

impl Excerpt {
    /// Around a place, of `window`: its line from character `from` on ([`window_start`](Self::window_start)), without the
    /// line break.
    pub(crate) fn new(window: &str, from: usize, place: Place) -> Self {
        let at = place.column as usize - 1;
        let mut excerpt = Self { text: String::new(), indent: 0, width: 0 };
        if from > 0 {
            excerpt.text.push('…');
        }
        let mut chars = window.chars();
        for (offset, c) in chars.by_ref().take(Self::SHOWN).enumerate() {
            let start = columns(&excerpt.text);
            if from + offset == at {
                excerpt.indent = start;
            }
            push_shown(&mut excerpt.text, c);
            if (at..at + place.width as usize).contains(&(from + offset)) {
                excerpt.width += columns(&excerpt.text) - start;
            }
        }
        if excerpt.width == 0 {
            excerpt.indent = columns(&excerpt.text);
            excerpt.width = 1;
        }
        if chars.next().is_some() {
            excerpt.text.push('…');
        }
        excerpt
    }

    /// Characters of a line that are shown.
    const SHOWN: usize = 120;

    /// Where in a line the excerpt for a place begins, in characters.
    pub(crate) fn window_start(line: &str, place: Place) -> usize {
        const BEFORE: usize = 50;
        let is_long = line.chars().nth(Self::SHOWN).is_some();
        if is_long { (place.column as usize - 1).saturating_sub(BEFORE) } else { 0 }
    }
}

/// What an attribute of a terminal is switched on by; nothing without colour.
struct Paint(bool);

impl Paint {
    fn bold<'a>(&self, colour: &'a str, text: &'a str) -> Painted<'a> {
        Painted { colour: self.0.then_some(colour), text }
    }

    fn severity(&self, severity: Severity) -> Painted<'static> {
        match severity {
            Severity::Error => self.bold("31", "error"),
            Severity::Warning => self.bold("33", "warning"),
        }
    }
}

struct Painted<'a> {
    colour: Option<&'a str>,
    text: &'a str,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.colour {
            Some(colour) => write!(f, "\x1b[1;{colour}m{}\x1b[0m", self.text),
            None => f.write_str(self.text),
        }
    }
}

impl Problems {
    /// For people: each problem with its line of the source and a caret, what to write instead, and a count at the end.
    /// `color`: with the attributes of a terminal. Control characters of the source are made visible.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        let paint = Paint(color);
        for problem in &self.list {
            self.write(&mut text, problem, &paint).expect("BUG: a String takes everything");
        }
        self.write_count(&mut text).expect("BUG: a String takes everything");
        text
    }

    fn write(&self, text: &mut String, problem: &Problem, paint: &Paint) -> fmt::Result {
        let gutter = problem.related.iter().map(|(place, _)| place.line).chain([problem.place.line]).max();
        let gutter = gutter.map_or(1, |line| line.to_string().len());
        writeln!(text, "{}: {}", paint.severity(problem.severity), in_task(problem))?;
        self.write_place(text, problem.place, gutter, paint, None)?;
        for (place, note) in &problem.related {
            self.write_place(text, *place, gutter, paint, Some(note))?;
        }
        if let Some(help) = &problem.help {
            writeln!(text, "{:gutter$} {} {help}", "", paint.bold("36", "= help:"))?;
        }
        text.push('\n');
        Ok(())
    }

    fn write_place(
        &self,
        text: &mut String,
        place: Place,
        gutter: usize,
        paint: &Paint,
        note: Option<&str>,
    ) -> fmt::Result {
        let bar = paint.bold("34", "|");
        let arrow = paint.bold("34", if note.is_some() { ":::" } else { "-->" });
        writeln!(text, "{:gutter$}{arrow} {}:{}:{}", "", safe(&self.file), place.line, place.column)?;
        let Ok(at) = self.excerpts.binary_search_by_key(&place, |(place, _)| *place) else { return Ok(()) };
        let Excerpt { text: line, indent, width } = &self.excerpts[at].1;
        let caret = if note.is_some() { "-" } else { "^" }.repeat(*width);
        let number = place.line.to_string();
        writeln!(text, "{} {bar} {line}", paint.bold("34", &format!("{number:>gutter$}")))?;
        let caret = paint.bold(if note.is_some() { "34" } else { "31" }, &caret);
        writeln!(
            text,
            "{:gutter$} {bar} {:indent$}{caret}{}{}",
            "",
            "",
            if note.is_some() { " " } else { "" },
            note.unwrap_or("")
        )
    }

    fn write_count(&self, text: &mut String) -> fmt::Result {
        let count = |severity| self.list.iter().filter(|problem| problem.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        match (errors, warnings) {
            (0, 0) => return Ok(()),
            (0, _) => write!(text, "{warnings} warning{}", plural(warnings))?,
            (_, 0) => write!(text, "{errors} error{}", plural(errors))?,
            _ => write!(text, "{errors} error{}, {warnings} warning{}", plural(errors), plural(warnings))?,
        }
        write!(text, " in {}", safe(&self.file))?;
        if self.more > 0 {
            write!(text, ", and {} more not shown", self.more)?;
        }
        writeln!(text)
    }
}

impl fmt::Display for Problems {
    /// One line each: `file:line:column: error: what (task "name"); help`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            let Place { line, column, .. } = problem.place;
            write!(f, "{}:{line}:{column}: {}: {}", safe(&self.file), problem.severity, in_task(problem))?;
            for (place, note) in &problem.related {
                write!(f, "; {note}: {}:{}", place.line, place.column)?;
            }
            match &problem.help {
                Some(help) => writeln!(f, "; {help}")?,
                None => writeln!(f)?,
            }
        }
        if self.more > 0 {
            writeln!(f, "{}: {} more problems", safe(&self.file), self.more)?;
        }
        Ok(())
    }
}

/// The message with the task it belongs to.
fn in_task(problem: &Problem) -> String {
    let mut text = problem.message.clone();
    if let Some(task) = &problem.task {
        write!(text, " (task {})", quoted(task)).expect("BUG: a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(line: &str, column: u32, width: u32) -> (String, String) {
        let place = Place { line: 1, column, width };
        let from = Excerpt::window_start(line, place);
        let start = line.char_indices().nth(from).unwrap().0;
        let excerpt = Excerpt::new(&line[start..], from, place);
        (excerpt.text, format!("{}{}", " ".repeat(excerpt.indent), "^".repeat(excerpt.width)))
    }

    #[test]
    fn the_caret_stands_under_its_text() {
        assert_eq!(excerpt("- name: a", 3, 4), ("- name: a".into(), "  ^^^^".into()));
        assert_eq!(excerpt("日本: x", 5, 1), ("日本: x".into(), "      ^".into()));
        assert_eq!(excerpt("\tx\x1b[m", 2, 9), ("→x␛[m".into(), " ^^^^".into()));
        assert_eq!(excerpt("short", 9, 1), ("short".into(), "     ^".into()));
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}!{}", "a".repeat(1000), "b".repeat(1000));
        let (text, caret) = excerpt(&line, 1001, 1);
        assert_eq!(text.chars().count(), 122);
        assert_eq!(text.chars().nth(caret.len() - 1), Some('!'));
    }
}
