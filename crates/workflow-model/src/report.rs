//! Collects problems while a file is read, and turns them into [`Problems`] at the end.

use crate::{Place, Problem, Problems, Severity, check::Wrong, render::Excerpt, suggest::Budget};

/// The warnings that are kept: few, so that they never crowd out errors.
const MOST_WARNINGS: usize = 100;

/// Problems found so far.
#[derive(Debug)]
pub(crate) struct Report {
    list: Vec<Problem>,
    most: usize,
    more: usize,
    errors: usize,
    warnings: usize,
    /// The task that is being read.
    pub(crate) task: Option<String>,
    /// For suggestions.
    pub(crate) budget: Budget,
}

impl Report {
    /// Keeps at most so many errors.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { list: Vec::new(), most, more: 0, errors: 0, warnings: 0, task: None, budget: Budget::default() }
    }

    pub(crate) fn error(&mut self, place: Place, wrong: Wrong) {
        self.error_beside(place, wrong, Vec::new());
    }

    /// An error with other places that belong to it.
    pub(crate) fn error_beside(&mut self, place: Place, wrong: Wrong, related: Vec<(Place, String)>) {
        self.errors += 1;
        let keep = self.errors <= self.most;
        self.add(keep, Severity::Error, place, wrong, related);
    }

    pub(crate) fn warning(&mut self, place: Place, wrong: Wrong, related: Vec<(Place, String)>) {
        self.warnings += 1;
        let keep = self.warnings <= MOST_WARNINGS;
        self.add(keep, Severity::Warning, place, wrong, related);
    }

    /// How many errors there are, kept or not.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether a further error would only be counted: then its text need not be made.
    pub(crate) fn is_full(&self) -> bool {
        self.errors >= self.most
    }

    /// How many more errors would be kept.
    pub(crate) fn room(&self) -> usize {
        self.most.saturating_sub(self.errors)
    }

    /// Whether a further warning would only be counted.
    pub(crate) fn is_full_of_warnings(&self) -> bool {
        self.warnings >= MOST_WARNINGS
    }

    /// Counts warnings without keeping them.
    pub(crate) fn count_warnings(&mut self, warnings: usize) {
        self.warnings += warnings;
        self.more += warnings;
    }

    /// Counts errors without keeping them.
    pub(crate) fn count(&mut self, errors: usize) {
        self.errors += errors;
        self.more += errors;
    }

    /// In the order of the file, with what is needed of its text.
    pub(crate) fn finish(mut self, file: &str, text: &str) -> Problems {
        self.list.sort_by_key(|problem| problem.place);
        let mut places: Vec<Place> =
            self.list.iter().flat_map(|problem| problem.related.iter().map(|(place, _)| *place)).collect();
        places.extend(self.list.iter().map(|problem| problem.place));
        places.sort_unstable();
        places.dedup();
        let excerpts = excerpts(text, places);
        Problems { file: file.to_owned(), list: self.list, more: self.more, excerpts }
    }

    fn add(&mut self, keep: bool, severity: Severity, place: Place, wrong: Wrong, related: Vec<(Place, String)>) {
        if keep {
            let Wrong { message, help } = wrong;
            self.list.push(Problem { severity, place, task: self.task.clone(), message, help, related });
        } else {
            self.more += 1;
        }
    }
}

/// What is to be shown for each of the places, which are sorted. The text is walked once, even if it is all one line.
fn excerpts(text: &str, places: Vec<Place>) -> Vec<(Place, Excerpt)> {
    let mut excerpts = Vec::with_capacity(places.len());
    let mut lines = (1_u32..).zip(text.split('\n'));
    let mut current = lines.next();
    // Characters and bytes of the line that are before the window.
    let (mut chars, mut bytes) = (0, 0);
    for place in places {
        while current.is_some_and(|(number, _)| number < place.line) {
            current = lines.next();
            (chars, bytes) = (0, 0);
        }
        let Some((_, line)) = current else { break };
        let line = line.strip_suffix('\r').unwrap_or(line);
        let from = Excerpt::window_start(line, place);
        while chars < from
            && let Some(c) = line[bytes..].chars().next()
        {
            chars += 1;
            bytes += c.len_utf8();
        }
        excerpts.push((place, Excerpt::new(&line[bytes..], chars, place)));
    }
    excerpts
}
