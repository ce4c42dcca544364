//! The first pass over YAML: events with places, by saphyr-parser. Builds the tree and refuses what would be ambiguous
//! or unbounded: several documents, deep nesting, too much repetition by aliases, tags, equal keys, control characters.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use crate::{
    Limits, Place,
    check::Wrong,
    report::Report,
    shown,
    tree::{Kind, NodeId, Tree},
};

/// Reads a document. `None`: nothing more can be said about the file than what is in the report.
pub(crate) fn read<'a>(text: &'a str, limits: &Limits, report: &mut Report) -> Option<(Tree<'a>, NodeId)> {
    if let Err((place, wrong)) = printable(text) {
        report.error(place, wrong);
        return None;
    }
    let mut pass = Pass {
        limits,
        tree: Tree::default(),
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        // A long file may say much by aliases too.
        may_repeat: limits.repeated.max(text.len().saturating_mul(16)),
        repeated: 0,
        tags: 0,
        report,
    };
    let mut parser = Parser::new_from_str(text);
    let root = pass.run(&mut parser, text);
    if let Err((place, wrong)) = root {
        pass.report.error(place, wrong);
        return None;
    }
    // A tagged value is decoded as something else than what it looks like: nothing more is worth saying.
    let tagged = pass.tags > 0;
    let root = pass.root;
    let tree = pass.tree;
    if root.is_none() && !tagged {
        let wrong = Wrong::new("the file has no content").help("a workflow is a list of tasks: begin with `- name: …`");
        report.error(Place { line: 1, column: 1, width: 1 }, wrong);
    }
    root.filter(|_| !tagged).map(|root| (tree, root))
}

type Stop = (Place, Wrong);

struct Pass<'a, 'r> {
    limits: &'r Limits,
    tree: Tree<'a>,
    open: Vec<Open>,
    root: Option<NodeId>,
    /// By the parser's number.
    anchors: HashMap<usize, NodeId>,
    /// Bytes that aliases may add.
    may_repeat: usize,
    /// Bytes added by aliases so far.
    repeated: usize,
    tags: usize,
    report: &'r mut Report,
}

/// A list or mapping that is being read.
struct Open {
    node: NodeId,
    is_map: bool,
    /// A key that waits for its value.
    key: Option<NodeId>,
}

impl<'a> Pass<'a, '_> {
    fn run(&mut self, parser: &mut Parser<'a, StrInput<'a>>, text: &str) -> Result<(), Stop> {
        let mut documents = 0;
        while let Some(next) = parser.next_event() {
            let (event, span) = next.map_err(|error| syntax(&error, text, self.limits))?;
            if self.tree.len() > self.limits.values() {
                return Err((place(span), too_many(self.limits)));
            }
            match event {
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let wrong = Wrong::new("a second document begins here").help(
                            "a file holds one workflow or one job definition: put the others into files of their own",
                        );
                        return Err((place(span), wrong));
                    }
                }
                Event::Alias(anchor) => {
                    let alias = self.alias(anchor, place(span))?;
                    self.add(alias);
                }
                Event::Scalar(text, style, anchor, tag) => {
                    self.tag(tag.as_deref(), place(span));
                    let scalar = self.tree.scalar(place(span), text, style == ScalarStyle::Plain);
                    self.anchors.insert(anchor, scalar);
                    self.add(scalar);
                }
                Event::SequenceStart(anchor, tag) => {
                    self.start(Kind::List(Vec::new()), anchor, tag.as_deref(), span)?;
                }
                Event::MappingStart(anchor, tag) => self.start(Kind::Map(Vec::new()), anchor, tag.as_deref(), span)?,
                Event::SequenceEnd | Event::MappingEnd => {
                    let done = self.open.pop().expect("BUG: the parser closes what it opened").node;
                    self.tree.check_keys(done, self.report);
                    self.add(done);
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, kind: Kind<'a>, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<(), Stop> {
        let place = place(span);
        if self.open.len() >= self.limits.levels.min(MOST_LEVELS) {
            return Err((place, too_deep(self.limits)));
        }
        self.tag(tag, place);
        let is_map = matches!(kind, Kind::Map(_));
        let node = self.tree.open(Place { width: 1, ..place }, kind);
        self.anchors.insert(anchor, node);
        self.open.push(Open { node, is_map, key: None });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<NodeId, Stop> {
        let Some(target) = self.anchors.get(&anchor).copied() else {
            return Err((place, Wrong::new("an alias of something that does not exist")));
        };
        if self.open.iter().any(|open| open.node == target) {
            return Err((place, Wrong::new("an alias inside of what it stands for: it would never end")));
        }
        if self.open.len() + self.tree.height(target) > self.limits.levels.min(MOST_LEVELS) {
            return Err((place, too_deep(self.limits)));
        }
        self.repeated = self.repeated.saturating_add(self.tree.weight(target));
        if self.repeated > self.may_repeat {
            let wrong = Wrong::new("aliases repeat too much").help(format!(
                "together they may add {} MiB (in the file each is short, but the job would be huge)",
                self.may_repeat >> 20
            ));
            return Err((place, wrong));
        }
        Ok(self.tree.alias(place, target))
    }

    /// Puts a complete node where it belongs.
    fn add(&mut self, node: NodeId) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match open.key.take() {
            None if open.is_map => open.key = Some(node),
            key => self.tree.put(open.node, key, node),
        }
    }

    fn tag(&mut self, tag: Option<&Tag>, place: Place) {
        let Some(tag) = tag else { return };
        self.tags += 1;
        let name = format!("{}{}", tag.handle.replace("tag:yaml.org,2002:", "!!"), tag.suffix);
        let wrong = Wrong::new(format!("the tag {} means nothing here", shown::key(&name)))
            .help("remove it; to make a text of a value, write it in quotes");
        self.report.error(place, wrong);
    }
}

