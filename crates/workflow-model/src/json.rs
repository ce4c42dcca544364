//! JSON with places: serde_json gives each value as the slice of the text that it is, so the place of the slice is the
//! place of the value. One level at a time, so the depth is ours to limit.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Limits, Place,
    check::Wrong,
    report::Report,
    shown,
    tree::{Kind, NodeId, Tree, Value},
    yaml::{MOST_LEVELS, too_deep, too_many},
};

/// The text as one JSON value, or what is wrong with it and where.
pub(crate) fn parse(text: &str) -> Result<&RawValue, (Place, Wrong)> {
    serde_json::from_str(text).map_err(|error| {
        let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
        let before = line.as_bytes().get(..error.column().saturating_sub(1)).unwrap_or(line.as_bytes());
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        let place = Place { line: error.line().max(1) as u32, column: column as u32, width: 1 };
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let wrong = Wrong::new(format!("not valid JSON: {}", shown::safe(said)));
        (place, if let Some(help) = remedy(said) { wrong.help(help) } else { wrong })
    })
}

/// What people most often did, by the decoder's words.
fn remedy(said: &str) -> Option<&'static str> {
    match said {
        "key must be a string" => Some("keys stand in double quotes, and no comma follows the last entry"),
        "trailing comma" => Some("no comma follows the last entry"),
        _ if said.starts_with("EOF while parsing") => Some("the text ends too early: is a `]`, `}` or `\"` missing?"),
        _ => None,
    }
}

/// Reads a value. `None`: nothing more can be said about the file than what is in the report.
pub(crate) fn read<'a>(
    text: &'a str,
    json: &'a RawValue,
    limits: &Limits,
    report: &mut Report,
) -> Option<(Tree<'a>, NodeId)> {
    let mut pass = Pass { limits, tree: Tree::default(), cursor: Cursor::new(text), report };
    match pass.value(json, 1) {
        Ok(root) => Some((pass.tree, root)),
        Err((place, wrong)) => {
            report.error(place, wrong);
            None
        }
    }
}

/// A place that only moves forward.
struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, offset: 0, line: 1, column: 1 }
    }

    /// The place of a slice of the text that is not before the last one asked for.
    fn place(&mut self, slice: &str) -> Place {
        let offset = (slice.as_ptr() as usize).wrapping_sub(self.text.as_ptr() as usize);
        let skipped = self.text.get(self.offset..offset).expect("BUG: slices of the text are visited in order");
        for c in skipped.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.offset = offset;
        let scalar = !slice.starts_with(['{', '[']);
        let width = if scalar { slice.chars().count().max(1) as u32 } else { 1 };
        Place { line: self.line, column: self.column, width }
    }
}

struct Pass<'a, 'r> {
    limits: &'r Limits,
    tree: Tree<'a>,
    cursor: Cursor<'a>,
    report: &'r mut Report,
}

impl<'a> Pass<'a, '_> {
    fn value(&mut self, json: &'a RawValue, level: usize) -> Result<NodeId, (Place, Wrong)> {
        let slice = json.get();
        let place = self.cursor.place(slice);
        let is_map = slice.starts_with('{');
        if !is_map && !slice.starts_with('[') {
            return self.scalar(slice, place);
        }
        if level > self.limits.levels.min(MOST_LEVELS) {
            return Err((place, too_deep(self.limits)));
        }
        if self.tree.len() > self.limits.values() {
            return Err((place, too_many(self.limits)));
        }
        let broken = |error: serde_json::Error| (place, Wrong::new(format!("not valid JSON: {error}")));
        // The decoder keeps a buffer as long as the nesting is deep: it is gone before the next level is read.
        let decoder = || serde_json::Deserializer::from_str(slice);
        if is_map {
            let node = self.tree.open(place, Kind::Map(Vec::new()));
            let entries = decoder().deserialize_map(Entries).map_err(broken)?;
            for (key, value) in entries {
                let place = self.cursor.place(key.get());
                let key = self.scalar(key.get(), place)?;
                let value = self.value(value, level + 1)?;
                self.tree.put(node, Some(key), value);
            }
            self.tree.check_keys(node, self.report);
            return Ok(node);
        }
        let node = self.tree.open(place, Kind::List(Vec::new()));
        let items = decoder().deserialize_seq(Items).map_err(broken)?;
        for item in items {
            let item = self.value(item, level + 1)?;
            self.tree.put(node, None, item);
        }
        Ok(node)
    }

    fn scalar(&mut self, slice: &'a str, place: Place) -> Result<NodeId, (Place, Wrong)> {
        let broken = |error: serde_json::Error| {
            let said = error.to_string();
            let said = said.split(" at line ").next().unwrap_or_default().to_owned();
            (place, Wrong::new(format!("not a valid JSON value: {}", shown::safe(&said))))
        };
        if slice.starts_with('"') {
            let text: Cow<'a, str> = match slice.contains('\\') {
                false => Cow::Borrowed(&slice[1..slice.len() - 1]),
                true => Cow::Owned(serde_json::from_str(slice).map_err(broken)?),
            };
            return Ok(self.tree.scalar(place, text, false));
        }
        let value = match slice {
            "null" => Value::Null,
            "true" | "false" => Value::Bool(slice == "true"),
            _ => {
                let number: serde_json::Number = serde_json::from_str(slice).map_err(broken)?;
                let signed = || number.as_i64().map(Value::Signed);
                let float = || number.as_f64().map(Value::Float);
                number
                    .as_u64()
                    .map(Value::Unsigned)
                    .or_else(signed)
                    .or_else(float)
                    .expect("BUG: a number is one of three")
            }
        };
        let node = self.tree.scalar(place, Cow::Borrowed(slice), true);
        *self.tree.value_mut(node).expect("BUG: made as a scalar") = value;
        Ok(node)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(items)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}
