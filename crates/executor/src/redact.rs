//! Secrets are taken out of a byte stream by value, also where a chunk ends in the middle of one.

/// What stands in place of a secret.
pub const MASK: &[u8] = b"***";

/// Lines of a multi-line secret that are shorter than this are not hidden by themselves (`}` of a JSON key, say).
const SHORTEST_LINE: usize = 4;

/// Replaces secrets in a stream. Bytes that may be the beginning of a secret are held back until that is known.
#[derive(Default)]
pub struct Redactor {
    needles: Vec<Vec<u8>>,
    /// Whether a needle begins with this byte. Empty without needles.
    first: Vec<bool>,
    held: Vec<u8>,
    /// The last byte given out belonged to a masked stretch that ends so many bytes into `held`.
    masked: usize,
}

impl std::fmt::Debug for Redactor {
    // By hand: the needles are the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("needles", &self.needles.len()).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Hides these values: each as a whole, and each line of those that have several.
    #[must_use]
    pub fn new<S: AsRef<str>>(values: &[S]) -> Self {
        let mut needles: Vec<Vec<u8>> = Vec::new();
        for value in values {
            let value = value.as_ref().trim_end_matches(['\r', '\n']);
            let lines = value.lines().filter(|line| line.len() >= SHORTEST_LINE && line.len() < value.len());
            for needle in std::iter::once(value).chain(lines).filter(|needle| !needle.is_empty()) {
                if !needles.iter().any(|known| known == needle.as_bytes()) {
                    needles.push(needle.as_bytes().to_vec());
                }
            }
        }
        let mut first = vec![false; 256];
        for needle in &needles {
            first[usize::from(needle[0])] = true;
        }
        Self { needles, first, ..Self::default() }
    }

    /// Whether there is nothing to hide, so that bytes may pass by.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.needles.is_empty()
    }

    /// Takes bytes in and appends to `out` what may be shown of everything so far.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.is_idle() {
            return out.extend_from_slice(bytes);
        }
        self.held.extend_from_slice(bytes);
        self.scan(false, out);
    }

    /// The stream has ended: appends the rest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.scan(true, out);
    }

    /// The text with its secrets masked.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        let mut fresh = Self { needles: self.needles.clone(), first: self.first.clone(), ..Self::default() };
        let mut out = Vec::with_capacity(text.len());
        fresh.push(text.as_bytes(), &mut out);
        fresh.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn scan(&mut self, last: bool, out: &mut Vec<u8>) {
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            // Most bytes begin no secret: they are passed on in one piece.
            let plain = rest.iter().position(|&byte| self.first[usize::from(byte)]).unwrap_or(rest.len());
            if plain > 0 && self.masked <= at {
                out.extend_from_slice(&rest[..plain]);
                at += plain;
                continue;
            }
            let begins = |needle: &&Vec<u8>| needle[0] == rest[0];
            if !last && self.needles.iter().filter(begins).any(|n| n.len() > rest.len() && n.starts_with(rest)) {
                break;
            }
            let longest = self.needles.iter().filter(begins).filter(|n| rest.starts_with(n)).map(Vec::len).max();
            // Overlapping secrets make one masked stretch: a rest of the second would give it away.
            if let Some(len) = longest {
                if self.masked <= at {
                    out.extend_from_slice(MASK);
                }
                self.masked = self.masked.max(at + len);
            } else if self.masked <= at {
                out.push(rest[0]);
            }
            at += 1;
        }
        self.held.drain(..at);
        self.masked = self.masked.saturating_sub(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(values: &[&str], chunks: &[&[u8]]) -> Vec<u8> {
        let mut redactor = Redactor::new(values);
        let mut out = Vec::new();
        for chunk in chunks {
            redactor.push(chunk, &mut out);
        }
        redactor.finish(&mut out);
        out
    }

    #[test]
    fn hides_a_value_that_chunks_cut_anywhere() {
        let text = b"token=hunter22; again hunter22!";
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(through(&["hunter22"], &[a, b]), b"token=***; again ***!", "cut at {cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(through(&["hunter22"], &single), b"token=***; again ***!");
    }

    #[test]
    fn hides_overlapping_and_nested_values_wholly() {
        assert_eq!(through(&["abcd", "cdef"], &[b"xabc", b"defy"]), b"x***y");
        assert_eq!(through(&["abc", "abcdef"], &[b"abc", b"def abcd"]), b"*** ***d");
        assert_eq!(through(&["aa"], &[b"aaa", b"aab"]), b"***b");
    }

    #[test]
    fn hides_each_line_of_a_key_but_not_its_braces() {
        let key = "-----BEGIN-----\nsecretline1\n}\n";
        assert_eq!(through(&[key], &[b"a secretline1 b } c"]), b"a *** b } c");
    }

    #[test]
    fn gives_out_at_once_what_cannot_be_a_secret() {
        let mut redactor = Redactor::new(&["hunter22"]);
        let mut out = Vec::new();
        redactor.push(b"progress 10% hun", &mut out);
        assert_eq!(out, b"progress 10% ");
        redactor.push(b"gry", &mut out);
        assert_eq!(out, b"progress 10% hungry");
    }

    #[test]
    fn non_utf8_bytes_pass_unchanged() {
        assert_eq!(through(&["hunter22"], &[&[0, 255, 254, b'h', 200]]), [0, 255, 254, b'h', 200]);
    }
}