/// What both decoders take (serde_json 127, serde_yaml 128).
pub(crate) const MOST_LEVELS: usize = 127;

pub(crate) fn too_deep(limits: &Limits) -> Wrong {
    Wrong::new(format!("nested deeper than {} levels", limits.levels.min(MOST_LEVELS)))
        .help("a workflow is a flat list of tasks: dependencies are written as `depends`, not by nesting")
}

pub(crate) fn too_many(limits: &Limits) -> Wrong {
    Wrong::new(format!("more than {} values", limits.values())).help("put data into files of their own")
}

fn place(span: Span) -> Place {
    let mark = span.start;
    let width = if span.end.line() == mark.line() { span.end.col().saturating_sub(mark.col()).max(1) } else { 1 };
    Place { width: width as u32, ..at(mark) }
}

fn at(mark: Marker) -> Place {
    Place { line: mark.line().max(1) as u32, column: mark.col() as u32 + 1, width: 1 }
}

/// What the parser says, with the help that the usual mistakes need.
fn syntax(error: &ScanError, text: &str, limits: &Limits) -> Stop {
    let place = at(*error.marker());
    if error.info().contains("unknown anchor") {
        let wrong = Wrong::new("an alias of something that is not marked before").help(
            "`*name` stands for what was marked `&name` earlier in the file; a text that begins with `*` needs quotes",
        );
        return (place, wrong);
    }
    if error.info().contains("recursion limit") {
        return (place, too_deep(limits));
    }
    let message = format!("not valid YAML: {}", shown::safe(error.info()));
    let first = place.line.saturating_sub(1).max(1);
    let near: Vec<(u32, &str)> = (first..).zip(text.lines().skip(first as usize - 1)).take(3).collect();
    let by_distance = |(number, _): &&(u32, &str)| number.abs_diff(place.line);
    let tab = |line: &str| line[..line.len() - line.trim_start_matches([' ', '\t']).len()].find('\t');
    if let Some((number, line)) = near.iter().filter(|(_, line)| tab(line).is_some()).min_by_key(by_distance) {
        let column = tab(line).map_or(1, |at| at as u32 + 1);
        let wrong = Wrong::new("a tab in the indentation: YAML allows spaces only").help("replace tabs by spaces");
        return (Place { line: *number, column, width: 1 }, wrong);
    }
    let line = near.iter().find(|(number, _)| *number == place.line).map_or("", |(_, line)| line);
    let help = match line.trim_start().trim_start_matches("- ").split_once(": ") {
        Some((_, value)) if value.contains(": ") || value.contains(" #") => {
            "a value with `: ` or ` #` in it needs quotes"
        }
        Some((_, value)) if value.starts_with(['%', '@', '`', '*', '&', '!', '|', '>', '{', '[', '"', '\'']) => {
            "check that quotes and brackets are closed; a value that begins with one of %@`*&!|>{[\"' needs quotes"
        }
        _ => "check the indentation, and that quotes and brackets are closed",
    };
    (place, Wrong::new(message).help(help))
}

/// YAML's set of characters. Checked here so that both readers see the same lines.
fn printable(text: &str) -> Result<(), Stop> {
    let odd = |c: char| matches!(c, '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    let lone = |at: usize, c: char| c != '\r' || text.as_bytes().get(at + 1) != Some(&b'\n');
    let Some((at, c)) = text.char_indices().find(|(at, c)| odd(*c) && lone(*at, *c)) else { return Ok(()) };
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let place = Place {
        line: before.matches('\n').count() as u32 + 1,
        column: before[line_start..].chars().count() as u32 + 1,
        width: 1,
    };
    let help = match c {
        '\r' => "save the file with the line ends of Unix or Windows",
        '\u{feff}' => "remove it",
        _ => "remove it; a text in double quotes can hold it as an escape, like \"\\u001B\"",
    };
    let what: Cow<'_, str> = match c {
        '\r' => "a carriage return without a newline".into(),
        '\u{feff}' => "a byte order mark in the middle of the file".into(),
        _ => format!("the control character U+{:04X}", c as u32).into(),
    };
    Err((place, Wrong::new(format!("{what} is not allowed here")).help(help)))
}
