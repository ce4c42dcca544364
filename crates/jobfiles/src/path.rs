//! Paths of job files: relative, without a way out, any bytes but NUL.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

/// Where a job file is, relative to the job files. Empty = the job files themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobPath(Vec<u8>);

/// Why a text is not the path of a job file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job file path {text:?} {reason}")]
pub struct InvalidPath {
    /// The text as given, made readable.
    pub text: String,
    /// What is wrong with it, as the end of a sentence.
    pub reason: &'static str,
}

impl JobPath {
    /// Checks a path. `.` and doubled slashes are dropped.
    ///
    /// # Errors
    /// It is absolute, has a `..` or a NUL, or a part of more than 255 bytes.
    pub fn new(path: impl AsRef<OsStr>) -> Result<Self, InvalidPath> {
        let bytes = path.as_ref().as_bytes();
        let wrong = |reason| {
            let text = path.as_ref().to_string_lossy().chars().take(200).collect();
            Err(InvalidPath { text, reason })
        };
        if bytes.first() == Some(&b'/') {
            return wrong("is absolute; write it relative to the job files");
        }
        let mut clean = Vec::with_capacity(bytes.len());
        for part in bytes.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return wrong("has a `..`; only what is in the job files can be named"),
                part if part.contains(&0) => return wrong("has a NUL byte"),
                part if part.len() > 255 => return wrong("has a name of more than 255 bytes"),
                part => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(part);
                }
            }
        }
        Ok(Self(clean))
    }

    /// The job files themselves.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Whether this is the job files themselves.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as a path, to be joined to a folder. Empty for the root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The names it is made of.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        self.0.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(OsStr::from_bytes)
    }

    /// The last name; `None` for the root.
    #[must_use]
    pub fn name(&self) -> Option<&OsStr> {
        self.parts().next_back()
    }

    /// The folder it is in; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let name = self.name()?.len();
        Some(Self(self.0[..(self.0.len() - name).saturating_sub(1)].to_vec()))
    }

    /// A path below this one.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self([&self.0[..], b"/", &below.0].concat()),
        }
    }

    /// An entry of this folder, as the folder itself says: one name, not checked again.
    pub(crate) fn entry(&self, name: &OsStr) -> Self {
        self.join(&Self(name.as_bytes().to_vec()))
    }

    /// Whether this is `folder` or in it.
    #[must_use]
    pub fn is_in(&self, folder: &Self) -> bool {
        folder.is_root()
            || self.0.strip_prefix(&folder.0[..]).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
    }
}

impl fmt::Display for JobPath {
    /// Readable: bytes that are not text are replaced, control characters escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        let text = String::from_utf8_lossy(&self.0);
        text.chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

impl From<JobPath> for OsString {
    fn from(path: JobPath) -> Self {
        Self::from_vec(path.0)
    }
}

/// Whether a path is meant by one of the patterns: it, or a folder it is in, matches. `*` and `?` stay within a name,
/// `**` does not, `[…]` and `{a,b}` work. No patterns = everything.
#[must_use]
pub fn matches(patterns: &[String], path: &JobPath) -> bool {
    patterns.is_empty()
        || patterns.iter().any(|pattern| {
            let pattern = pattern.trim_start_matches("./").trim_end_matches('/');
            let bytes = path.as_bytes();
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            pattern == "." || ends.chain([bytes.len()]).any(|end| fast_glob::glob_match(pattern, &bytes[..end]))
        })
}
