//! Single values: texts as written, booleans, numbers, lists; each with what to say when it is something else.

use crate::{
    check::Wrong,
    read::Reader,
    shown,
    tree::{Kind, NodeId, Scalar, Value},
};

impl<'t> Reader<'t, '_> {
    /// A text as it is written; numbers and booleans count as their text.
    pub(super) fn text(&mut self, node: NodeId, what: &str) -> Option<&'t str> {
        self.scalar(node, what, "a text").map(|scalar| &*scalar.text)
    }

    /// A text that keeps a rule.
    pub(super) fn checked<T>(
        &mut self,
        node: NodeId,
        what: &str,
        check: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        check(text).map_err(|wrong| self.wrong(node, what, Some(text), wrong)).ok()
    }

    /// A text that keeps a rule, itself.
    pub(super) fn checked_text(
        &mut self,
        node: NodeId,
        what: &str,
        check: impl FnOnce(&str) -> Result<(), Wrong>,
    ) -> Option<String> {
        self.checked(node, what, |text| check(text).map(|()| text.to_owned()))
    }

    pub(super) fn boolean(&mut self, node: NodeId, what: &str) -> Option<bool> {
        let scalar = self.scalar(node, what, "true or false")?;
        if let Value::Bool(value) = scalar.value {
            return Some(value);
        }
        let wrong = Wrong::new("is neither true nor false").help(match scalar.text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "1" | "true" => "write true, without quotes",
            "no" | "off" | "n" | "0" | "false" => "write false, without quotes",
            _ => "write true or false",
        });
        self.wrong(node, what, Some(&scalar.text), wrong);
        None
    }

    pub(super) fn unsigned(&mut self, node: NodeId, what: &str) -> Option<u32> {
        let scalar = self.scalar(node, what, "a number")?;
        if let Value::Unsigned(value) = scalar.value
            && let Ok(value) = u32::try_from(value)
        {
            return Some(value);
        }
        let wrong = Wrong::new("is not a whole number from 0").help("write a number without quotes, like 3");
        self.wrong(node, what, Some(&scalar.text), wrong);
        None
    }

    pub(super) fn integer(&mut self, node: NodeId, what: &str) -> Option<i32> {
        let scalar = self.scalar(node, what, "a number")?;
        let value = match scalar.value {
            Value::Unsigned(value) => i32::try_from(value).ok(),
            Value::Signed(value) => i32::try_from(value).ok(),
            _ => None,
        };
        if value.is_none() {
            let wrong = Wrong::new("is not a whole number").help("write a number without quotes, like 10 or -5");
            self.wrong(node, what, Some(&scalar.text), wrong);
        }
        value
    }

    pub(super) fn number(&mut self, node: NodeId, what: &str, check: fn(f64) -> Result<f64, Wrong>) -> Option<f64> {
        let scalar = self.scalar(node, what, "a number")?;
        let value = match scalar.value {
            Value::Unsigned(value) => Ok(value as f64),
            Value::Signed(value) => Ok(value as f64),
            Value::Float(value) => Ok(value),
            _ => Err(Wrong::new("is not a number").help("write a number without quotes, like 2 or 0.5")),
        };
        value.and_then(check).map_err(|wrong| self.wrong(node, what, Some(&scalar.text), wrong)).ok()
    }

    /// The items of a list.
    pub(super) fn list(&mut self, node: NodeId, what: &str) -> Option<&'t [NodeId]> {
        let tree = self.tree;
        match tree.kind(node) {
            Kind::List(items) => Some(items),
            Kind::Scalar(scalar) if scalar.value != Value::Null => {
                let wrong = Wrong::new("must be a list").help(format!("write [{}]", shown::safe(&short(&scalar.text))));
                self.wrong(node, what, None, wrong);
                None
            }
            _ => self.bad_type(node, what, "a list"),
        }
    }

    /// A scalar that is not null.
    fn scalar(&mut self, node: NodeId, what: &str, wanted: &str) -> Option<&'t Scalar<'t>> {
        let tree = self.tree;
        match tree.as_scalar(node) {
            Some(scalar) if scalar.value != Value::Null => Some(scalar),
            _ => self.bad_type(node, what, wanted),
        }
    }

    pub(super) fn is_null(&self, node: NodeId) -> bool {
        self.tree.as_scalar(node).is_some_and(|scalar| scalar.value == Value::Null)
    }

    /// Reports a value of another type than wanted.
    pub(super) fn bad_type<T>(&mut self, node: NodeId, what: &str, wanted: &str) -> Option<T> {
        let wrong = match self.tree.kind(node) {
            Kind::Scalar(scalar) if scalar.value == Value::Null => {
                let text = match &*scalar.text {
                    "" | "~" => String::new(),
                    text => format!("; for the text write {}", shown::quoted(text)),
                };
                Wrong::new("has no value (null)").help(format!("write {wanted}, or remove it{text}"))
            }
            Kind::Scalar(_) => Wrong::new(format!("must be {wanted}, not a single value")),
            Kind::List(_) => Wrong::new(format!("must be {wanted}, not a list")),
            Kind::Map(_) => Wrong::new(format!("must be {wanted}, not a mapping")),
            Kind::Alias(_) => unreachable!("BUG: aliases were followed"),
        };
        self.wrong(node, what, None, wrong);
        None
    }

    /// Reports what is wrong with a value: "`timeout` "30" has no unit".
    pub(super) fn wrong(&mut self, node: NodeId, what: &str, value: Option<&str>, wrong: Wrong) {
        if self.report.is_full() {
            self.report.count(1);
            return;
        }
        let message = match value.filter(|value| !value.is_empty()) {
            Some(value) => format!("{what} {} {}", shown::quoted(value), wrong.message),
            None => format!("{what} {}", wrong.message),
        };
        self.report.error(self.tree.place(node), Wrong { message, ..wrong });
    }
}

fn short(text: &str) -> String {
    if text.chars().nth(40).is_some() { "…".into() } else { text.to_owned() }
}
