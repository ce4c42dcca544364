//! What a file says before anything is made of it: scalars as written, lists and mappings, each with its place. The same
//! for YAML and JSON.

use std::{borrow::Cow, collections::HashMap};

use crate::{Place, check::Wrong, report::Report, shown};

/// A node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u32);

/// All nodes of a file.
#[derive(Debug, Default)]
pub(crate) struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

/// One node.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) place: Place,
    /// Levels of nesting in it, itself included; 0 for scalars.
    height: u8,
    /// Bytes it would take if every alias in it were written out.
    weight: usize,
    pub(crate) kind: Kind<'a>,
}

/// What a node is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// A text, number, boolean or null.
    Scalar(Scalar<'a>),
    /// A list.
    List(Vec<NodeId>),
    /// A mapping in the order of the file; keys may stand twice.
    Map(Vec<(NodeId, NodeId)>),
    /// Another node, once more.
    Alias(NodeId),
}

/// A scalar: how it was written and what it is.
#[derive(Debug)]
pub(crate) struct Scalar<'a> {
    /// As written, without quotes and escapes.
    pub(crate) text: Cow<'a, str>,
    /// Without quotes.
    pub(crate) plain: bool,
    /// As decoded; texts are in `text`.
    pub(crate) value: Value,
}

/// What a scalar was decoded to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text,
}

impl<'a> Tree<'a> {
    /// Adds a scalar, not decoded yet.
    pub(crate) fn scalar(&mut self, place: Place, text: Cow<'a, str>, plain: bool) -> NodeId {
        let weight = 32 + text.len();
        self.add(Node { place, height: 0, weight, kind: Kind::Scalar(Scalar { text, plain, value: Value::Text }) })
    }

    /// Adds a list or mapping that is still empty.
    pub(crate) fn open(&mut self, place: Place, kind: Kind<'a>) -> NodeId {
        self.add(Node { place, height: 1, weight: 32, kind })
    }

    /// Adds an alias.
    pub(crate) fn alias(&mut self, place: Place, target: NodeId) -> NodeId {
        let Node { height, weight, .. } = *self.node(target);
        self.add(Node { place, height, weight, kind: Kind::Alias(target) })
    }

    /// Puts a complete node into an open list, or as a value (with its key) into an open mapping.
    pub(crate) fn put(&mut self, into: NodeId, key: Option<NodeId>, child: NodeId) {
        let Node { height, weight, .. } = *self.node(child);
        let weight = weight.saturating_add(key.map_or(0, |key| self.node(key).weight));
        let node = &mut self.nodes[into.0 as usize];
        node.height = node.height.max(height.saturating_add(1));
        node.weight = node.weight.saturating_add(weight);
        match (&mut node.kind, key) {
            (Kind::List(list), None) => list.push(child),
            (Kind::Map(map), Some(key)) => map.push((key, child)),
            _ => unreachable!("BUG: keys go into mappings and nothing else does"),
        }
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A node.
    pub(crate) fn node(&self, id: NodeId) -> &Node<'a> {
        &self.nodes[id.0 as usize]
    }

    /// What a node is, aliases followed.
    pub(crate) fn kind(&self, id: NodeId) -> &Kind<'a> {
        &self.node(self.resolve(id)).kind
    }

    /// A node with aliases followed.
    pub(crate) fn resolve(&self, mut id: NodeId) -> NodeId {
        // An alias's target is complete before the alias is made, so this ends.
        while let Kind::Alias(target) = self.node(id).kind {
            id = target;
        }
        id
    }

    /// A scalar with aliases followed.
    pub(crate) fn as_scalar(&self, id: NodeId) -> Option<&Scalar<'a>> {
        match self.kind(id) {
            Kind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The decoded value of a scalar, to be set.
    pub(crate) fn value_mut(&mut self, id: NodeId) -> Option<&mut Value> {
        match &mut self.nodes[id.0 as usize].kind {
            Kind::Scalar(scalar) => Some(&mut scalar.value),
            _ => None,
        }
    }

    pub(crate) fn place(&self, id: NodeId) -> Place {
        self.node(id).place
    }

    pub(crate) fn height(&self, id: NodeId) -> usize {
        self.node(id).height.into()
    }

    pub(crate) fn weight(&self, id: NodeId) -> usize {
        self.node(id).weight
    }

    /// Reports keys of a mapping that are not texts or stand twice.
    pub(crate) fn check_keys(&self, map: NodeId, report: &mut Report) {
        let Kind::Map(entries) = self.kind(map) else { return };
        let mut seen: HashMap<&str, NodeId> = HashMap::new();
        for (at, (key, _)) in entries.iter().enumerate() {
            let Some(scalar) = self.as_scalar(*key) else {
                let wrong = Wrong::new("a key must be a text, not a list or mapping");
                report.error(self.place(*key), wrong);
                continue;
            };
            // Most mappings are small: no table for them.
            let first = if entries.len() <= 12 {
                let same =
                    |(key, _): &&(NodeId, NodeId)| self.as_scalar(*key).is_some_and(|other| other.text == scalar.text);
                entries[..at].iter().find(same).map(|(key, _)| *key)
            } else {
                let first = seen.get(&*scalar.text).copied();
                seen.entry(&scalar.text).or_insert(*key);
                first
            };
            if let Some(first) = first {
                if report.is_full() {
                    report.count(1);
                    continue;
                }
                let wrong = Wrong::new(format!("the key {} stands twice in one mapping", shown::key(&scalar.text)))
                    .help(if scalar.text == "<<" { "give `<<` a list: `<<: [*a, *b]`" } else { "keep one of them" });
                report.error_beside(self.place(*key), wrong, vec![(self.place(first), "first here".into())]);
            }
        }
    }

    fn add(&mut self, node: Node<'a>) -> NodeId {
        let id =
            NodeId(u32::try_from(self.nodes.len()).expect("BUG: a text within its limit has fewer than 2^32 values"));
        self.nodes.push(node);
        id
    }
}
