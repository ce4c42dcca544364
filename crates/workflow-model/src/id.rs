//! Identities: one newtype each, so that a task's index can never be taken for an attempt number.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a valid identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} {reason}")]
pub struct InvalidId {
    /// What was expected: "queue name", "job id", …
    pub what: &'static str,
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// What is wrong with it, as the end of a sentence.
    pub reason: &'static str,
}

impl InvalidId {
    pub(crate) fn new(what: &'static str, text: &str, reason: &'static str) -> Self {
        Self { what, text: text.chars().take(80).collect(), reason }
    }
}

/// A job: one run of a workflow. Made by the client (UUIDv7), so that repeating a submit is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(uuid::Uuid);

impl JobId {
    /// A new id; ids made later sort later.
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7())
    }

    /// The last 8 characters: enough for people to tell jobs apart.
    #[must_use]
    pub fn short(self) -> String {
        self.to_string().split_off(28)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let valid = (text.len() == 36).then(|| uuid::Uuid::try_parse(text).ok()).flatten();
        valid.map(Self).ok_or_else(|| InvalidId::new("job id", text, "is not a UUID of 36 characters"))
    }
}

/// A secret of one attempt: a report counts only if it carries the recorded one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(uuid::Uuid);

impl Nonce {
    /// 128 random bits (122 of them free, by the form of UUIDv4).
    #[must_use]
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

impl fmt::Display for Nonce {
    /// 32 hexadecimal digits, for storage; never for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for Nonce {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| InvalidId::new("nonce", "…", "is not 32 hexadecimal digits"))
    }
}

/// A task by its place in the workflow, from 0. Names are free text and never used raw; this is used instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct TaskIx(pub u32);

impl TaskIx {
    /// The index as an array position.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TaskIx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which try of a task this is, from 1; never restarts within a job, over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Attempt(pub u32);

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The lease's fencing number: grows with every claim; a write with an older one changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task's name: 1 to 256 characters of free text, byte-exact, without control characters and without blanks at
/// either end. Never used raw as a path, an argument or a foreign identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName(Box<str>);

impl TaskName {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 256;

    /// Checks a text.
    ///
    /// # Errors
    /// The text is empty, too long, has control characters, or blanks at an end.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let wrong = |reason| Err(InvalidId::new("task name", text, reason));
        if text.is_empty() {
            return wrong("is empty");
        }
        if text.chars().any(char::is_control) {
            return wrong("has a control character (a newline, a tab, …)");
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return wrong("has a blank at an end");
        }
        if text.chars().count() > Self::MAX_CHARS {
            return wrong("is longer than 256 characters");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A short form that is safe in file names and foreign identifiers: at most 40 of `[a-z0-9-]`, never empty, and
    /// not unique: always used beside the task's index.
    #[must_use]
    pub fn slug(&self) -> String {
        let mut slug = String::with_capacity(40);
        for c in self.0.chars() {
            if slug.len() == 40 {
                break;
            }
            match c.to_ascii_lowercase() {
                c @ ('a'..='z' | '0'..='9') => slug.push(c),
                _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
                _ => {}
            }
        }
        let slug = slug.trim_end_matches('-');
        if slug.is_empty() { "task".into() } else { slug.into() }
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for TaskName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A queue's name: `[a-z][a-z0-9_-]{0,31}`, not ending in a digit, since sockets are called by name and number
/// (`q1` + `00` would be `q` + `100`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(Box<str>);

impl QueueName {
    /// The queue that is used when none is named.
    pub const DEFAULT: &'static str = "default";

    /// Checks a text.
    ///
    /// # Errors
    /// The text is not of the form above.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        let wrong = |reason| Err(InvalidId::new("queue name", text, reason));
        let mut bytes = text.bytes();
        if !bytes.next().is_some_and(|b| b.is_ascii_lowercase()) {
            return wrong("does not begin with a letter a-z");
        }
        if text.len() > 32 {
            return wrong("is longer than 32 characters");
        }
        if !bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-') {
            return wrong("has a character other than a-z, 0-9, _ and -");
        }
        if text.ends_with(|c: char| c.is_ascii_digit()) {
            return wrong("ends in a digit (worker numbers are appended to it)");
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for QueueName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What a job names to share a limit with others of its queue: 1 to 256 characters, byte-exact, without control characters
/// and without blanks at either end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey(Box<str>);

impl LimitKey {
    /// Checks a text.
    ///
    /// # Errors
    /// The text is empty, too long, has control characters, or blanks at an end.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        match TaskName::new(text) {
            Ok(TaskName(text)) => Ok(Self(text)),
            Err(wrong) => Err(InvalidId { what: "limit key", ..wrong }),
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for LimitKey {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl FromStr for QueueName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl FromStr for TaskName {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(TaskName, QueueName, LimitKey);
