//! The second pass over YAML: serde_yaml decodes, in step with the tree that the first pass built. Every scalar gets its
//! value (boolean, number, null, text) from serde_yaml; where the two readers see different things the file is refused:
//! nothing is ever taken silently in another sense than it was checked in.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

use crate::{
    Place,
    check::Wrong,
    report::Report,
    tree::{Kind, NodeId, Tree, Value},
};

/// Sets the values of all scalars. False: the readers disagree, which is in the report.
pub(crate) fn fill(text: &str, tree: &mut Tree<'_>, root: NodeId, report: &mut Report) -> bool {
    let mut differs = None;
    let seed = Fill { tree, node: root, differs: &mut differs };
    let Err(error) = seed.deserialize(serde_yaml::Deserializer::from_str(text)) else { return true };
    let place = match (differs, error.location()) {
        (Some(node), _) => tree.place(node),
        (None, Some(at)) => Place { line: at.line().max(1) as u32, column: at.column().max(1) as u32, width: 1 },
        (None, None) => tree.place(root),
    };
    let wrong = if differs.is_some() {
        Wrong::new("two YAML readers see different things here")
            .help("write the value in double quotes; give each anchor (`&name`) a name of its own")
    } else {
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        Wrong::new(format!("not valid YAML: {}", crate::shown::safe(said)))
            .help("write the value in double quotes, or the list or mapping over several lines")
    };
    report.error(place, wrong);
    false
}

struct Fill<'t, 'a> {
    tree: &'t mut Tree<'a>,
    node: NodeId,
    differs: &'t mut Option<NodeId>,
}

impl<'a> Fill<'_, 'a> {
    fn at(&mut self, node: NodeId) -> Fill<'_, 'a> {
        Fill { tree: self.tree, node, differs: self.differs }
    }

    fn differ<T, E: de::Error>(self) -> Result<T, E> {
        self.differs.get_or_insert(self.node);
        Err(E::custom("differs"))
    }

    fn set<E: de::Error>(self, value: Value) -> Result<(), E> {
        let node = self.tree.resolve(self.node);
        match self.tree.value_mut(node) {
            Some(slot) => {
                *slot = value;
                Ok(())
            }
            None => self.differ(),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Fill<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fill<'_, '_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what the first pass saw")
    }
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.set(Value::Null)
    }
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.set(Value::Bool(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.set(Value::Unsigned(value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.set(Value::Signed(value))
    }
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<(), E> {
        self.set(Value::Float(value as f64))
    }
    fn visit_i128<E: de::Error>(self, value: i128) -> Result<(), E> {
        self.set(Value::Float(value as f64))
    }
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.set(Value::Float(value))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        if self.tree.as_scalar(self.node).is_some_and(|scalar| scalar.text == text) {
            self.set(Value::Text)
        } else {
            self.differ()
        }
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let Kind::List(items) = self.tree.kind(self.node) else { return self.differ() };
        for item in 0..items.len() {
            let Kind::List(items) = self.tree.kind(self.node) else { return self.differ() };
            let item = items[item];
            if seq.next_element_seed(self.at(item))?.is_none() {
                return self.differ();
            }
        }
        if seq.next_element::<de::IgnoredAny>()?.is_some() { self.differ() } else { Ok(()) }
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let Kind::Map(entries) = self.tree.kind(self.node) else { return self.differ() };
        for entry in 0..entries.len() {
            let Kind::Map(entries) = self.tree.kind(self.node) else { return self.differ() };
            let (key, value) = entries[entry];
            if map.next_key_seed(self.at(key))?.is_none() {
                return self.differ();
            }
            map.next_value_seed(self.at(value))?;
        }
        if map.next_key::<de::IgnoredAny>()?.is_some() { self.differ() } else { Ok(()) }
    }
}
